#include "service/store/store_parts.h"

kx_status kx_prediction_read(sqlite3_stmt *rows, kx_arena *arena, kx_prediction *prediction, kx_error *err)
{
    kx_status status = KX_OK;
    *prediction = (kx_prediction){
        .key_id = sqlite3_column_int64(rows, 1),
        .state = (kx_job_state)sqlite3_column_int(rows, 2),
        .created_ns = sqlite3_column_int64(rows, 3),
        .started_ns = sqlite3_column_int64(rows, 4),
        .finished_ns = sqlite3_column_int64(rows, 5),
        .prepared = sqlite3_column_int(rows, 6) != 0,
        .attempts = (unsigned)sqlite3_column_int64(rows, 7),
        .cancel_requested = sqlite3_column_int(rows, 8) != 0,
        .charge = (kx_charge)sqlite3_column_int(rows, 9),
        .price_micro = sqlite3_column_int64(rows, 10),
        .num_images = (unsigned)sqlite3_column_int64(rows, 11),
        .base64 = sqlite3_column_int(rows, 12) != 0,
        .code = sqlite3_column_int(rows, 13),
        .inference_ms = sqlite3_column_int64(rows, 14),
    };
    kx_db_text_into(rows, 0, prediction->id, sizeof prediction->id);
    KX_TRY(kx_db_text(rows, 15, arena, &prediction->model, err));
    KX_TRY(kx_db_text(rows, 16, arena, &prediction->body_hash, err));
    KX_TRY(kx_db_text(rows, 17, arena, &prediction->webhook, err));
    KX_TRY(kx_db_text(rows, 18, arena, &prediction->error, err));
    KX_TRY(kx_db_text(rows, 19, arena, &prediction->warnings, err));
    KX_TRY(kx_db_text(rows, 20, arena, &prediction->outputs, err));
    KX_TRY(kx_db_text(rows, 21, arena, &prediction->details, err));
    KX_TRY(kx_db_text(rows, 22, arena, &prediction->request, err));
    KX_TRY(kx_db_text(rows, 23, arena, &prediction->input, err));
out:
    return status;
}

kx_status kx_prediction_read_all(kx_db *db, sqlite3_stmt *rows, kx_arena *arena, kx_prediction **items,
                                 size_t *count, kx_error *err)
{
    kx_status status = KX_OK;
    size_t room = 0;
    *count = 0;
    for (;;) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        if (*count == room) {
            kx_prediction *larger = NULL;
            room = room == 0 ? 16 : room * 2;
            KX_TRY(KX_ARENA_ARRAY(arena, room, &larger, err));
            if (*count > 0) memcpy(larger, *items, *count * sizeof **items);
            *items = larger;
        }
        KX_TRY(kx_prediction_read(rows, arena, &(*items)[*count], err));
        ++*count;
    }
out:
    return status;
}

kx_status kx_store_prediction_get(kx_store *store, const char *id, kx_arena *arena, kx_prediction *prediction,
                                  bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    *found = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_start(db, "SELECT " KX_PREDICTION_COLUMNS " FROM predictions WHERE id = ?1",
                       KX_VALUES(KX_TEXT(id)), &rows, err));
    KX_TRY(kx_db_next(db, rows, found, err));
    if (*found) KX_TRY(kx_prediction_read(rows, arena, prediction, err));
out:
    kx_store_reader_return(store, db);
    return status;
}

#define HISTORY_WHERE                                                                                        \
    "FROM predictions WHERE created_ns >= ?2 AND created_ns < ?3 AND (?4 IS NULL OR model = ?4) "            \
    "AND (?5 < 0 OR state = ?5) "
#define HISTORY_ORDER "ORDER BY created_ns DESC, seq DESC LIMIT ?6 OFFSET ?7"

kx_status kx_store_history(kx_store *store, const kx_history_query *query, kx_arena *arena,
                           kx_prediction **items, size_t *count, uint64_t *total, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    int64_t number;
    unsigned page = query->page == 0 ? 1 : query->page;
    bool is_one_key = query->key_id != 0;
    /* The count has no use for the last two, and SQLite refuses values that a statement does not name. */
    kx_value values[] = {
        KX_INT(query->key_id),
        KX_INT(query->after_ns),
        KX_INT(query->before_ns == 0 ? INT64_MAX : query->before_ns),
        KX_TEXT(query->model),
        KX_INT(query->state),
        {.kind = KX_VALUE_END},
        KX_INT((int64_t)(page - 1) * query->page_size),
        {.kind = KX_VALUE_END},
    };
    *items = NULL;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_run(db, "BEGIN", KX_NO_VALUES, NULL, err)); /* count and page of one moment */
    KX_TRY(kx_db_number(db,
                        is_one_key ? "SELECT count(*) " HISTORY_WHERE "AND key_id = ?1"
                                   : "SELECT count(*) " HISTORY_WHERE "AND ?1 = 0",
                        values, &number, NULL, err));
    *total = (uint64_t)number;
    values[5] = KX_INT(query->page_size);
    KX_TRY(kx_db_start(
        db,
        is_one_key ? "SELECT " KX_PREDICTION_COLUMNS " " HISTORY_WHERE "AND key_id = ?1 " HISTORY_ORDER
                   : "SELECT " KX_PREDICTION_COLUMNS " " HISTORY_WHERE "AND ?1 = 0 " HISTORY_ORDER,
        values, &rows, err));
    KX_TRY(kx_prediction_read_all(db, rows, arena, items, count, err));
out:
    kx_store_reader_return(store, db);
    return status;
}

/* ---- Deleting ---- */

typedef struct deletion {
    int64_t key_id;
    const char *const *ids;
    size_t count, deleted;
} deletion;

static kx_status delete_one(kx_store *store, kx_db *db, const kx_job_row *row, kx_error *err)
{
    static const kx_ending cancelled = {.state = KX_JOB_CANCELLED};
    kx_status status = KX_OK;
    if (row->state == KX_JOB_PROCESSING) {
        KX_TRY(kx_db_run(db,
                         "UPDATE predictions SET cancel_requested = 1, delete_requested = 1 WHERE seq = ?1",
                         KX_VALUES(KX_INT(row->seq)), NULL, err));
        goto out;
    }
    if (row->state == KX_JOB_CREATED) {
        kx_job_row doomed = *row;
        doomed.delete_requested = true;
        KX_TRY(kx_job_end(store, db, &doomed, &cancelled, err));
        goto out;
    }
    KX_TRY(kx_job_delete(store, db, row, err));
out:
    return status;
}

static kx_status apply_deletion(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    deletion *wanted = argument;
    wanted->deleted = 0;
    for (size_t i = 0; i < wanted->count; i++) {
        kx_job_row row;
        bool found;
        KX_TRY(kx_job_row_find(db, wanted->ids[i], &row, &found, err));
        if (!found || row.delete_requested || (wanted->key_id != 0 && row.key_id != wanted->key_id)) continue;
        KX_TRY(delete_one(store, db, &row, err));
        wanted->deleted++;
    }
out:
    return status;
}

kx_status kx_store_predictions_delete(kx_store *store, int64_t key_id, const char *const *ids, size_t count,
                                      size_t *deleted, kx_error *err)
{
    deletion wanted = {.key_id = key_id, .ids = ids, .count = count};
    *deleted = 0;
    kx_status status = kx_store_change(store, apply_deletion, &wanted, err);
    if (status == KX_OK) *deleted = wanted.deleted;
    return status;
}
