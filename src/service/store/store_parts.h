/* What the files of the store share. Nobody outside includes this.
 *
 * Locks, never two at a time except in the order written here: cache.lock, then pool.lock. The right to
 * change (writer.is_busy) is no lock: who holds it may take any of them. */
#pragma once

#include "service/store/store.h"
#include "service/store/store_db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KX_STORE_READERS = 8, KX_STORE_TOUCHED = 64 };

/* How long an Idempotency-Key decides. */
#define KX_STORE_IDEMPOTENCY_NS (INT64_C(24) * 3600 * 1000000000)

/* ---- Changes: store_writer.c ---- */

typedef kx_status kx_apply(kx_store *store, kx_db *db, void *argument, kx_error *err);

typedef struct kx_change {
    kx_apply *apply;
    void *argument;
    kx_error *err;
    kx_status status;
    bool is_done;
    struct kx_change *next;
} kx_change;

typedef struct kx_touched { /* a balance as a transaction leaves it */
    int64_t key_id, balance_micro;
} kx_touched;

typedef struct kx_writer {
    pthread_mutex_t lock; /* of first, last, is_busy and the changes' is_done */
    pthread_cond_t done;
    kx_change *first, *last;
    bool is_busy; /* somebody carries changes out */
    kx_db *db;    /* his */
    kx_touched touched[KX_STORE_TOUCHED];
    size_t num_touched;
    bool keys_changed;             /* by the transaction in work */
    uint64_t ended[KX_JOB_STATES]; /* jobs, by the transaction in work */
    _Atomic uint64_t commits, changes;
} kx_writer;

/* Carries `apply` out in a transaction that others may share. KX_OK: it is on the disk. */
kx_status kx_store_change(kx_store *store, kx_apply *apply, void *argument, kx_error *err);
/* For `apply`: the cache of keys shall know. */
void kx_writer_touch_balance(kx_store *store, int64_t key_id, int64_t balance_micro);
void kx_writer_touch_keys(kx_store *store);
kx_status kx_writer_open(kx_store *store, kx_error *err);
void kx_writer_close(kx_store *store);

/* ---- Reads: store_open.c ---- */

typedef struct kx_readers {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    kx_db *idle[KX_STORE_READERS];
    size_t num_idle, num_open;
} kx_readers;

kx_status kx_store_reader_take(kx_store *store, kx_db **db, kx_error *err);
void kx_store_reader_return(kx_store *store, kx_db *db); /* NULL is fine */

/* ---- Keys in memory: store_key_cache.c ---- */

typedef struct kx_cached_key {
    kx_key key; /* strings in the cache's arena */
    char hash[KX_SHA256_HEX];
    int64_t stored_used_ns; /* what the database has */
} kx_cached_key;

typedef struct kx_key_cache {
    pthread_mutex_t lock;
    kx_db *db; /* its own connection, which notices what others commit */
    kx_arena arena;
    kx_cached_key *keys;
    size_t count;
    bool is_stale;
    int64_t data_version;
    int64_t looked_ms; /* when that was asked, monotonic */
} kx_key_cache;

kx_status kx_key_cache_open(kx_store *store, kx_error *err);
void kx_key_cache_close(kx_store *store);
void kx_key_cache_drop(kx_store *store);
void kx_key_cache_set_balance(kx_store *store, int64_t key_id, int64_t balance_micro);
/* Writes the times of last use that have grown by more than a minute, within the caller's transaction. */
kx_status kx_key_cache_flush_used(kx_store *store, kx_db *db, kx_error *err);
/* Columns of kx_key, in the order that kx_key_read expects. */
#define KX_KEY_COLUMNS                                                                                       \
    "id, uuid, name, role, hint, balance_micro, concurrency, submits_per_minute, webhook_secret, "           \
    "created_ns, revoked_ns, used_ns"
kx_status kx_key_read(sqlite3_stmt *rows, kx_arena *arena, kx_key *key, kx_error *err);

/* ---- What is given out to one thread until it is settled or the process ends: store_taken.c ---- */

typedef struct kx_taken {
    pthread_mutex_t lock;
    uint64_t *names;
    size_t count, room;
} kx_taken;

/* *is_new false: somebody has it. */
kx_status kx_taken_add(kx_taken *taken, uint64_t name, bool *is_new, kx_error *err);
bool kx_taken_has(kx_taken *taken, uint64_t name);
void kx_taken_remove(kx_taken *taken, uint64_t name);
/* Ids are random, so their first 16 digits are a name. */
uint64_t kx_taken_name_of(const char *id);

struct kx_store {
    char *path;
    kx_clock *clock;
    kx_writer writer;
    kx_readers readers;
    kx_key_cache cache;
    kx_taken preparations, deliveries;
    _Atomic int64_t last_prepared_key;
    _Atomic uint64_t ended[KX_JOB_STATES]; /* jobs, by this process */
    int lock_fd;                           /* -1: no server's */
};

/* store_schema.c */
kx_status kx_schema_bring_up(kx_db *db, const char *path, kx_error *err);

/* ---- Predictions: store_predictions.c ---- */

/* Columns of kx_prediction, in the order that kx_prediction_read expects. */
#define KX_PREDICTION_COLUMNS                                                                                \
    "id, key_id, state, created_ns, started_ns, finished_ns, prepared, attempts, cancel_requested, charge, " \
    "price_micro, num_images, base64, code, inference_ms, model, body_hash, webhook, error, warnings, "      \
    "outputs, details, request, input"
kx_status kx_prediction_read(sqlite3_stmt *rows, kx_arena *arena, kx_prediction *prediction, kx_error *err);
/* Reads all rows into an array in the arena. */
kx_status kx_prediction_read_all(kx_db *db, sqlite3_stmt *rows, kx_arena *arena, kx_prediction **items,
                                 size_t *count, kx_error *err);

/* ---- Ends: store_finish.c. All within the caller's transaction ---- */

typedef struct kx_job_row { /* what ending a job needs to know of it */
    int64_t seq, key_id, price_micro;
    kx_job_state state;
    kx_charge charge;
    unsigned attempts;
    bool cancel_requested, delete_requested;
    char id[33];
    char model[200];
    bool has_webhook;
} kx_job_row;

kx_status kx_job_row_find(kx_db *db, const char *id, kx_job_row *row, bool *found, kx_error *err);
/* Ends the job, moves its money, and removes it when it was asked to be deleted. */
kx_status kx_job_end(kx_store *store, kx_db *db, const kx_job_row *row, const kx_ending *ending,
                     kx_error *err);
kx_status kx_job_delete(kx_store *store, kx_db *db, const kx_job_row *row, kx_error *err);

/* ---- Money: store_money.c ---- */

/* One ledger row, and `amount_micro` added to the balance. */
kx_status kx_ledger_add(kx_store *store, kx_db *db, const kx_ledger_row *row, kx_error *err);
