#include "service/queue/queue.h"

#include "service/queue/queue_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WEBHOOK_THREADS 4 /* so that a receiver that hangs does not hold up the others */
#define NS_PER_MS       INT64_C(1000000)

/* ---- Waiting and waking ---- */

uint64_t kx_queue_generation(kx_queue *queue)
{
    return atomic_load(&queue->generation);
}

bool kx_queue_is_stopping(kx_queue *queue)
{
    return atomic_load(&queue->is_stopping);
}

static struct timespec monotonic_after(int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * NS_PER_MS;
    until.tv_sec += (time_t)(ms / 1000 + ns / (1000 * NS_PER_MS));
    until.tv_nsec = (long)(ns % (1000 * NS_PER_MS));
    return until;
}

void kx_queue_wait_for_wake(kx_queue *queue, uint64_t seen, int64_t most_ms)
{
    if (most_ms <= 0) return;
    struct timespec until = monotonic_after(most_ms);
    pthread_mutex_lock(&queue->lock);
    int timed_out = 0;
    while (queue->generation == seen && !queue->is_stopping && timed_out == 0)
        timed_out = pthread_cond_timedwait(&queue->woken, &queue->lock, &until);
    pthread_mutex_unlock(&queue->lock);
}

void kx_queue_pause(kx_queue *queue, int64_t ms)
{
    struct timespec until = monotonic_after(ms);
    pthread_mutex_lock(&queue->lock);
    int timed_out = 0;
    while (!queue->is_stopping && timed_out == 0)
        timed_out = pthread_cond_timedwait(&queue->woken, &queue->lock, &until);
    pthread_mutex_unlock(&queue->lock);
}

static void wake(kx_queue *queue, bool is_stopping)
{
    pthread_mutex_lock(&queue->lock);
    queue->generation++;
    if (is_stopping) queue->is_stopping = true;
    pthread_cond_broadcast(&queue->woken);
    pthread_mutex_unlock(&queue->lock);
}

void kx_queue_wake(kx_queue *queue)
{
    wake(queue, false);
}

int64_t kx_queue_clock_wait_ms(const kx_queue *queue)
{
    return queue->parts.settings->test_clock != NULL ? 50 : 30000;
}

/* ---- Telling ---- */

void kx_queue_tell_change(kx_queue *queue, const char *id)
{
    if (queue->parts.changed != NULL) queue->parts.changed(queue->parts.user, id);
}

void kx_queue_log(kx_queue *queue, const char *format, ...)
{
    char sentence[1400];
    if (queue->parts.log == NULL) return;
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    queue->parts.log(queue->parts.user, sentence);
}

static void log_of_host(void *user, const char *sentence)
{
    kx_queue_log(user, "%s", sentence);
}

/* ---- Opening and closing ---- */

static kx_status open_signal(kx_queue *queue, kx_error *err)
{
    kx_status status = KX_OK;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed =
        pthread_mutex_init(&queue->lock, NULL) != 0 || pthread_cond_init(&queue->woken, &attributes) != 0;
    pthread_condattr_destroy(&attributes);
    KX_FAIL_IF(failed, err, KX_ERR_MEMORY, "out of memory for the queue's threads");
out:
    return status;
}

kx_status kx_queue_open(kx_queue **queue, const kx_queue_parts *parts, kx_error *err)
{
    kx_status status = KX_OK;
    kx_queue *made = calloc(1, sizeof *made);
    *queue = NULL;
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    made->parts = *parts;
    KX_TRY(open_signal(made, err));
    KX_TRY(kx_live_open(&made->live, (uint64_t)(kx_clock_wall_ns(parts->clock) / NS_PER_MS), err));
    KX_TRY(kx_meters_open(&made->meters, err));
    KX_TRY(kx_model_host_open(&made->host, parts->settings, log_of_host, made, err));
    *queue = made;
    made = NULL;
out:
    kx_queue_close(made);
    return status;
}

static kx_status start_thread(kx_queue *queue, void *(*body)(void *), kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(queue->num_threads == KX_QUEUE_THREADS_MAX, err, KX_ERR_USAGE,
               "the queue's threads are limited to %d, fetch_threads asks for more", KX_QUEUE_THREADS_MAX);
    KX_FAIL_IF(pthread_create(&queue->threads[queue->num_threads], NULL, body, queue) != 0, err,
               KX_ERR_MEMORY, "a thread of the queue does not start");
    queue->num_threads++;
out:
    return status;
}

kx_status kx_queue_start(kx_queue *queue, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_settings *settings = queue->parts.settings;
    unsigned requeued = 0, fetchers = settings->fetch_threads > 0 ? settings->fetch_threads : 1;
    KX_TRY(kx_store_requeue_orphans(queue->parts.store, settings->job_attempts, &requeued, err));
    if (requeued > 0) kx_queue_log(queue, "%u jobs of the last run go on", requeued);
    KX_TRY(start_thread(queue, kx_worker_main, err));
    KX_TRY(start_thread(queue, kx_sweep_main, err));
    for (unsigned i = 0; i < fetchers; i++) KX_TRY(start_thread(queue, kx_prepare_main, err));
    for (unsigned i = 0; i < WEBHOOK_THREADS; i++) KX_TRY(start_thread(queue, kx_webhooks_main, err));
out:
    if (status != KX_OK) kx_queue_stop(queue);
    return status;
}

void kx_queue_stop(kx_queue *queue)
{
    if (queue == NULL) return;
    wake(queue, true);
    for (size_t i = 0; i < queue->num_threads; i++) pthread_join(queue->threads[i], NULL);
    queue->num_threads = 0;
}

void kx_queue_close(kx_queue *queue)
{
    if (queue == NULL) return;
    kx_queue_stop(queue);
    kx_model_host_close(queue->host);
    kx_meters_close(queue->meters);
    kx_live_close(queue->live);
    pthread_cond_destroy(&queue->woken);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

/* ---- Jobs ---- */

kx_status kx_queue_end_job(kx_queue *queue, const char *id, const kx_ending *ending, kx_error *err)
{
    kx_status status = KX_OK;
    bool done = false;
    KX_TRY(kx_store_finish(queue->parts.store, id, ending, &done, err));
    kx_live_touch(queue->live, id);
    kx_queue_tell_change(queue, id);
    kx_queue_wake(queue); /* a webhook may be due, and a key has room for its next job */
out:
    return status;
}

kx_status kx_queue_cancel(kx_queue *queue, int64_t key_id, const char *id, bool *found, kx_job_state *state,
                          kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_store_cancel(queue->parts.store, key_id, id, found, state, err));
    if (!*found) goto out;
    kx_live_cancel(queue->live, id);
    kx_live_touch(queue->live, id);
    kx_queue_tell_change(queue, id);
    kx_queue_wake(queue);
out:
    return status;
}

void kx_queue_live(kx_queue *queue, const char *id, kx_live *live)
{
    kx_live_read(queue->live, id, live);
}

kx_status kx_queue_preview(kx_queue *queue, const char *id, kx_bytes *jpeg, bool *found, kx_error *err)
{
    return kx_live_read_preview(queue->live, id, jpeg, found, err);
}

int64_t kx_queue_wait_ms(kx_queue *queue, unsigned position)
{
    bool is_running = false;
    int64_t running_ms = kx_live_running_eta_ms(queue->live, &is_running);
    double mean = kx_meters_mean_run_seconds(queue->meters);
    if (position == 0 && !is_running) return 0;
    if (position > 0 && mean < 0) return -1;
    if (is_running && running_ms < 0) {
        if (mean < 0) return -1;
        running_ms = (int64_t)(1000 * mean);
    }
    return (is_running ? running_ms : 0) + (position > 0 ? (int64_t)(1000 * mean * position) : 0);
}

void kx_queue_model_facts(kx_queue *queue, kx_model_facts *facts)
{
    kx_model_host_facts(queue->host, facts);
}

void kx_queue_metrics_read(kx_queue *queue, kx_queue_metrics *metrics)
{
    kx_meters_read(queue->meters, metrics);
    kx_store_ended_count(queue->parts.store, metrics->ended);
}
