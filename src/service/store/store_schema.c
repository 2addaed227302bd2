/* The tables, as the steps that lead to them: step N turns a database of version N (PRAGMA user_version) into
 * one of version N + 1. A step that has been released is never changed; a change of the schema is a new step.
 * What the columns mean stands in store.h; docs/internals/store.md tells the reasons. */
#include "service/store/store_parts.h"

static const char *const steps[] = {
    "CREATE TABLE keys ("
    "  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,"
    "  hint TEXT NOT NULL, role INTEGER NOT NULL, balance_micro INTEGER NOT NULL, concurrency INTEGER NOT "
    "NULL,"
    "  submits_per_minute INTEGER NOT NULL, webhook_secret TEXT NOT NULL, created_ns INTEGER NOT NULL,"
    "  revoked_ns INTEGER NOT NULL DEFAULT 0, used_ns INTEGER NOT NULL DEFAULT 0,"
    "  served INTEGER NOT NULL DEFAULT 0);" /* grows; the key served longest ago has the lowest */
    "CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked_ns = 0;"

    /* What is asked for often stands in front, so that it is read without the long texts. */
    "CREATE TABLE predictions ("
    "  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key_id INTEGER NOT NULL REFERENCES keys (id),"
    "  state INTEGER NOT NULL, created_ns INTEGER NOT NULL, started_ns INTEGER NOT NULL DEFAULT 0,"
    "  finished_ns INTEGER NOT NULL DEFAULT 0, prepared INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT "
    "0,"
    "  cancel_requested INTEGER NOT NULL DEFAULT 0, delete_requested INTEGER NOT NULL DEFAULT 0,"
    "  delivered INTEGER NOT NULL DEFAULT 0," /* 1 yes, -1 no, 0 not known, 2 not known and waited for */
    "  charge INTEGER NOT NULL, price_micro INTEGER NOT NULL, num_images INTEGER NOT NULL,"
    "  base64 INTEGER NOT NULL, code INTEGER NOT NULL DEFAULT 0, inference_ms INTEGER NOT NULL DEFAULT 0,"
    "  model TEXT NOT NULL, body_hash TEXT NOT NULL, webhook TEXT NOT NULL, error TEXT NOT NULL DEFAULT '',"
    "  warnings TEXT NOT NULL, outputs TEXT NOT NULL DEFAULT '[]', details TEXT NOT NULL DEFAULT '{}',"
    "  request TEXT NOT NULL, input TEXT NOT NULL);"
    "CREATE INDEX predictions_waiting ON predictions (key_id, seq, prepared) WHERE state = 0;"
    "CREATE INDEX predictions_running ON predictions (key_id) WHERE state = 1;"
    "CREATE INDEX predictions_state ON predictions (state, finished_ns);"
    "CREATE INDEX predictions_key ON predictions (key_id, created_ns);"
    "CREATE INDEX predictions_created ON predictions (created_ns);"
    "CREATE INDEX predictions_undelivered ON predictions (key_id, body_hash) WHERE delivered = -1;"

    "CREATE TABLE checkpoints ("
    "  prediction INTEGER PRIMARY KEY REFERENCES predictions (seq) ON DELETE CASCADE, data BLOB NOT NULL);"

    "CREATE TABLE idempotency ("
    "  key_id INTEGER NOT NULL, name TEXT NOT NULL, body_hash TEXT NOT NULL, created_ns INTEGER NOT NULL,"
    "  prediction INTEGER NOT NULL REFERENCES predictions (seq) ON DELETE CASCADE,"
    "  PRIMARY KEY (key_id, name)) WITHOUT ROWID;"
    "CREATE INDEX idempotency_prediction ON idempotency (prediction);"

    "CREATE TABLE files ("
    "  token TEXT PRIMARY KEY, key_id INTEGER NOT NULL REFERENCES keys (id),"
    "  prediction INTEGER REFERENCES predictions (seq) ON DELETE CASCADE," /* NULL: uploaded */
    "  blob TEXT NOT NULL, content_type TEXT NOT NULL, suffix TEXT NOT NULL, filename TEXT NOT NULL,"
    "  bytes INTEGER NOT NULL, created_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX files_prediction ON files (prediction) WHERE prediction IS NOT NULL;"
    "CREATE INDEX files_uploaded ON files (key_id, expires_ns, bytes) WHERE prediction IS NULL;"
    "CREATE INDEX files_blob ON files (blob);"

    "CREATE TABLE tickets ("
    "  token TEXT PRIMARY KEY, key_id INTEGER NOT NULL REFERENCES keys (id), filename TEXT NOT NULL,"
    "  content_type TEXT NOT NULL, bytes INTEGER NOT NULL, expires_ns INTEGER NOT NULL,"
    "  file_token TEXT NOT NULL, used INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"

    "CREATE TABLE deliveries ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  prediction INTEGER NOT NULL REFERENCES predictions (seq) ON DELETE CASCADE, url TEXT NOT NULL,"
    "  state TEXT NOT NULL DEFAULT 'pending', attempt INTEGER NOT NULL DEFAULT 0, next_ns INTEGER NOT NULL,"
    "  last_status INTEGER NOT NULL DEFAULT 0, last_error TEXT NOT NULL DEFAULT '', created_ns INTEGER NOT "
    "NULL,"
    "  updated_ns INTEGER NOT NULL);"
    "CREATE INDEX deliveries_due ON deliveries (next_ns) WHERE state = 'pending';"
    "CREATE INDEX deliveries_prediction ON deliveries (prediction);"
    "CREATE TABLE delivery_tries ("
    "  delivery INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE, attempt INTEGER NOT NULL,"
    "  at_ns INTEGER NOT NULL, http_status INTEGER NOT NULL, error TEXT NOT NULL,"
    "  PRIMARY KEY (delivery, attempt)) WITHOUT ROWID;"

    /* The ledger outlives the predictions it speaks of. */
    "CREATE TABLE ledger ("
    "  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, key_id INTEGER NOT NULL REFERENCES keys (id),"
    "  kind TEXT NOT NULL, amount_micro INTEGER NOT NULL, price_micro INTEGER NOT NULL, prediction TEXT,"
    "  model TEXT NOT NULL, status TEXT NOT NULL, note TEXT NOT NULL, at_ns INTEGER NOT NULL);"
    "CREATE INDEX ledger_key ON ledger (key_id, at_ns);"
    "CREATE INDEX ledger_at ON ledger (at_ns);"
    /* Money moves once: one reservation for each prediction, and one end of it. */
    "CREATE UNIQUE INDEX ledger_reserve ON ledger (prediction) WHERE kind = 'reserve';"
    "CREATE UNIQUE INDEX ledger_settle ON ledger (prediction) WHERE kind IN ('capture', 'release');"

    "CREATE TABLE checks (id INTEGER PRIMARY KEY CHECK (id = 1), at_ns INTEGER NOT NULL);"
    "INSERT INTO checks VALUES (1, 0);",

    /* Every wake asks for these, and there are few or none of them. */
    "CREATE INDEX predictions_unprepared ON predictions (key_id, seq) WHERE state = 0 AND prepared = 0;",

    "ALTER TABLE checkpoints ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0;",
};

enum { VERSION = sizeof steps / sizeof steps[0] };

/* The states are stored as numbers and stand in the indexes above. */
_Static_assert(KX_JOB_CREATED == 0 && KX_JOB_PROCESSING == 1 && KX_JOB_COMPLETED == 2 && KX_JOB_FAILED == 3 &&
                   KX_JOB_CANCELLED == 4 && KX_JOB_TIMEOUT == 5,
               "a stored state has changed its number");

static kx_status read_version(kx_db *db, int64_t *version, kx_error *err)
{
    return kx_db_number(db, "PRAGMA user_version", KX_NO_VALUES, version, NULL, err);
}

static kx_status take_steps(kx_db *db, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t version;
    /* Read again: another process may have been first. */
    KX_TRY(read_version(db, &version, err));
    for (; version < VERSION; version++) KX_TRY(kx_db_script(db, steps[version], err));
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", VERSION);
    KX_TRY(kx_db_script(db, sql, err));
out:
    return status;
}

kx_status kx_schema_bring_up(kx_db *db, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t version;
    KX_TRY(read_version(db, &version, err));
    KX_FAIL_IF(
        version > VERSION, err, KX_ERR_OUTPUT,
        "%s: the database is of version %lld, this program knows versions up to %d: it was written by a "
        "newer one",
        path, (long long)version, VERSION);
    if (version == VERSION) goto out;
    KX_TRY(kx_db_script(db, "BEGIN IMMEDIATE", err));
    status = take_steps(db, err);
    if (status == KX_OK) status = kx_db_script(db, "COMMIT", err);
    if (status != KX_OK) sqlite3_exec(kx_db_handle(db), "ROLLBACK", NULL, NULL, NULL);
out:
    return status;
}
