#include "service/queue/meters.h"

#include <pthread.h>
#include <stdlib.h>

#define RECENT 16 /* jobs whose mean length is the forecast for the next */

struct kx_meters {
    pthread_mutex_t lock; /* last in the order: nothing is called while it is held */
    kx_queue_metrics counts;
    double recent[RECENT];
    size_t num_recent;
};

kx_status kx_meters_open(kx_meters **meters, kx_error *err)
{
    kx_status status = KX_OK;
    kx_meters *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    made->counts.wait_seconds.bounds = made->counts.run_seconds.bounds = kx_histogram_of_jobs;
    pthread_mutex_init(&made->lock, NULL);
    *meters = made;
out:
    return status;
}

void kx_meters_close(kx_meters *meters)
{
    if (meters == NULL) return;
    pthread_mutex_destroy(&meters->lock);
    free(meters);
}

void kx_meters_read(kx_meters *meters, kx_queue_metrics *out)
{
    pthread_mutex_lock(&meters->lock);
    *out = meters->counts;
    pthread_mutex_unlock(&meters->lock);
}

void kx_meters_add_wait(kx_meters *meters, double seconds)
{
    pthread_mutex_lock(&meters->lock);
    kx_histogram_add(&meters->counts.wait_seconds, seconds);
    pthread_mutex_unlock(&meters->lock);
}

void kx_meters_add_run(kx_meters *meters, double seconds, size_t images, uint64_t peak_anonymous_bytes)
{
    pthread_mutex_lock(&meters->lock);
    kx_queue_metrics *counts = &meters->counts;
    kx_histogram_add(&counts->run_seconds, seconds);
    counts->images += images;
    if (peak_anonymous_bytes > counts->peak_anonymous_bytes)
        counts->peak_anonymous_bytes = peak_anonymous_bytes;
    meters->recent[meters->num_recent++ % RECENT] = seconds;
    pthread_mutex_unlock(&meters->lock);
}

void kx_meters_add_step(kx_meters *meters, double seconds)
{
    pthread_mutex_lock(&meters->lock);
    meters->counts.steps++;
    meters->counts.step_seconds += seconds;
    pthread_mutex_unlock(&meters->lock);
}

void kx_meters_add_kept(kx_meters *meters, bool text, unsigned references)
{
    pthread_mutex_lock(&meters->lock);
    meters->counts.texts_kept += text;
    meters->counts.references_kept += references;
    pthread_mutex_unlock(&meters->lock);
}

static void add_one(kx_meters *meters, uint64_t *count)
{
    pthread_mutex_lock(&meters->lock);
    ++*count;
    pthread_mutex_unlock(&meters->lock);
}

void kx_meters_add_checkpoint(kx_meters *meters)
{
    add_one(meters, &meters->counts.checkpoints);
}

void kx_meters_add_resume(kx_meters *meters)
{
    add_one(meters, &meters->counts.resumes);
}

void kx_meters_add_retry(kx_meters *meters)
{
    add_one(meters, &meters->counts.retries);
}

void kx_meters_add_fetch(kx_meters *meters, bool succeeded)
{
    add_one(meters, &meters->counts.fetches);
    if (!succeeded) add_one(meters, &meters->counts.fetch_failures);
}

void kx_meters_add_webhook(kx_meters *meters, kx_delivery_end end)
{
    add_one(meters, &meters->counts.webhook_tries);
    if (end == KX_DELIVERY_DELIVERED) add_one(meters, &meters->counts.webhook_delivered);
    if (end == KX_DELIVERY_GIVEN_UP) add_one(meters, &meters->counts.webhook_failed);
}

double kx_meters_mean_run_seconds(kx_meters *meters)
{
    double sum = 0;
    pthread_mutex_lock(&meters->lock);
    size_t count = meters->num_recent < RECENT ? meters->num_recent : RECENT;
    for (size_t i = 0; i < count; i++) sum += meters->recent[i];
    pthread_mutex_unlock(&meters->lock);
    return count > 0 ? sum / (double)count : -1;
}
