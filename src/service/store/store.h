/* The records: keys, predictions (which are the queue), files, uploads, money, webhooks. Today SQLite in
 * WAL mode; another database would stand behind the same calls.
 *
 * Changes that arrive together share one fully synchronous transaction (each in a savepoint of its own),
 * which one of their callers carries out: when a call returns KX_OK, its change is on the disk. Reads use
 * their own connections and never wait for a change. All calls are for any thread and may block; none holds a
 * lock while it calls out.
 *
 * Strings of records that are read live in the arena that the caller gives; strings of records that are
 * written are borrowed for the call. Times are wall time in nanoseconds; money is micro-dollars. Errors:
 * KX_ERR_OUTPUT (disk full, locked, read-only, damaged: the sentence says which), KX_ERR_MEMORY. "Not there"
 * is no error: see each call.
 */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "service/common/crypto.h"
#include "service/store/job_states.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kx_store kx_store;

/* `path` is the database file; it is made when absent, its folder too. Cheap, and safe beside a running
 * server (the program's `key` commands do it): no thread is started and nothing is changed unasked. */
kx_status kx_store_open(kx_store **store, const char *path, kx_clock *clock, kx_error *err);
void kx_store_close(kx_store *store);
/* Called once by the server, before the blobs and the queue are opened: a second server on the same database
 * is refused with KX_ERR_OUTPUT. Held until kx_store_close or the end of the process. */
kx_status kx_store_lock_server(kx_store *store, kx_error *err);
/* A write and a read; for /readyz. */
kx_status kx_store_check(kx_store *store, kx_error *err);

/* ---- Keys ---- */

typedef enum kx_role {
    KX_ROLE_READ = 1,
    KX_ROLE_SUBMIT = 2,
    KX_ROLE_ADMIN = 4
} kx_role; /* each includes the ones before */
const char *kx_role_name(kx_role role); /* "read", "submit", "admin" */
bool kx_role_parse(const char *name, kx_role *role);

typedef struct kx_key {
    int64_t id;
    const char *uuid; /* public name of the key, 32 hex digits */
    const char *name;
    kx_role role;
    const char *hint;                        /* first and last characters, for people */
    int64_t balance_micro;                   /* what can be reserved now */
    unsigned concurrency;                    /* 0: the server's setting */
    unsigned submits_per_minute;             /* 0: the server's setting */
    const char *webhook_secret;              /* "whsec_..." */
    int64_t created_ns, revoked_ns, used_ns; /* 0: not */
} kx_key;

/* Makes a key and tells its value ("kx_" + 40 hex digits) once; only a hash is stored. `value` NULL: random.
 * Of `key`, name, role, balance_micro and the limits count. KX_ERR_INPUT: a key that is not revoked has this
 * name or value already, or the value has more than 63 bytes. */
kx_status kx_store_key_create(kx_store *store, const kx_key *key, const char *value, char out_value[64],
                              kx_arena *arena, kx_key *made, kx_error *err);
/* *found false: unknown or revoked. Compared in constant time. From memory, so that it costs no disk; what
 * another process changes is seen within half a second, what this one changes at once. */
kx_status kx_store_key_find(kx_store *store, const char *value, kx_arena *arena, kx_key *key, bool *found,
                            kx_error *err);
/* By uuid, name or id, in this order; a revoked key only by uuid or id. */
kx_status kx_store_key_get(kx_store *store, const char *which, kx_arena *arena, kx_key *key, bool *found,
                           kx_error *err);
kx_status kx_store_key_list(kx_store *store, kx_arena *arena, kx_key **keys, size_t *count, kx_error *err);
kx_status kx_store_key_revoke(kx_store *store, int64_t key_id, bool *found, kx_error *err);
/* A new value; the old one ends at once. */
kx_status kx_store_key_rotate(kx_store *store, int64_t key_id, char out_value[64], kx_error *err);
kx_status kx_store_key_limits(kx_store *store, int64_t key_id, unsigned concurrency,
                              unsigned submits_per_minute, kx_error *err);
/* Adds to the balance (negative takes away), with a ledger row. */
kx_status kx_store_key_credit(kx_store *store, int64_t key_id, int64_t amount_micro, const char *why,
                              kx_error *err);
kx_status kx_store_key_rotate_secret(kx_store *store, int64_t key_id, char out_secret[64], kx_error *err);

/* ---- Predictions ---- */

typedef enum kx_charge { KX_CHARGE_RESERVED = 0, KX_CHARGE_CAPTURED, KX_CHARGE_RELEASED } kx_charge;

typedef struct kx_prediction {
    char id[33]; /* 32 lowercase hex digits */
    int64_t key_id;
    const char *model; /* "wavespeed-ai/flux-kontext-dev/multi" */
    kx_job_state state;
    const char
        *input; /* JSON object: the parameters as submitted; inline pictures stand as our own URLs' paths */
    const char *request;  /* JSON object: what the worker runs (queue/job_request.h) */
    const char *warnings; /* JSON array of strings */
    const char *outputs;  /* JSON array of {"file": token, "format", "width", "height", "seed"}; "[]" until
                             completed */
    const char *details;  /* JSON object: seeds, sizes, references, stage timings; "{}" until completed */
    const char *error;    /* "" when none */
    int code;             /* business code, 0 when fine */
    int64_t created_ns, started_ns, finished_ns;
    int64_t inference_ms;
    int64_t price_micro;
    kx_charge charge;
    unsigned num_images;
    unsigned attempts;
    bool base64;   /* outputs are told as base64 */
    bool prepared; /* every input picture is a blob */
    bool cancel_requested;
    const char *webhook;   /* URL, "" when none */
    const char *body_hash; /* of (model, body), for joining and for Idempotency-Key */
} kx_prediction;

typedef enum kx_submit_outcome {
    KX_SUBMIT_NEW = 0,
    KX_SUBMIT_JOINED, /* an equal submit whose answer was never delivered, or the same Idempotency-Key: `id`
                         is that job's */
    KX_SUBMIT_KEY_REUSED, /* Idempotency-Key with another body */
    KX_SUBMIT_NO_CREDIT,
    KX_SUBMIT_QUEUE_FULL,
} kx_submit_outcome;

typedef struct kx_submit {
    kx_prediction prediction;    /* id empty: made here */
    const char *idempotency_key; /* NULL: none; kept for a day */
    bool is_waited; /* the client waits for the end: if the server dies before, it had no answer */
    unsigned max_queued;
    int64_t join_window_ns; /* how long after its end an undelivered job can be joined: one minute */
} kx_submit;

/* In one transaction: joins, or reserves the price and stores the job. With an Idempotency-Key only that
 * decides about joining. A joined job stays joinable until kx_store_set_delivered(…, true). Cancelled ones
 * are not joined. */
kx_status kx_store_submit(kx_store *store, const kx_submit *submit, char id[33], kx_submit_outcome *outcome,
                          kx_error *err);
/* Whether the client got the answer to its submit. New jobs start as "not known"; only `false` makes a job
 * joinable. */
kx_status kx_store_set_delivered(kx_store *store, const char *id, bool delivered, kx_error *err);

kx_status kx_store_prediction_get(kx_store *store, const char *id, kx_arena *arena, kx_prediction *prediction,
                                  bool *found, kx_error *err);

typedef struct kx_history_query {
    int64_t key_id;              /* 0: all keys (admin) */
    const char *model;           /* NULL: any */
    int state;                   /* kx_job_state, or -1 */
    int64_t after_ns, before_ns; /* 0: open */
    unsigned page, page_size;    /* from 1 */
} kx_history_query;
kx_status kx_store_history(kx_store *store, const kx_history_query *query, kx_arena *arena,
                           kx_prediction **items, size_t *count, uint64_t *total, kx_error *err);
/* Deletes those of `ids` that belong to the key (0: any key): records and files; blobs go with the sweep.
 * Queued ones end as cancelled first; running ones get the mark and go when they end. *deleted counts them
 * all. */
kx_status kx_store_predictions_delete(kx_store *store, int64_t key_id, const char *const *ids, size_t count,
                                      size_t *deleted, kx_error *err);

/* ---- The queue ---- */

/* The next job to compute: prepared and created, of the key that was served longest ago among those below
 * their concurrency, oldest first within the key. Marks it processing and counts the attempt. *found false:
 * nothing to do. */
kx_status kx_store_claim(kx_store *store, unsigned default_concurrency, kx_arena *arena,
                         kx_prediction *prediction, bool *found, kx_error *err);
/* The next job whose inputs must be fetched, each given out once until it is given back, which whoever
 * claimed it does when he is done with it, or the process ends. */
kx_status kx_store_claim_preparation(kx_store *store, kx_arena *arena, kx_prediction *prediction, bool *found,
                                     kx_error *err);
void kx_store_return_preparation(kx_store *store, const char *id);
kx_status kx_store_set_prepared(kx_store *store, const char *id, const char *request, kx_error *err);
/* How many jobs will run before this one; 0 for the next. */
kx_status kx_store_queue_position(kx_store *store, const char *id, unsigned *position, kx_error *err);
kx_status kx_store_queue_count(kx_store *store, uint64_t counts[KX_JOB_STATES], kx_error *err);
/* How many jobs ended in which state since the store was opened, whoever or whatever ended them. */
void kx_store_ended_count(kx_store *store, uint64_t counts[KX_JOB_STATES]);
/* Processing jobs of an earlier process go back to created (they resume from their checkpoint), end as
 * cancelled when they were asked to, or fail when their attempts are used up. Where there are any, that
 * process died: unended jobs whose clients waited can be joined. Called once at the server's start. */
kx_status kx_store_requeue_orphans(kx_store *store, unsigned max_attempts, unsigned *requeued, kx_error *err);
/* Back to created, at its old place, after a transient fault or at a graceful stop (which does not count as
 * an attempt). One that was asked to cancel ends as cancelled; one that is not processing stays as it is. */
kx_status kx_store_requeue(kx_store *store, const char *id, bool uncount_attempt, kx_error *err);

typedef struct kx_output {
    const char *blob;         /* hash */
    const char *content_type; /* "image/png" */
    const char *suffix;       /* "png" */
    const char *record;       /* JSON object put into `outputs` beside "file" */
    uint64_t bytes;
} kx_output;

typedef struct kx_ending {
    kx_job_state state; /* completed, failed, cancelled, timeout */
    int code;
    const char *error;
    const kx_output *outputs;
    size_t num_outputs;
    const char *details;
    int64_t inference_ms;
} kx_ending;

/* In one transaction: the state, output files, the money (captured when completed, else released) and, where
 * the job has a webhook, the outbox row. *done false: the job had ended already, or is gone (nothing
 * changes). */
kx_status kx_store_finish(kx_store *store, const char *id, const kx_ending *ending, bool *done,
                          kx_error *err);
/* Created jobs end as cancelled at once; processing ones get the mark. *found false: unknown to this key (0:
 * any key); *state: what it is now. */
kx_status kx_store_cancel(kx_store *store, int64_t key_id, const char *id, bool *found, kx_job_state *state,
                          kx_error *err);

/* The latents of a running job, and the time that it took to make them; replaced as a whole, gone with its
 * end. */
kx_status kx_store_checkpoint_put(kx_store *store, const char *id, const void *data, size_t bytes,
                                  int64_t ran_ms, kx_error *err);
kx_status kx_store_checkpoint_get(kx_store *store, const char *id, kx_bytes *out, int64_t *ran_ms,
                                  bool *found, kx_error *err);

/* ---- Files: what URLs serve ---- */

typedef struct kx_stored_file {
    char token[33]; /* unguessable; the URL is /files/TOKEN.SUFFIX */
    int64_t key_id;
    const char *blob, *content_type, *suffix, *filename;
    uint64_t bytes;
    int64_t created_ns, expires_ns; /* 0: goes with its prediction */
} kx_stored_file;

/* Output files come with kx_store_finish. This one is for uploads and inline inputs. Over the quota of the
 * key (sum of its unexpired files, outputs not counted): *within_quota false, nothing stored. */
kx_status kx_store_file_add(kx_store *store, const kx_stored_file *file, uint64_t quota_bytes, char token[33],
                            bool *within_quota, kx_error *err);
kx_status kx_store_file_get(kx_store *store, const char *token, kx_arena *arena, kx_stored_file *file,
                            bool *found, kx_error *err);

typedef struct kx_ticket { /* of an upload to come */
    char token[33];
    int64_t key_id;
    const char *filename, *content_type;
    uint64_t bytes; /* announced */
    int64_t expires_ns;
    char file_token[33]; /* the file that it will be */
    bool used;
} kx_ticket;
kx_status kx_store_ticket_add(kx_store *store, const kx_ticket *ticket, kx_error *err);
kx_status kx_store_ticket_get(kx_store *store, const char *token, kx_arena *arena, kx_ticket *ticket,
                              bool *found, kx_error *err);
/* Turns the ticket into its file; *used true: somebody was first. */
kx_status kx_store_ticket_use(kx_store *store, const kx_ticket *ticket, const kx_stored_file *file,
                              uint64_t quota_bytes, bool *used, bool *within_quota, kx_error *err);

/* ---- Webhooks ---- */

typedef struct kx_delivery {
    int64_t id;
    char prediction[33];
    int64_t key_id;
    const char *url, *secret;
    unsigned attempt; /* tries made */
    int64_t next_ns;
    const char *state; /* "pending", "delivered", "failed" */
    int last_status;   /* HTTP status, 0: none */
    const char *last_error;
    int64_t created_ns, updated_ns;
} kx_delivery;

/* Deliveries that are due, each given out once until it is settled or the process ends. */
kx_status kx_store_delivery_claim(kx_store *store, kx_arena *arena, kx_delivery *delivery, bool *found,
                                  kx_error *err);
/* `next_ns` 0: settled as delivered or failed; else tried again then. Writes a row of the delivery log. After
 * an error the delivery is still given out: call again. */
kx_status kx_store_delivery_result(kx_store *store, int64_t id, bool delivered, int http_status,
                                   const char *error, int64_t next_ns, kx_error *err);
kx_status kx_store_delivery_list(kx_store *store, int64_t key_id, const char *prediction, kx_arena *arena,
                                 kx_delivery **items, size_t *count, kx_error *err);
typedef struct kx_delivery_try {
    unsigned attempt;
    int64_t at_ns;
    int http_status;
    const char *error;
} kx_delivery_try;
kx_status kx_store_delivery_log(kx_store *store, int64_t delivery_id, kx_arena *arena,
                                kx_delivery_try **tries, size_t *count, kx_error *err);
/* A new delivery of an ended prediction's result, due now. */
kx_status kx_store_delivery_again(kx_store *store, int64_t key_id, const char *prediction, bool *found,
                                  kx_error *err);
/* When the next delivery that is not given out is due; 0: none. */
kx_status kx_store_delivery_next(kx_store *store, int64_t *due_ns, kx_error *err);

/* ---- Money ---- */

typedef struct kx_ledger_row {
    const char *uuid;
    int64_t key_id;
    const char *kind;     /* "reserve", "capture", "release", "credit" */
    int64_t amount_micro; /* as it changed the balance: a capture is 0 (the reservation took it), see
                             `price_micro` */
    int64_t price_micro;
    const char *prediction, *model, *status, *note;
    const char *key_name, *key_uuid;
    int64_t at_ns;
} kx_ledger_row;
typedef struct kx_ledger_query {
    int64_t key_id;           /* 0: all */
    const char *kind, *model; /* NULL: any */
    int64_t after_ns, before_ns;
    unsigned page, page_size;
} kx_ledger_query;
kx_status kx_store_ledger(kx_store *store, const kx_ledger_query *query, kx_arena *arena,
                          kx_ledger_row **rows, size_t *count, bool *more, kx_error *err);

typedef struct kx_usage_row {
    const char *name; /* model, or "2026-11-24" */
    int64_t amount_micro;
    uint64_t count, completed;
} kx_usage_row;
typedef struct kx_usage {
    kx_usage_row *models, *days;
    size_t num_models, num_days;
    int64_t total_micro;
    uint64_t requests, completed;
} kx_usage;
kx_status kx_store_usage(kx_store *store, int64_t key_id, const char *model, int64_t after_ns,
                         int64_t before_ns, kx_arena *arena, kx_usage *usage, kx_error *err);

/* ---- Retention ---- */

/* Removes predictions that ended before `before_ns`, files that have expired, used or expired tickets, old
 * idempotency keys; the ledger stays. */
kx_status kx_store_expire(kx_store *store, int64_t before_ns, uint64_t *removed, kx_error *err);
/* Whether any record names the blob: a file, or the request of a job that has not ended. A blob is put before
 * its record, so a sweep leaves young blobs alone: kx_blobs_remove_older. */
kx_status kx_store_blob_is_used(kx_store *store, const char *hash, bool *used, kx_error *err);
