/* How a job ends: its state, its files, its money and its webhook change together or not at all. */
#include "service/store/store_parts.h"

#include <jansson.h>

kx_status kx_job_row_find(kx_db *db, const char *id, kx_job_row *row, bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    KX_TRY(kx_db_start(
        db,
        "SELECT seq, key_id, price_micro, state, charge, attempts, cancel_requested, delete_requested, "
        "id, model, webhook <> '' FROM predictions WHERE id = ?1",
        KX_VALUES(KX_TEXT(id)), &rows, err));
    KX_TRY(kx_db_next(db, rows, found, err));
    if (!*found) goto out;
    *row = (kx_job_row){
        .seq = sqlite3_column_int64(rows, 0),
        .key_id = sqlite3_column_int64(rows, 1),
        .price_micro = sqlite3_column_int64(rows, 2),
        .state = (kx_job_state)sqlite3_column_int(rows, 3),
        .charge = (kx_charge)sqlite3_column_int(rows, 4),
        .attempts = (unsigned)sqlite3_column_int64(rows, 5),
        .cancel_requested = sqlite3_column_int(rows, 6) != 0,
        .delete_requested = sqlite3_column_int(rows, 7) != 0,
        .has_webhook = sqlite3_column_int(rows, 10) != 0,
    };
    kx_db_text_into(rows, 8, row->id, sizeof row->id);
    kx_db_text_into(rows, 9, row->model, sizeof row->model);
    sqlite3_reset(rows);
out:
    return status;
}

/* {"file": token, ...record} appended to `list`. */
static kx_status append_output(json_t *list, const kx_output *output, const char *token, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *record = NULL, *whole = json_object();
    KX_FAIL_IF(whole == NULL || json_object_set_new(whole, "file", json_string(token)) != 0, err,
               KX_ERR_MEMORY, "out of memory");
    if (output->record != NULL) {
        record = json_loads(output->record, 0, NULL);
        KX_FAIL_IF(!json_is_object(record), err, KX_ERR_INTERNAL,
                   "the record of an output is no JSON object");
        KX_FAIL_IF(json_object_update_missing(whole, record) != 0, err, KX_ERR_MEMORY, "out of memory");
    }
    KX_FAIL_IF(json_array_append(list, whole) != 0, err, KX_ERR_MEMORY, "out of memory");
out:
    json_decref(record);
    json_decref(whole);
    return status;
}

static kx_status add_outputs(kx_db *db, const kx_job_row *row, const kx_ending *ending, int64_t now_ns,
                             json_t *list, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < ending->num_outputs; i++) {
        const kx_output *output = &ending->outputs[i];
        char token[33], filename[64];
        KX_TRY(kx_random_hex(token, 32, err));
        snprintf(filename, sizeof filename, "%.33s_%zu.%.8s", row->id, i, output->suffix);
        KX_TRY(kx_db_run(
            db,
            "INSERT INTO files (token, key_id, prediction, blob, content_type, suffix, filename, bytes, "
            "created_ns, expires_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)",
            KX_VALUES(KX_TEXT(token), KX_INT(row->key_id), KX_INT(row->seq), KX_TEXT(output->blob),
                      KX_TEXT(output->content_type), KX_TEXT(output->suffix), KX_TEXT(filename),
                      KX_INT(output->bytes), KX_INT(now_ns)),
            NULL, err));
        KX_TRY(append_output(list, output, token, err));
    }
out:
    return status;
}

/* The reservation is captured or given back: once, since only a reserved charge gets here and the ledger
 * refuses a second row. */
static kx_status settle(kx_store *store, kx_db *db, const kx_job_row *row, kx_job_state state, kx_error *err)
{
    kx_status status = KX_OK;
    bool is_captured = state == KX_JOB_COMPLETED;
    KX_FAIL_IF(row->charge != KX_CHARGE_RESERVED, err, KX_ERR_INTERNAL,
               "prediction %s: its price is not reserved any more", row->id);
    kx_ledger_row entry = {
        .key_id = row->key_id,
        .kind = is_captured ? "capture" : "release",
        .amount_micro = is_captured ? 0 : row->price_micro,
        .price_micro = row->price_micro,
        .prediction = row->id,
        .model = row->model,
        .status = kx_job_state_name(state),
    };
    KX_TRY(kx_ledger_add(store, db, &entry, err));
out:
    return status;
}

static kx_status add_delivery(kx_db *db, const kx_job_row *row, int64_t now_ns, kx_error *err)
{
    return kx_db_run(db,
                     "INSERT INTO deliveries (prediction, url, next_ns, created_ns, updated_ns) "
                     "SELECT seq, webhook, ?2, ?2, ?2 FROM predictions WHERE seq = ?1",
                     KX_VALUES(KX_INT(row->seq), KX_INT(now_ns)), NULL, err);
}

kx_status kx_job_end(kx_store *store, kx_db *db, const kx_job_row *row, const kx_ending *ending,
                     kx_error *err)
{
    kx_status status = KX_OK;
    int64_t now_ns = kx_clock_wall_ns(store->clock);
    json_t *list = json_array();
    char *outputs = NULL;
    KX_FAIL_IF(list == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_FAIL_IF(!kx_job_state_ended(ending->state) || !kx_job_state_may_become(row->state, ending->state), err,
               KX_ERR_INTERNAL, "prediction %s: %s cannot become %s", row->id, kx_job_state_name(row->state),
               kx_job_state_name(ending->state));
    KX_TRY(add_outputs(db, row, ending, now_ns, list, err));
    outputs = json_dumps(list, JSON_COMPACT);
    KX_FAIL_IF(outputs == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(settle(store, db, row, ending->state, err));
    KX_TRY(kx_db_run(
        db,
        "UPDATE predictions SET state = ?2, finished_ns = ?3, code = ?4, error = ?5, outputs = ?6, "
        "details = ?7, inference_ms = ?8, charge = ?9 WHERE seq = ?1",
        KX_VALUES(KX_INT(row->seq), KX_INT(ending->state), KX_INT(now_ns), KX_INT(ending->code),
                  KX_TEXT(ending->error == NULL ? "" : ending->error), KX_TEXT(outputs),
                  KX_TEXT(ending->details == NULL ? "{}" : ending->details), KX_INT(ending->inference_ms),
                  KX_INT(ending->state == KX_JOB_COMPLETED ? KX_CHARGE_CAPTURED : KX_CHARGE_RELEASED)),
        NULL, err));
    KX_TRY(kx_db_run(db, "DELETE FROM checkpoints WHERE prediction = ?1", KX_VALUES(KX_INT(row->seq)), NULL,
                     err));
    if (row->delete_requested)
        KX_TRY(kx_job_delete(store, db, row, err));
    else if (row->has_webhook)
        KX_TRY(add_delivery(db, row, now_ns, err));
    store->writer.ended[ending->state]++;
out:
    free(outputs);
    json_decref(list);
    return status;
}

void kx_store_ended_count(kx_store *store, uint64_t counts[KX_JOB_STATES])
{
    for (size_t i = 0; i < KX_JOB_STATES; i++) counts[i] = atomic_load(&store->ended[i]);
}

kx_status kx_job_delete(kx_store *store, kx_db *db, const kx_job_row *row, kx_error *err)
{
    (void)store;
    /* Files, checkpoint, deliveries and idempotency keys go with it; the ledger does not. */
    return kx_db_run(db, "DELETE FROM predictions WHERE seq = ?1", KX_VALUES(KX_INT(row->seq)), NULL, err);
}

typedef struct finishing {
    const char *id;
    const kx_ending *ending;
    bool done;
} finishing;

static kx_status apply_finish(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    finishing *wanted = argument;
    kx_job_row row;
    bool found;
    wanted->done = false;
    KX_TRY(kx_job_row_find(db, wanted->id, &row, &found, err));
    if (!found || kx_job_state_ended(row.state)) goto out;
    KX_TRY(kx_job_end(store, db, &row, wanted->ending, err));
    wanted->done = true;
out:
    return status;
}

kx_status kx_store_finish(kx_store *store, const char *id, const kx_ending *ending, bool *done, kx_error *err)
{
    finishing wanted = {.id = id, .ending = ending};
    kx_status status = kx_store_change(store, apply_finish, &wanted, err);
    *done = status == KX_OK && wanted.done;
    return status;
}

typedef struct cancelling {
    int64_t key_id;
    const char *id;
    bool found;
    kx_job_state state;
} cancelling;

static kx_status apply_cancel(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    static const kx_ending cancelled = {.state = KX_JOB_CANCELLED};
    kx_status status = KX_OK;
    cancelling *wanted = argument;
    kx_job_row row;
    KX_TRY(kx_job_row_find(db, wanted->id, &row, &wanted->found, err));
    wanted->found = wanted->found && (wanted->key_id == 0 || row.key_id == wanted->key_id);
    if (!wanted->found) goto out;
    wanted->state = row.state;
    if (row.state == KX_JOB_CREATED) {
        KX_TRY(kx_job_end(store, db, &row, &cancelled, err));
        wanted->state = KX_JOB_CANCELLED;
    } else if (row.state == KX_JOB_PROCESSING && !row.cancel_requested) {
        KX_TRY(kx_db_run(db, "UPDATE predictions SET cancel_requested = 1 WHERE seq = ?1",
                         KX_VALUES(KX_INT(row.seq)), NULL, err));
    }
out:
    return status;
}

kx_status kx_store_cancel(kx_store *store, int64_t key_id, const char *id, bool *found, kx_job_state *state,
                          kx_error *err)
{
    cancelling wanted = {.key_id = key_id, .id = id};
    kx_status status = kx_store_change(store, apply_cancel, &wanted, err);
    *found = status == KX_OK && wanted.found;
    if (*found) *state = wanted.state;
    return status;
}
