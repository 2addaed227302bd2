/* The ledger. A balance is what can be reserved now; it changes only together with a row here, in one
 * transaction. A capture changes nothing, since the reservation took the price; it is the row that says that
 * the price is gone for good. */
#include "service/store/store_parts.h"

kx_status kx_ledger_add(kx_store *store, kx_db *db, const kx_ledger_row *row, kx_error *err)
{
    kx_status status = KX_OK;
    char uuid[33];
    int64_t balance_micro;
    bool found = true;
    if (row->amount_micro != 0) {
        KX_TRY(kx_db_number(db,
                            "UPDATE keys SET balance_micro = balance_micro + ?2 WHERE id = ?1 "
                            "RETURNING balance_micro",
                            KX_VALUES(KX_INT(row->key_id), KX_INT(row->amount_micro)), &balance_micro, &found,
                            err));
        KX_FAIL_IF(!found, err, KX_ERR_INPUT, "there is no key of the number %lld", (long long)row->key_id);
        kx_writer_touch_balance(store, row->key_id, balance_micro);
    }
    KX_TRY(kx_random_hex(uuid, 32, err));
    KX_TRY(kx_db_run(
        db,
        "INSERT INTO ledger (uuid, key_id, kind, amount_micro, price_micro, prediction, model, status, "
        "note, at_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        KX_VALUES(KX_TEXT(uuid), KX_INT(row->key_id), KX_TEXT(row->kind), KX_INT(row->amount_micro),
                  KX_INT(row->price_micro), KX_TEXT(row->prediction),
                  KX_TEXT(row->model == NULL ? "" : row->model),
                  KX_TEXT(row->status == NULL ? "" : row->status),
                  KX_TEXT(row->note == NULL ? "" : row->note), KX_INT(kx_clock_wall_ns(store->clock))),
        NULL, err));
out:
    return status;
}

static kx_status apply_credit(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    return kx_ledger_add(store, db, argument, err);
}

kx_status kx_store_key_credit(kx_store *store, int64_t key_id, int64_t amount_micro, const char *why,
                              kx_error *err)
{
    kx_status status = KX_OK;
    kx_ledger_row row = {.key_id = key_id, .kind = "credit", .amount_micro = amount_micro, .note = why};
    KX_FAIL_IF(amount_micro == 0, err, KX_ERR_INPUT, "a credit of nothing");
    KX_TRY(kx_store_change(store, apply_credit, &row, err));
out:
    return status;
}

static int64_t end_of(int64_t before_ns)
{
    return before_ns == 0 ? INT64_MAX : before_ns;
}

static kx_status read_ledger_row(sqlite3_stmt *rows, kx_arena *arena, kx_ledger_row *row, kx_error *err)
{
    kx_status status = KX_OK;
    row->key_id = sqlite3_column_int64(rows, 1);
    row->amount_micro = sqlite3_column_int64(rows, 3);
    row->price_micro = sqlite3_column_int64(rows, 4);
    row->at_ns = sqlite3_column_int64(rows, 9);
    KX_TRY(kx_db_text(rows, 0, arena, &row->uuid, err));
    KX_TRY(kx_db_text(rows, 2, arena, &row->kind, err));
    KX_TRY(kx_db_text(rows, 5, arena, &row->prediction, err));
    KX_TRY(kx_db_text(rows, 6, arena, &row->model, err));
    KX_TRY(kx_db_text(rows, 7, arena, &row->status, err));
    KX_TRY(kx_db_text(rows, 8, arena, &row->note, err));
    KX_TRY(kx_db_text(rows, 10, arena, &row->key_name, err));
    KX_TRY(kx_db_text(rows, 11, arena, &row->key_uuid, err));
out:
    return status;
}

#define LEDGER_SELECT                                                                                        \
    "SELECT ledger.uuid, key_id, kind, amount_micro, price_micro, prediction, model, status, note, at_ns, "  \
    "keys.name, keys.uuid FROM ledger JOIN keys ON keys.id = key_id WHERE at_ns >= ?2 AND at_ns < ?3 "       \
    "AND (?4 IS NULL OR kind = ?4) AND (?5 IS NULL OR model = ?5) "
#define LEDGER_ORDER "ORDER BY at_ns DESC, ledger.id DESC LIMIT ?6 OFFSET ?7"

kx_status kx_store_ledger(kx_store *store, const kx_ledger_query *query, kx_arena *arena,
                          kx_ledger_row **rows_out, size_t *count, bool *more, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    kx_ledger_row *list = NULL;
    unsigned page = query->page == 0 ? 1 : query->page;
    *count = 0;
    *more = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(KX_ARENA_ARRAY(arena, query->page_size, &list, err));
    /* One more than the page, to know whether there is more. */
    const kx_value *values =
        KX_VALUES(KX_INT(query->key_id), KX_INT(query->after_ns), KX_INT(end_of(query->before_ns)),
                  KX_TEXT(query->kind), KX_TEXT(query->model), KX_INT((int64_t)query->page_size + 1),
                  KX_INT((int64_t)(page - 1) * query->page_size));
    if (query->key_id == 0)
        KX_TRY(kx_db_start(db, LEDGER_SELECT "AND ?1 = 0 " LEDGER_ORDER, values, &rows, err));
    else
        KX_TRY(kx_db_start(db, LEDGER_SELECT "AND key_id = ?1 " LEDGER_ORDER, values, &rows, err));
    for (;;) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        *more = has_row && *count == query->page_size;
        if (!has_row || *more) break;
        KX_TRY(read_ledger_row(rows, arena, &list[*count], err));
        ++*count;
    }
    *rows_out = list;
out:
    kx_store_reader_return(store, db);
    return status;
}

#define USAGE_SELECT                                                                                         \
    ", sum(CASE WHEN kind = 'capture' THEN price_micro ELSE 0 END), sum(kind = 'reserve'), "                 \
    "sum(kind = 'capture') FROM ledger WHERE kind IN ('reserve', 'capture') AND (?1 = 0 OR key_id = ?1) "    \
    "AND (?2 IS NULL OR model = ?2) AND at_ns >= ?3 AND at_ns < ?4 GROUP BY 1 ORDER BY 1"

static kx_status read_usage(kx_db *db, const char *sql, const kx_value *values, kx_arena *arena,
                            kx_usage_row **out, size_t *count, kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    size_t room = 0;
    *count = 0;
    KX_TRY(kx_db_start(db, sql, values, &rows, err));
    for (;;) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        if (*count == room) {
            kx_usage_row *larger = NULL;
            room = room == 0 ? 32 : room * 2;
            KX_TRY(KX_ARENA_ARRAY(arena, room, &larger, err));
            if (*count > 0) memcpy(larger, *out, *count * sizeof **out);
            *out = larger;
        }
        kx_usage_row *row = &(*out)[*count];
        KX_TRY(kx_db_text(rows, 0, arena, &row->name, err));
        row->amount_micro = sqlite3_column_int64(rows, 1);
        row->count = (uint64_t)sqlite3_column_int64(rows, 2);
        row->completed = (uint64_t)sqlite3_column_int64(rows, 3);
        ++*count;
    }
out:
    return status;
}

kx_status kx_store_usage(kx_store *store, int64_t key_id, const char *model, int64_t after_ns,
                         int64_t before_ns, kx_arena *arena, kx_usage *usage, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    *usage = (kx_usage){0};
    const kx_value *values =
        KX_VALUES(KX_INT(key_id), KX_TEXT(model), KX_INT(after_ns), KX_INT(end_of(before_ns)));
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_run(db, "BEGIN", KX_NO_VALUES, NULL, err)); /* both lists of one moment */
    KX_TRY(
        read_usage(db, "SELECT model" USAGE_SELECT, values, arena, &usage->models, &usage->num_models, err));
    KX_TRY(read_usage(db, "SELECT date(at_ns / 1000000000, 'unixepoch')" USAGE_SELECT, values, arena,
                      &usage->days, &usage->num_days, err));
    for (size_t i = 0; i < usage->num_models; i++) {
        usage->total_micro += usage->models[i].amount_micro;
        usage->requests += usage->models[i].count;
        usage->completed += usage->models[i].completed;
    }
out:
    kx_store_reader_return(store, db);
    return status;
}
