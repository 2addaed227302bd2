/* The queue's own shape, for its files. */
#pragma once

#include "service/queue/live.h"
#include "service/queue/meters.h"
#include "service/queue/model_host.h"
#include "service/queue/queue.h"

#include <pthread.h>
#include <stdatomic.h>

/* One that computes, one that sweeps, 4 for webhooks, and as many that fetch as can be set. */
#define KX_QUEUE_THREADS_MAX (6 + 64)

struct kx_queue {
    kx_queue_parts parts;
    kx_live_table *live;
    kx_meters *meters;
    kx_model_host *host;

    pthread_mutex_t lock;        /* of waiting only; nothing is called while it is held */
    pthread_cond_t woken;        /* on the monotonic clock */
    _Atomic uint64_t generation; /* grows with every wake; changed under the lock */
    atomic_bool is_stopping;     /* likewise */

    pthread_t threads[KX_QUEUE_THREADS_MAX];
    size_t num_threads;
};

/* The thread that computes, one that fetches, one that delivers, the one that sweeps; each takes the
 * kx_queue. */
void *kx_worker_main(void *queue);
void *kx_prepare_main(void *queue);
void *kx_webhooks_main(void *queue);
void *kx_sweep_main(void *queue);

/* Read before looking for work, given to kx_queue_wait_for_wake after finding none: a wake between is not
 * lost. */
uint64_t kx_queue_generation(kx_queue *queue);
/* Until something wakes the queue, it stops, or `most_ms` have passed. */
void kx_queue_wait_for_wake(kx_queue *queue, uint64_t seen, int64_t most_ms);
/* `ms`, or less when the queue stops. */
void kx_queue_pause(kx_queue *queue, int64_t ms);
bool kx_queue_is_stopping(kx_queue *queue);

/* Tells the owner that a prediction changed. */
void kx_queue_tell_change(kx_queue *queue, const char *id);
__attribute__((format(printf, 2, 3))) void kx_queue_log(kx_queue *queue, const char *format, ...);
/* The longest wait for something that the wall clock decides: short while tests move it. */
int64_t kx_queue_clock_wait_ms(const kx_queue *queue);

/* Ends a job in the store and tells everybody. An error leaves it as it was. */
kx_status kx_queue_end_job(kx_queue *queue, const char *id, const kx_ending *ending, kx_error *err);
