/* A submit: joined to a job whose answer its client never got, or stored as a new one, its price reserved;
 * all in one transaction, so that two submits that arrive together see each other. */
#include "service/store/store_parts.h"

typedef struct submission {
    const kx_submit *submit;
    char id[33];
    kx_submit_outcome outcome;
    int64_t now_ns;
    bool is_decided;
} submission;

static kx_status find_idempotent(kx_db *db, submission *sent, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_prediction *wanted = &sent->submit->prediction;
    sqlite3_stmt *rows = NULL;
    bool found;
    KX_TRY(kx_db_start(
        db,
        "SELECT predictions.id, idempotency.body_hash = ?3 FROM idempotency JOIN predictions ON seq = "
        "prediction WHERE idempotency.key_id = ?1 AND name = ?2 AND idempotency.created_ns > ?4",
        KX_VALUES(KX_INT(wanted->key_id), KX_TEXT(sent->submit->idempotency_key), KX_TEXT(wanted->body_hash),
                  KX_INT(sent->now_ns - KX_STORE_IDEMPOTENCY_NS)),
        &rows, err));
    KX_TRY(kx_db_next(db, rows, &found, err));
    if (!found) goto out;
    sent->is_decided = true;
    sent->outcome = sqlite3_column_int(rows, 1) != 0 ? KX_SUBMIT_JOINED : KX_SUBMIT_KEY_REUSED;
    kx_db_text_into(rows, 0, sent->id, sizeof sent->id);
    sqlite3_reset(rows);
out:
    return status;
}

/* A cancelled job is not joined: its end was wanted, and so is the new one. */
static kx_status find_undelivered(kx_db *db, submission *sent, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_prediction *wanted = &sent->submit->prediction;
    sqlite3_stmt *rows = NULL;
    bool found;
    KX_TRY(kx_db_start(
        db,
        "SELECT id FROM predictions WHERE delivered = -1 AND key_id = ?1 AND body_hash = ?2 AND model = "
        "?3 AND (state < 2 OR finished_ns >= ?4) AND cancel_requested = 0 AND state <> ?5 "
        "ORDER BY seq DESC LIMIT 1",
        KX_VALUES(KX_INT(wanted->key_id), KX_TEXT(wanted->body_hash), KX_TEXT(wanted->model),
                  KX_INT(sent->now_ns - sent->submit->join_window_ns), KX_INT(KX_JOB_CANCELLED)),
        &rows, err));
    KX_TRY(kx_db_next(db, rows, &found, err));
    if (!found) goto out;
    sent->is_decided = true;
    sent->outcome = KX_SUBMIT_JOINED;
    kx_db_text_into(rows, 0, sent->id, sizeof sent->id);
    sqlite3_reset(rows);
out:
    return status;
}

static kx_status check_room(kx_db *db, submission *sent, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_prediction *wanted = &sent->submit->prediction;
    int64_t waiting, balance_micro;
    bool found;
    KX_TRY(kx_db_number(db, "SELECT count(*) FROM predictions WHERE state = 0", KX_NO_VALUES, &waiting, NULL,
                        err));
    sent->is_decided = waiting >= (int64_t)sent->submit->max_queued;
    sent->outcome = KX_SUBMIT_QUEUE_FULL;
    if (sent->is_decided) goto out;
    KX_TRY(kx_db_number(db, "SELECT balance_micro FROM keys WHERE id = ?1", KX_VALUES(KX_INT(wanted->key_id)),
                        &balance_micro, &found, err));
    KX_FAIL_IF(!found, err, KX_ERR_INTERNAL, "there is no key of the number %lld", (long long)wanted->key_id);
    sent->is_decided = balance_micro < wanted->price_micro && wanted->price_micro > 0;
    sent->outcome = KX_SUBMIT_NO_CREDIT;
out:
    return status;
}

static const char *or_else(const char *text, const char *other)
{
    return text == NULL ? other : text;
}

static kx_status insert_prediction(kx_store *store, kx_db *db, submission *sent, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_prediction *p = &sent->submit->prediction;
    if (p->id[0] != '\0')
        snprintf(sent->id, sizeof sent->id, "%s", p->id);
    else
        KX_TRY(kx_random_hex(sent->id, 32, err));
    KX_TRY(kx_db_run(db,
                     "INSERT INTO predictions (id, key_id, state, created_ns, prepared, charge, price_micro, "
                     "num_images, base64, model, body_hash, webhook, warnings, request, input, delivered) "
                     "VALUES (?1, ?2, 0, "
                     "?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                     KX_VALUES(KX_TEXT(sent->id), KX_INT(p->key_id), KX_INT(sent->now_ns),
                               KX_INT(p->prepared), KX_INT(p->price_micro), KX_INT(p->num_images),
                               KX_INT(p->base64), KX_TEXT(or_else(p->model, "")),
                               KX_TEXT(or_else(p->body_hash, "")), KX_TEXT(or_else(p->webhook, "")),
                               KX_TEXT(or_else(p->warnings, "[]")), KX_TEXT(or_else(p->request, "{}")),
                               KX_TEXT(or_else(p->input, "{}")), KX_INT(sent->submit->is_waited ? 2 : 0)),
                     NULL, err));
    int64_t seq = sqlite3_last_insert_rowid(kx_db_handle(db));
    if (sent->submit->idempotency_key != NULL)
        KX_TRY(kx_db_run(db, "REPLACE INTO idempotency VALUES (?1, ?2, ?3, ?4, ?5)",
                         KX_VALUES(KX_INT(p->key_id), KX_TEXT(sent->submit->idempotency_key),
                                   KX_TEXT(or_else(p->body_hash, "")), KX_INT(sent->now_ns), KX_INT(seq)),
                         NULL, err));
    KX_TRY(kx_ledger_add(store, db,
                         &(kx_ledger_row){.key_id = p->key_id,
                                          .kind = "reserve",
                                          .amount_micro = -p->price_micro,
                                          .price_micro = p->price_micro,
                                          .prediction = sent->id,
                                          .model = p->model,
                                          .status = kx_job_state_name(KX_JOB_CREATED)},
                         err));
    sent->outcome = KX_SUBMIT_NEW;
out:
    return status;
}

static kx_status apply_submit(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    submission *sent = argument;
    const kx_submit *submit = sent->submit;
    sent->is_decided = false;
    sent->now_ns = kx_clock_wall_ns(store->clock);
    bool has_body = submit->prediction.body_hash != NULL && submit->prediction.body_hash[0] != '\0';
    /* Who names his submits says himself which are the same. */
    if (submit->idempotency_key != NULL)
        KX_TRY(find_idempotent(db, sent, err));
    else if (has_body)
        KX_TRY(find_undelivered(db, sent, err));
    if (!sent->is_decided) KX_TRY(check_room(db, sent, err));
    if (!sent->is_decided) KX_TRY(insert_prediction(store, db, sent, err));
out:
    return status;
}

kx_status kx_store_submit(kx_store *store, const kx_submit *submit, char id[33], kx_submit_outcome *outcome,
                          kx_error *err)
{
    submission sent = {.submit = submit};
    kx_status status = kx_store_change(store, apply_submit, &sent, err);
    if (status != KX_OK) return status;
    snprintf(id, 33, "%s", sent.id);
    *outcome = sent.outcome;
    return status;
}

typedef struct delivery_mark {
    const char *id;
    int delivered;
} delivery_mark;

static kx_status apply_delivered(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    (void)store;
    delivery_mark *mark = argument;
    return kx_db_run(db, "UPDATE predictions SET delivered = ?2 WHERE id = ?1",
                     KX_VALUES(KX_TEXT(mark->id), KX_INT(mark->delivered)), NULL, err);
}

/* Most answers arrive, and then nothing need be written: "not known" is joined as little as "yes". */
kx_status kx_store_set_delivered(kx_store *store, const char *id, bool delivered, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    int64_t before;
    bool found;
    delivery_mark mark = {.id = id, .delivered = delivered ? 1 : -1};
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_number(db, "SELECT delivered FROM predictions WHERE id = ?1", KX_VALUES(KX_TEXT(id)),
                        &before, &found, err));
    kx_store_reader_return(store, db);
    db = NULL;
    if (!found || before == mark.delivered || (delivered && before >= 0)) goto out;
    KX_TRY(kx_store_change(store, apply_delivered, &mark, err));
out:
    kx_store_reader_return(store, db);
    return status;
}
