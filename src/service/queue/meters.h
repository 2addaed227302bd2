/* The counters behind kx_queue_metrics, and the mean length of recent jobs. From any thread. */
#pragma once

#include "service/queue/queue.h"

typedef struct kx_meters kx_meters;

kx_status kx_meters_open(kx_meters **meters, kx_error *err);
void kx_meters_close(kx_meters *meters);
/* Everything but `ended`, which the store counts. */
void kx_meters_read(kx_meters *meters, kx_queue_metrics *out);

void kx_meters_add_wait(kx_meters *meters, double seconds);
/* A job that was completed after `seconds` of work with `images` pictures. */
void kx_meters_add_run(kx_meters *meters, double seconds, size_t images, uint64_t peak_anonymous_bytes);
void kx_meters_add_step(kx_meters *meters, double seconds);
/* Work that a job found done by an earlier one. */
void kx_meters_add_kept(kx_meters *meters, bool text, unsigned references);
void kx_meters_add_checkpoint(kx_meters *meters);
void kx_meters_add_resume(kx_meters *meters);
void kx_meters_add_retry(kx_meters *meters);
void kx_meters_add_fetch(kx_meters *meters, bool succeeded);

typedef enum kx_delivery_end {
    KX_DELIVERY_TRIED = 0,
    KX_DELIVERY_DELIVERED,
    KX_DELIVERY_GIVEN_UP
} kx_delivery_end;
void kx_meters_add_webhook(kx_meters *meters, kx_delivery_end end);

/* Of the last jobs that were completed; -1: there was none yet. */
double kx_meters_mean_run_seconds(kx_meters *meters);
