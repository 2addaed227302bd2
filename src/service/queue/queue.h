/* The work: one thread computes jobs on the model, a few fetch input pictures ahead of it, one delivers
 * webhooks, one sweeps what is too old. What is to be done stands in the store; this module holds only what
 * is live (progress, previews). A model that cannot be opened leaves the service up and not ready; queued
 * jobs wait. */
#pragma once

#include "base/clock.h"
#include "service/common/histogram.h"
#include "service/common/settings.h"
#include "service/fetch/fetch.h"
#include "service/queue/job_request.h"
#include "service/store/blobs.h"
#include "service/store/store.h"

typedef struct kx_queue kx_queue;

typedef struct kx_queue_parts { /* borrowed; they outlive the queue */
    const kx_settings *settings;
    kx_clock *clock;
    kx_store *store;
    kx_blobs *blobs;
    kx_fetch *fetch;
    /* Called from the queue's threads, without a lock, whenever something of the prediction changed
     * (progress, preview, state). Must not block. */
    void (*changed)(void *user, const char *prediction);
    /* Makes the JSON body of a webhook: the bare prediction object of the contract. malloc'ed; NULL:
     * it cannot be made now, and the delivery is tried again. */
    char *(*webhook_body)(void *user, const char *prediction, size_t *bytes);
    void (*log)(void *user, const char *sentence);
    void *user;
} kx_queue_parts;

/* What the worker puts into `details` of a completed prediction:
 *   "seeds": [42, 43], one for each picture
 *   "sizes": {"requested": {"width", "height"} or null, "working": {...}, "final": {...}}
 *   "references": [{"source", "cropped", "working": sizes, "scale": {"x", "y"}, "offset_tokens": {"x", "y"},
 *                   "index"}]
 *   "stage_timings": seconds: {"load", "text", "encode", "denoise", "decode", "store", "total"}
 *   "steps", "guidance", "precision", "kernel_set", "resumed" (whether a checkpoint was gone on from)
 *   "cache": {"name", "threshold", "steps_reused"}
 *   "tokens": {"clip", "clip_cut", "t5", "t5_cut"}
 *   "memory": {"plan_bytes", "peak_anonymous_bytes"}
 *   "warnings": ["..."], of the engine
 */
kx_status kx_queue_open(kx_queue **queue, const kx_queue_parts *parts, kx_error *err);
/* Starts the threads: requeues orphans, opens the model, works. */
kx_status kx_queue_start(kx_queue *queue, kx_error *err);
/* Takes no new job, checkpoints and requeues the running one, joins the threads. */
void kx_queue_stop(kx_queue *queue);
void kx_queue_close(kx_queue *queue);

/* Something was submitted, cancelled, or a delivery is due. */
void kx_queue_wake(kx_queue *queue);

/* Store's cancel, and the mark for the running job, which ends within one block. */
kx_status kx_queue_cancel(kx_queue *queue, int64_t key_id, const char *id, bool *found, kx_job_state *state,
                          kx_error *err);

typedef struct kx_live {
    bool is_running;
    const char *stage;          /* "fetch", "text", "encode", "denoise", "decode", "store"; a literal */
    unsigned step, total_steps; /* over all pictures of the job */
    double progress;            /* 0 to 1 */
    int64_t eta_ms;             /* -1: not known yet */
    uint64_t version;           /* grows with every change, also over restarts */
    uint64_t preview_version;   /* 0: no preview yet */
} kx_live;
void kx_queue_live(kx_queue *queue, const char *id, kx_live *live);
/* The latest preview as JPEG, appended. */
kx_status kx_queue_preview(kx_queue *queue, const char *id, kx_bytes *jpeg, bool *found, kx_error *err);
/* Milliseconds that the jobs before `position` and the running one will take, from the mean of recent jobs;
 * -1: not known. */
int64_t kx_queue_wait_ms(kx_queue *queue, unsigned position);

/* The model's facts, from the public API. Strings and arrays live as long as the queue. */
typedef struct kx_model_facts {
    bool is_ready;
    const char *problem; /* why it is not; NULL when ready or still opening */
    const char *path, *name, *licence, *kernel_set, *precision;
    int min_side_px, max_side_px;
    uint64_t native_area_px;
    kx_size native; /* of a job without references */
    int default_steps;
    double default_guidance;
    unsigned max_text_tokens, threads;
    bool is_synthetic; /* made with random weights, because no model was named and no demo model found */
} kx_model_facts;
void kx_queue_model_facts(kx_queue *queue, kx_model_facts *facts);

/* Counters since the start, for /metrics. */
typedef struct kx_queue_metrics {
    uint64_t ended[KX_JOB_STATES];
    uint64_t steps, images, checkpoints, resumes, retries;
    uint64_t texts_kept, references_kept; /* found encoded by an earlier job */
    double step_seconds;                  /* in which the steps were made */
    kx_histogram wait_seconds, run_seconds;
    uint64_t fetches, fetch_failures;
    uint64_t webhook_tries, webhook_delivered, webhook_failed;
    uint64_t peak_anonymous_bytes;
} kx_queue_metrics;
void kx_queue_metrics_read(kx_queue *queue, kx_queue_metrics *metrics);
