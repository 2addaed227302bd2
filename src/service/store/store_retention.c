/* What is too old goes. The ledger and the keys stay. */
#include "service/store/store_parts.h"

/* So many rows of a kind in one transaction, so that a sweep never keeps submits waiting for long. */
enum { ROWS_AT_ONCE = 200 };

typedef struct expiry {
    int64_t before_ns;
    uint64_t removed;
    bool is_complete;
} expiry;

static kx_status apply_expiry(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    expiry *sweep = argument;
    int64_t now_ns = kx_clock_wall_ns(store->clock);
    int64_t predictions, files, tickets, names;
    KX_TRY(kx_db_run(
        db,
        "DELETE FROM predictions WHERE seq IN (SELECT seq FROM predictions WHERE state IN (2, 3, 4, 5) "
        "AND finished_ns < ?1 LIMIT ?2)",
        KX_VALUES(KX_INT(sweep->before_ns), KX_INT(ROWS_AT_ONCE)), &predictions, err));
    KX_TRY(kx_db_run(db,
                     "DELETE FROM files WHERE token IN (SELECT token FROM files WHERE prediction IS NULL AND "
                     "expires_ns <> 0 AND expires_ns <= ?1 LIMIT ?2)",
                     KX_VALUES(KX_INT(now_ns), KX_INT(ROWS_AT_ONCE)), &files, err));
    KX_TRY(kx_db_run(
        db, "DELETE FROM tickets WHERE token IN (SELECT token FROM tickets WHERE expires_ns <= ?1 LIMIT ?2)",
        KX_VALUES(KX_INT(now_ns), KX_INT(ROWS_AT_ONCE)), &tickets, err));
    KX_TRY(kx_db_run(db,
                     "DELETE FROM idempotency WHERE (key_id, name) IN (SELECT key_id, name FROM idempotency "
                     "WHERE created_ns <= ?1 LIMIT ?2)",
                     KX_VALUES(KX_INT(now_ns - KX_STORE_IDEMPOTENCY_NS), KX_INT(ROWS_AT_ONCE)), &names, err));
    sweep->removed = (uint64_t)(predictions + files + tickets + names);
    sweep->is_complete =
        predictions < ROWS_AT_ONCE && files < ROWS_AT_ONCE && tickets < ROWS_AT_ONCE && names < ROWS_AT_ONCE;
out:
    return status;
}

kx_status kx_store_expire(kx_store *store, int64_t before_ns, uint64_t *removed, kx_error *err)
{
    kx_status status = KX_OK;
    expiry sweep = {.before_ns = before_ns};
    *removed = 0;
    while (!sweep.is_complete) {
        KX_TRY(kx_store_change(store, apply_expiry, &sweep, err));
        *removed += sweep.removed;
    }
out:
    return status;
}

kx_status kx_store_blob_is_used(kx_store *store, const char *hash, bool *used, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    int64_t number;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_number(db, "SELECT 1 FROM files WHERE blob = ?1 LIMIT 1", KX_VALUES(KX_TEXT(hash)), &number,
                        used, err));
    if (*used) goto out;
    /* What a job still needs stands in its request. */
    KX_TRY(kx_db_number(db,
                        "SELECT 1 FROM predictions WHERE state IN (0, 1) AND instr(request, ?1) > 0 LIMIT 1",
                        KX_VALUES(KX_TEXT(hash)), &number, used, err));
out:
    kx_store_reader_return(store, db);
    return status;
}
