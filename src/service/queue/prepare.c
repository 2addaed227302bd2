/* Threads that fetch input pictures into blobs before a job's turn, so that a slow server never holds the
 * compute thread. The store hands out each job once; a job whose process ends before it is prepared is handed
 * out again by the next. */
#include "service/queue/job_codes.h"
#include "service/queue/queue_state.h"

#include <stdlib.h>

#define IDLE_MS        30000
#define RETRY_MS       1000
#define STORE_RETRY_MS 1000

typedef struct preparation {
    kx_queue *queue;
    const kx_prediction *job;
    kx_live_job *live;
    kx_job_request request;
} preparation;

static int cancelled(void *user)
{
    const preparation *p = user;
    return kx_queue_is_stopping(p->queue) || atomic_load(&p->live->is_cancelled);
}

static kx_status fetch_image(preparation *p, size_t index, kx_error *err)
{
    kx_status status = KX_OK;
    kx_job_image *image = &p->request.images[index];
    kx_bytes bytes = {.cap = p->queue->parts.settings->fetch_max_bytes};
    kx_error inner = {0};
    status = kx_fetch_get(p->queue->parts.fetch, image->url, &bytes, cancelled, p, &inner);
    if (status != KX_ERR_CANCELLED) kx_meters_add_fetch(p->queue->meters, status == KX_OK);
    KX_FAIL_IF(status == KX_ERR_INPUT, err, KX_ERR_INPUT, "image %zu: the picture could not be fetched: %s",
               index + 1, inner.message);
    KX_FAIL_IF(status != KX_OK, err, status, "image %zu: %s", index + 1, inner.message);
    KX_FAIL_IF(bytes.size == 0, err, KX_ERR_INPUT,
               "image %zu: the picture could not be fetched: the answer is empty", index + 1);
    KX_TRY(kx_blobs_put(p->queue->parts.blobs, bytes.data, bytes.size, image->blob, err));
out:
    kx_bytes_free(&bytes);
    return status;
}

/* What has been fetched stays fetched when this is called again after a fault. */
static kx_status fetch_images(preparation *p, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < p->request.num_images_in; i++)
        if (p->request.images[i].blob[0] == '\0') KX_TRY(fetch_image(p, i, err));
out:
    return status;
}

static kx_status store_prepared(const preparation *p, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *json = kx_job_request_to_json(&p->request);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    KX_FAIL_IF(text == NULL, err, KX_ERR_MEMORY, "out of memory for a job's request");
    KX_TRY(kx_store_set_prepared(p->queue->parts.store, p->job->id, text, err));
    kx_queue_tell_change(p->queue, p->job->id);
    kx_queue_wake(p->queue);
out:
    free(text);
    json_decref(json);
    return status;
}

static kx_status store_failed(const preparation *p, const kx_error *failure, kx_error *err)
{
    bool is_input = failure->status == KX_ERR_INPUT;
    kx_ending ending = {.state = KX_JOB_FAILED,
                        .code = is_input ? KX_CODE_MEDIA : KX_CODE_INTERNAL,
                        .error = is_input ? failure->message : "The input pictures could not be stored.",
                        .details = "{}"};
    return kx_queue_end_job(p->queue, p->job->id, &ending, err);
}

/* Faults of our own machine are tried again here, since the store hands a job out only once. */
static kx_status fetch_stubbornly(preparation *p, kx_error *failure)
{
    unsigned most = p->queue->parts.settings->job_attempts;
    for (unsigned attempt = 1;; attempt++) {
        *failure = (kx_error){0};
        kx_status status = fetch_images(p, failure);
        if (status == KX_OK || status == KX_ERR_INPUT || status == KX_ERR_CANCELLED) return status;
        kx_queue_log(p->queue, "%s: try %u of %u: %s", p->job->id, attempt, most, failure->message);
        if (attempt >= most) return status;
        kx_queue_pause(p->queue, RETRY_MS);
        if (cancelled(p)) return KX_ERR_CANCELLED;
    }
}

/* The live entry ends before the store knows that the job is prepared: from then on the entry is the
 * worker's. */
static void prepare_job(kx_queue *queue, const kx_prediction *job)
{
    kx_arena arena = {0};
    kx_error failure = {0}, err = {0};
    preparation p = {.queue = queue, .job = job, .live = kx_live_begin(queue->live, job->id, "fetch", false)};
    kx_status status = KX_ERR_INTERNAL;
    if (p.live == NULL) { /* the table has room for many times the threads there are */
        kx_queue_log(queue, "%s: there are too many jobs at work", job->id);
        kx_queue_pause(queue, STORE_RETRY_MS);
        return;
    }
    kx_queue_tell_change(queue, job->id);
    status = kx_job_request_parse(&p.request, job->request, &arena, &failure);
    if (status == KX_OK) status = fetch_stubbornly(&p, &failure);
    kx_live_end(queue->live, p.live);
    while (status != KX_ERR_CANCELLED) {
        err = (kx_error){0};
        kx_status stored = status == KX_OK ? store_prepared(&p, &err) : store_failed(&p, &failure, &err);
        if (stored == KX_OK || kx_queue_is_stopping(queue)) break;
        kx_queue_log(queue, "%s: its pictures could not be noted: %s", job->id, err.message);
        kx_queue_pause(queue, STORE_RETRY_MS);
    }
    kx_arena_free(&arena);
}

void *kx_prepare_main(void *argument)
{
    kx_queue *queue = argument;
    while (!kx_queue_is_stopping(queue)) {
        uint64_t seen = kx_queue_generation(queue);
        kx_arena arena = {0};
        kx_prediction job;
        bool found = false;
        kx_error err = {0};
        if (kx_store_claim_preparation(queue->parts.store, &arena, &job, &found, &err) != KX_OK) {
            kx_queue_log(queue, "no job can be taken from the store for its pictures: %s", err.message);
            kx_queue_pause(queue, STORE_RETRY_MS);
        } else if (found) {
            prepare_job(queue, &job);
            kx_store_return_preparation(queue->parts.store, job.id);
        } else {
            kx_queue_wait_for_wake(queue, seen, IDLE_MS);
        }
        kx_arena_free(&arena);
    }
    return NULL;
}
