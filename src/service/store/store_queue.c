/* The predictions as a queue. Order: keys take turns (the one served longest ago is next), and within a key
 * the oldest goes first. A job that goes back keeps its place, since its number (seq) stays.
 *
 * What is asked at every wake and every poll names its index: left alone, SQLite takes the one over all
 * predictions of a key, and then every record of the last days is read to find the few that wait. */
#include "service/store/store_parts.h"

#define WAITING    "predictions INDEXED BY predictions_waiting WHERE state = 0"
#define UNPREPARED "predictions INDEXED BY predictions_unprepared WHERE state = 0 AND prepared = 0"

static kx_status is_anything(kx_store *store, const char *sql, const kx_value *values, bool *is,
                             kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    int64_t number;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_number(db, sql, values, &number, is, err));
out:
    kx_store_reader_return(store, db);
    return status;
}

typedef struct claim {
    unsigned default_concurrency;
    kx_arena *arena;
    kx_prediction *prediction;
    bool found;
} claim;

static kx_status start_job(kx_store *store, kx_db *db, int64_t seq, claim *wanted, kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    KX_TRY(kx_db_run(
        db, "UPDATE predictions SET state = 1, attempts = attempts + 1, started_ns = ?2 WHERE seq = ?1",
        KX_VALUES(KX_INT(seq), KX_INT(kx_clock_wall_ns(store->clock))), NULL, err));
    KX_TRY(kx_db_run(db,
                     "UPDATE keys SET served = (SELECT max(served) + 1 FROM keys) "
                     "WHERE id = (SELECT key_id FROM predictions WHERE seq = ?1)",
                     KX_VALUES(KX_INT(seq)), NULL, err));
    KX_TRY(kx_db_start(db, "SELECT " KX_PREDICTION_COLUMNS " FROM predictions WHERE seq = ?1",
                       KX_VALUES(KX_INT(seq)), &rows, err));
    KX_TRY(kx_db_next(db, rows, &wanted->found, err));
    if (wanted->found) KX_TRY(kx_prediction_read(rows, wanted->arena, wanted->prediction, err));
out:
    return status;
}

static kx_status apply_claim(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    claim *wanted = argument;
    int64_t seq;
    bool found;
    wanted->found = false;
    KX_TRY(kx_db_number(
        db,
        "SELECT oldest FROM (SELECT served, concurrency, id AS owner, (SELECT seq FROM " WAITING
        " AND prepared = 1 AND key_id = keys.id ORDER BY seq LIMIT 1) AS oldest FROM keys) "
        "WHERE oldest IS NOT NULL AND (SELECT count(*) FROM predictions WHERE state = 1 AND key_id = owner) "
        "< CASE WHEN concurrency > 0 THEN concurrency ELSE ?1 END ORDER BY served, owner LIMIT 1",
        KX_VALUES(KX_INT(wanted->default_concurrency)), &seq, &found, err));
    if (found) KX_TRY(start_job(store, db, seq, wanted, err));
out:
    return status;
}

kx_status kx_store_claim(kx_store *store, unsigned default_concurrency, kx_arena *arena,
                         kx_prediction *prediction, bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    claim wanted = {.default_concurrency = default_concurrency, .arena = arena, .prediction = prediction};
    bool is_waiting;
    *found = false;
    /* A look costs nothing; a change waits for the disk. */
    KX_TRY(is_anything(store, "SELECT 1 FROM " WAITING " AND prepared = 1 LIMIT 1", KX_NO_VALUES, &is_waiting,
                       err));
    if (!is_waiting) goto out;
    KX_TRY(kx_store_change(store, apply_claim, &wanted, err));
    *found = wanted.found;
out:
    return status;
}

/* Takes the oldest of the key's unprepared jobs that nobody has yet. */
static kx_status take_oldest(kx_store *store, kx_db *db, int64_t key_id, char id[33], bool *is_taken,
                             kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    *is_taken = false;
    KX_TRY(kx_db_start(db, "SELECT id FROM " UNPREPARED " AND key_id = ?1 ORDER BY seq",
                       KX_VALUES(KX_INT(key_id)), &rows, err));
    while (!*is_taken) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        kx_db_text_into(rows, 0, id, 33);
        KX_TRY(kx_taken_add(&store->preparations, kx_taken_name_of(id), is_taken, err));
    }
    sqlite3_reset(rows);
out:
    return status;
}

/* Keys take turns here too, in the order of their numbers: nothing is written, so nothing need be remembered
 * over a restart. */
static kx_status take_preparation(kx_store *store, kx_db *db, char id[33], bool *is_taken, kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *keys = NULL;
    *is_taken = false;
    KX_TRY(kx_db_start(db,
                       "SELECT id FROM keys WHERE EXISTS (SELECT 1 FROM " UNPREPARED " AND key_id = keys.id) "
                       "ORDER BY id <= ?1, id",
                       KX_VALUES(KX_INT(atomic_load(&store->last_prepared_key))), &keys, err));
    while (!*is_taken) {
        bool has_row;
        KX_TRY(kx_db_next(db, keys, &has_row, err));
        if (!has_row) break;
        int64_t key_id = sqlite3_column_int64(keys, 0);
        KX_TRY(take_oldest(store, db, key_id, id, is_taken, err));
        if (*is_taken) atomic_store(&store->last_prepared_key, key_id);
    }
out:
    kx_db_rest(db); /* what is read next is of a later moment */
    return status;
}

kx_status kx_store_claim_preparation(kx_store *store, kx_arena *arena, kx_prediction *prediction, bool *found,
                                     kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    char id[33];
    bool is_taken = false;
    *found = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    while (!*found) {
        KX_TRY(take_preparation(store, db, id, &is_taken, err));
        if (!is_taken) break;
        /* While the list was read, another thread may have prepared the job and given it back. */
        KX_TRY(kx_db_start(db,
                           "SELECT " KX_PREDICTION_COLUMNS
                           " FROM predictions WHERE id = ?1 AND state = 0 AND prepared = 0",
                           KX_VALUES(KX_TEXT(id)), &rows, err));
        KX_TRY(kx_db_next(db, rows, found, err));
        if (*found) KX_TRY(kx_prediction_read(rows, arena, prediction, err));
        if (!*found) kx_store_return_preparation(store, id);
    }
out:
    if (status != KX_OK && is_taken) kx_store_return_preparation(store, id);
    *found = *found && status == KX_OK;
    kx_store_reader_return(store, db);
    return status;
}

void kx_store_return_preparation(kx_store *store, const char *id)
{
    kx_taken_remove(&store->preparations, kx_taken_name_of(id));
}

typedef struct preparation {
    const char *id, *request;
} preparation;

static kx_status apply_prepared(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    (void)store;
    preparation *made = argument;
    return kx_db_run(db, "UPDATE predictions SET prepared = 1, request = ?2 WHERE id = ?1 AND state = 0",
                     KX_VALUES(KX_TEXT(made->id), KX_TEXT(made->request)), NULL, err);
}

kx_status kx_store_set_prepared(kx_store *store, const char *id, const char *request, kx_error *err)
{
    preparation made = {.id = id, .request = request};
    return kx_store_change(store, apply_prepared, &made, err);
}

/* With r jobs of its own key before it, this job runs in round r (from 0). Of every other key up to r jobs
 * run before it, and one more of those whose turn comes earlier in a round. */
kx_status kx_store_queue_position(kx_store *store, const char *id, unsigned *position, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    int64_t number;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_number(
        db,
        "WITH me AS MATERIALIZED (SELECT p.seq, p.key_id, k.served, (SELECT count(*) FROM " WAITING
        " AND key_id = p.key_id AND seq < p.seq) AS round FROM predictions AS p JOIN keys AS k "
        "ON k.id = p.key_id WHERE p.id = ?1 AND p.state = 0) "
        "SELECT me.round + coalesce((SELECT sum(min((SELECT count(*) FROM " WAITING
        " AND key_id = k.id), me.round + ((k.served, k.id) < (me.served, me.key_id)))) "
        "FROM keys AS k WHERE k.id <> me.key_id), 0) FROM me",
        KX_VALUES(KX_TEXT(id)), &number, NULL, err));
    *position = (unsigned)number;
out:
    kx_store_reader_return(store, db);
    return status;
}

kx_status kx_store_queue_count(kx_store *store, uint64_t counts[KX_JOB_STATES], kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    memset(counts, 0, KX_JOB_STATES * sizeof counts[0]);
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(
        kx_db_start(db, "SELECT state, count(*) FROM predictions GROUP BY state", KX_NO_VALUES, &rows, err));
    for (;;) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        int state = sqlite3_column_int(rows, 0);
        if (state >= 0 && state < KX_JOB_STATES) counts[state] = (uint64_t)sqlite3_column_int64(rows, 1);
    }
out:
    kx_store_reader_return(store, db);
    return status;
}

/* ---- Going back ---- */

typedef struct return_of_jobs {
    const char *id;
    unsigned max_attempts, requeued;
    bool uncount_attempt;
} return_of_jobs;

static kx_status put_back(kx_store *store, kx_db *db, const kx_job_row *row, bool uncount_attempt,
                          kx_error *err)
{
    static const kx_ending cancelled = {.state = KX_JOB_CANCELLED};
    if (row->cancel_requested) return kx_job_end(store, db, row, &cancelled, err);
    return kx_db_run(
        db,
        "UPDATE predictions SET state = 0, started_ns = 0, attempts = max(attempts - ?2, 0) WHERE seq = ?1",
        KX_VALUES(KX_INT(row->seq), KX_INT(uncount_attempt)), NULL, err);
}

static kx_status apply_requeue(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    return_of_jobs *wanted = argument;
    kx_job_row row;
    bool found;
    KX_TRY(kx_job_row_find(db, wanted->id, &row, &found, err));
    if (found && row.state == KX_JOB_PROCESSING)
        KX_TRY(put_back(store, db, &row, wanted->uncount_attempt, err));
out:
    return status;
}

kx_status kx_store_requeue(kx_store *store, const char *id, bool uncount_attempt, kx_error *err)
{
    return_of_jobs wanted = {.id = id, .uncount_attempt = uncount_attempt};
    return kx_store_change(store, apply_requeue, &wanted, err);
}

static kx_status put_back_orphan(kx_store *store, kx_db *db, const kx_job_row *row, return_of_jobs *wanted,
                                 kx_error *err)
{
    char words[128];
    snprintf(words, sizeof words, "The server stopped while it worked on this job, %u times.", row->attempts);
    kx_ending given_up = {.state = KX_JOB_FAILED, .code = 5000, .error = words};
    if (!row->cancel_requested && row->attempts >= wanted->max_attempts)
        return kx_job_end(store, db, row, &given_up, err);
    if (!row->cancel_requested) wanted->requeued++;
    return put_back(store, db, row, false, err);
}

static kx_status apply_orphans(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    return_of_jobs *wanted = argument;
    wanted->requeued = 0;
    KX_TRY(kx_db_run(db,
                     "UPDATE predictions SET delivered = -1 WHERE delivered = 2 AND state < 2 "
                     "AND EXISTS (SELECT 1 FROM predictions WHERE state = 1)",
                     KX_NO_VALUES, NULL, err));
    for (;;) {
        sqlite3_stmt *rows = NULL;
        kx_job_row row;
        char id[33];
        bool found;
        /* Each of them leaves the state, so the first that is left is always the next. */
        KX_TRY(
            kx_db_start(db, "SELECT id FROM predictions WHERE state = 1 LIMIT 1", KX_NO_VALUES, &rows, err));
        KX_TRY(kx_db_next(db, rows, &found, err));
        if (!found) break;
        kx_db_text_into(rows, 0, id, sizeof id);
        sqlite3_reset(rows);
        KX_TRY(kx_job_row_find(db, id, &row, &found, err));
        KX_TRY(put_back_orphan(store, db, &row, wanted, err));
    }
out:
    return status;
}

kx_status kx_store_requeue_orphans(kx_store *store, unsigned max_attempts, unsigned *requeued, kx_error *err)
{
    return_of_jobs wanted = {.max_attempts = max_attempts};
    kx_status status = kx_store_change(store, apply_orphans, &wanted, err);
    *requeued = status == KX_OK ? wanted.requeued : 0;
    return status;
}

/* ---- Checkpoints ---- */

typedef struct checkpoint {
    const char *id;
    const void *data;
    size_t bytes;
    int64_t ran_ms;
} checkpoint;

static kx_status apply_checkpoint(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    (void)store;
    checkpoint *made = argument;
    /* Nothing is kept of a job that has ended in the meantime. */
    return kx_db_run(
        db, "REPLACE INTO checkpoints SELECT seq, ?2, ?3 FROM predictions WHERE id = ?1 AND state < 2",
        KX_VALUES(KX_TEXT(made->id), KX_BYTES(made->data, made->bytes), KX_INT(made->ran_ms)), NULL, err);
}

kx_status kx_store_checkpoint_put(kx_store *store, const char *id, const void *data, size_t bytes,
                                  int64_t ran_ms, kx_error *err)
{
    checkpoint made = {.id = id, .data = data, .bytes = bytes, .ran_ms = ran_ms};
    return kx_store_change(store, apply_checkpoint, &made, err);
}

kx_status kx_store_checkpoint_get(kx_store *store, const char *id, kx_bytes *out, int64_t *ran_ms,
                                  bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    *found = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_start(
        db, "SELECT data, ran_ms FROM checkpoints JOIN predictions ON seq = prediction WHERE id = ?1",
        KX_VALUES(KX_TEXT(id)), &rows, err));
    KX_TRY(kx_db_next(db, rows, found, err));
    if (!*found) goto out;
    *ran_ms = sqlite3_column_int64(rows, 1);
    KX_TRY(kx_bytes_append(out, sqlite3_column_blob(rows, 0), (size_t)sqlite3_column_bytes(rows, 0), err));
out:
    kx_store_reader_return(store, db);
    return status;
}
