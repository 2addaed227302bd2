/* What is live about jobs: progress, the latest preview, the wish to cancel. It is gone with the process; the
 * store holds the rest. From any thread. */
#pragma once

#include "service/queue/queue.h"

#include <stdatomic.h>

typedef struct kx_live_table kx_live_table;

/* A job at work, from kx_live_begin to kx_live_end. */
typedef struct kx_live_job {
    char id[33];
    atomic_bool is_cancelled; /* somebody asked */
} kx_live_job;

/* Versions grow from `first_version`: the wall clock in milliseconds, so that they also grow over restarts (a
 * job changes less than a thousand times a second). */
kx_status kx_live_open(kx_live_table **table, uint64_t first_version, kx_error *err);
void kx_live_close(kx_live_table *table);

/* NULL when as many jobs are at work as there can be. */
kx_live_job *kx_live_begin(kx_live_table *table, const char *id, const char *stage, bool is_running);
void kx_live_end(kx_live_table *table, kx_live_job *job);
/* stage, step, total_steps, progress and eta_ms of `now` count. */
void kx_live_set(kx_live_table *table, kx_live_job *job, const kx_live *now);
/* Keeps `jpeg`, which it takes over (malloc'ed). */
void kx_live_set_preview(kx_live_table *table, kx_live_job *job, uint8_t *jpeg, size_t bytes);

/* Marks the job when it is at work. */
void kx_live_cancel(kx_live_table *table, const char *id);
/* Something of a job changed that stands in the store. */
void kx_live_touch(kx_live_table *table, const char *id);
void kx_live_read(kx_live_table *table, const char *id, kx_live *live);
kx_status kx_live_read_preview(kx_live_table *table, const char *id, kx_bytes *jpeg, bool *found,
                               kx_error *err);
/* What the running job still needs; -1: nothing runs, or it is not known yet. */
int64_t kx_live_running_eta_ms(kx_live_table *table, bool *is_running);
