/* The outbox: what is to be told to whom. A row is made in the transaction that ends the job, so a result
 * that is stored is told, whatever happens to this process. */
#include "service/store/store_parts.h"

#define DELIVERY_SELECT                                                                                      \
    "SELECT deliveries.id, predictions.id, predictions.key_id, attempt, next_ns, last_status, "              \
    "deliveries.created_ns, updated_ns, url, webhook_secret, deliveries.state, last_error "                  \
    "FROM deliveries JOIN predictions ON seq = prediction JOIN keys ON keys.id = predictions.key_id "

static kx_status read_delivery(sqlite3_stmt *rows, kx_arena *arena, kx_delivery *delivery, kx_error *err)
{
    kx_status status = KX_OK;
    *delivery = (kx_delivery){
        .id = sqlite3_column_int64(rows, 0),
        .key_id = sqlite3_column_int64(rows, 2),
        .attempt = (unsigned)sqlite3_column_int64(rows, 3),
        .next_ns = sqlite3_column_int64(rows, 4),
        .last_status = sqlite3_column_int(rows, 5),
        .created_ns = sqlite3_column_int64(rows, 6),
        .updated_ns = sqlite3_column_int64(rows, 7),
    };
    kx_db_text_into(rows, 1, delivery->prediction, sizeof delivery->prediction);
    KX_TRY(kx_db_text(rows, 8, arena, &delivery->url, err));
    KX_TRY(kx_db_text(rows, 9, arena, &delivery->secret, err));
    KX_TRY(kx_db_text(rows, 10, arena, &delivery->state, err));
    KX_TRY(kx_db_text(rows, 11, arena, &delivery->last_error, err));
out:
    return status;
}

/* Takes the one that has been due for longest and that nobody has; *id 0: none. */
static kx_status take_delivery(kx_store *store, kx_db *db, int64_t now_ns, int64_t *id, kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    *id = 0;
    KX_TRY(kx_db_start(db,
                       "SELECT id FROM deliveries WHERE state = 'pending' AND next_ns <= ?1 ORDER BY next_ns",
                       KX_VALUES(KX_INT(now_ns)), &rows, err));
    while (*id == 0) {
        bool has_row, is_new;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        int64_t name = sqlite3_column_int64(rows, 0);
        KX_TRY(kx_taken_add(&store->deliveries, (uint64_t)name, &is_new, err));
        if (is_new) *id = name;
    }
out:
    kx_db_rest(db); /* what is read next is of a later moment */
    return status;
}

kx_status kx_store_delivery_claim(kx_store *store, kx_arena *arena, kx_delivery *delivery, bool *found,
                                  kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    int64_t now_ns = kx_clock_wall_ns(store->clock), id = 0;
    *found = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    while (!*found) {
        KX_TRY(take_delivery(store, db, now_ns, &id, err));
        if (id == 0) break;
        /* While the list was read, another thread may have made and settled this try. */
        KX_TRY(kx_db_start(
            db, DELIVERY_SELECT "WHERE deliveries.id = ?1 AND deliveries.state = 'pending' AND next_ns <= ?2",
            KX_VALUES(KX_INT(id), KX_INT(now_ns)), &rows, err));
        KX_TRY(kx_db_next(db, rows, found, err));
        if (*found) KX_TRY(read_delivery(rows, arena, delivery, err));
        if (!*found) kx_taken_remove(&store->deliveries, (uint64_t)id);
    }
out:
    if (status != KX_OK && id != 0) kx_taken_remove(&store->deliveries, (uint64_t)id);
    *found = *found && status == KX_OK;
    kx_store_reader_return(store, db);
    return status;
}

typedef struct delivery_result {
    int64_t id;
    bool delivered;
    int http_status;
    const char *error;
    int64_t next_ns;
} delivery_result;

static kx_status apply_result(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    const delivery_result *result = argument;
    int64_t now_ns = kx_clock_wall_ns(store->clock), attempt;
    bool found;
    bool is_pending = !result->delivered && result->next_ns != 0;
    const char *words = result->error == NULL ? "" : result->error;
    KX_TRY(kx_db_number(
        db,
        "UPDATE deliveries SET attempt = attempt + 1, state = ?2, next_ns = ?3, last_status = ?4, "
        "last_error = ?5, updated_ns = ?6 WHERE id = ?1 RETURNING attempt",
        KX_VALUES(KX_INT(result->id),
                  KX_TEXT(is_pending          ? "pending"
                          : result->delivered ? "delivered"
                                              : "failed"),
                  KX_INT(result->next_ns), KX_INT(result->http_status), KX_TEXT(words), KX_INT(now_ns)),
        &attempt, &found, err));
    if (!found) goto out; /* deleted with its prediction in the meantime */
    KX_TRY(kx_db_run(db, "INSERT INTO delivery_tries VALUES (?1, ?2, ?3, ?4, ?5)",
                     KX_VALUES(KX_INT(result->id), KX_INT(attempt), KX_INT(now_ns),
                               KX_INT(result->http_status), KX_TEXT(words)),
                     NULL, err));
out:
    return status;
}

kx_status kx_store_delivery_result(kx_store *store, int64_t id, bool delivered, int http_status,
                                   const char *error, int64_t next_ns, kx_error *err)
{
    delivery_result result = {id, delivered, http_status, error, next_ns};
    kx_status status = kx_store_change(store, apply_result, &result, err);
    if (status == KX_OK) kx_taken_remove(&store->deliveries, (uint64_t)id);
    return status;
}

kx_status kx_store_delivery_list(kx_store *store, int64_t key_id, const char *prediction, kx_arena *arena,
                                 kx_delivery **items, size_t *count, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    size_t room = 0;
    kx_delivery *list = NULL;
    *count = 0;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_start(db,
                       DELIVERY_SELECT
                       "WHERE predictions.id = ?1 AND (?2 = 0 OR predictions.key_id = ?2) ORDER BY "
                       "deliveries.id",
                       KX_VALUES(KX_TEXT(prediction), KX_INT(key_id)), &rows, err));
    for (;;) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        if (*count == room) {
            kx_delivery *larger = NULL;
            room = room == 0 ? 4 : room * 2;
            KX_TRY(KX_ARENA_ARRAY(arena, room, &larger, err));
            if (*count > 0) memcpy(larger, list, *count * sizeof *list);
            list = larger;
        }
        KX_TRY(read_delivery(rows, arena, &list[*count], err));
        ++*count;
    }
    *items = list;
out:
    kx_store_reader_return(store, db);
    return status;
}

kx_status kx_store_delivery_log(kx_store *store, int64_t delivery_id, kx_arena *arena,
                                kx_delivery_try **tries, size_t *count, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    int64_t room;
    kx_delivery_try *list = NULL;
    *count = 0;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_run(db, "BEGIN", KX_NO_VALUES, NULL, err)); /* count and rows of one moment */
    KX_TRY(kx_db_number(db, "SELECT count(*) FROM delivery_tries WHERE delivery = ?1",
                        KX_VALUES(KX_INT(delivery_id)), &room, NULL, err));
    KX_TRY(KX_ARENA_ARRAY(arena, room, &list, err));
    KX_TRY(kx_db_start(db,
                       "SELECT attempt, at_ns, http_status, error FROM delivery_tries WHERE delivery = ?1 "
                       "ORDER BY attempt",
                       KX_VALUES(KX_INT(delivery_id)), &rows, err));
    for (;;) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        kx_delivery_try *row = &list[(*count)++];
        row->attempt = (unsigned)sqlite3_column_int64(rows, 0);
        row->at_ns = sqlite3_column_int64(rows, 1);
        row->http_status = sqlite3_column_int(rows, 2);
        KX_TRY(kx_db_text(rows, 3, arena, &row->error, err));
    }
    *tries = list;
out:
    kx_store_reader_return(store, db);
    return status;
}

typedef struct redelivery {
    int64_t key_id;
    const char *prediction;
    bool found;
} redelivery;

static kx_status apply_again(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    redelivery *wanted = argument;
    int64_t added;
    KX_TRY(kx_db_run(
        db,
        "INSERT INTO deliveries (prediction, url, next_ns, created_ns, updated_ns) "
        "SELECT seq, webhook, ?3, ?3, ?3 FROM predictions WHERE id = ?1 AND (?2 = 0 OR key_id = ?2) "
        "AND state >= 2 AND webhook <> ''",
        KX_VALUES(KX_TEXT(wanted->prediction), KX_INT(wanted->key_id),
                  KX_INT(kx_clock_wall_ns(store->clock))),
        &added, err));
    wanted->found = added > 0;
out:
    return status;
}

kx_status kx_store_delivery_again(kx_store *store, int64_t key_id, const char *prediction, bool *found,
                                  kx_error *err)
{
    redelivery wanted = {.key_id = key_id, .prediction = prediction};
    kx_status status = kx_store_change(store, apply_again, &wanted, err);
    *found = status == KX_OK && wanted.found;
    return status;
}

kx_status kx_store_delivery_next(kx_store *store, int64_t *due_ns, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    bool has_row = true;
    *due_ns = 0;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_start(db, "SELECT id, next_ns FROM deliveries WHERE state = 'pending' ORDER BY next_ns",
                       KX_NO_VALUES, &rows, err));
    while (has_row && *due_ns == 0) {
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (has_row && !kx_taken_has(&store->deliveries, (uint64_t)sqlite3_column_int64(rows, 0)))
            *due_ns = sqlite3_column_int64(rows, 1);
    }
out:
    kx_store_reader_return(store, db);
    return status;
}
