#include "service/queue/job_run.h"

#include "base/limits.h"

#include <stdlib.h>

#define CHECKPOINT_BYTES_MAX ((size_t)1 << 30)

static kx_status read_pictures(kx_job_run *run, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < run->request.num_images_in; i++) {
        kx_error inner = {0};
        run->pictures[i].cap = KX_LIMIT_PICTURE_BYTES;
        KX_FAIL_IF(run->request.images[i].blob[0] == '\0', err, KX_ERR_INTERNAL,
                   "image %zu: the job was to be computed before its picture was fetched", i + 1);
        status =
            kx_blobs_read(run->queue->parts.blobs, run->request.images[i].blob, &run->pictures[i], &inner);
        KX_FAIL_IF(status == KX_ERR_INPUT, err, KX_ERR_INPUT, "image %zu: the picture is no longer stored",
                   i + 1);
        KX_FAIL_IF(status != KX_OK, err, status, "image %zu: %s", i + 1, inner.message);
    }
out:
    return status;
}

static kx_edit_request fill_request(const kx_job_run *run)
{
    const kx_job_request *wanted = &run->request;
    const kx_settings *settings = run->queue->parts.settings;
    kx_edit_request request = kx_edit_request_default();
    request.prompt = wanted->prompt;
    for (size_t i = 0; i < wanted->num_images_in; i++) {
        request.references[i].data = run->pictures[i].data;
        request.references[i].bytes = run->pictures[i].size;
    }
    request.num_references = wanted->num_images_in;
    request.width_px = wanted->width_px;
    request.height_px = wanted->height_px;
    request.steps = wanted->steps;
    request.guidance = wanted->guidance;
    request.seed_is_random = 0;
    request.seed = wanted->seed;
    request.num_images = wanted->num_images;
    kx_error ignored = {0}; /* the settings were checked when they were read */
    if (settings->cache != NULL)
        kx_cache_parse(settings->cache, &request.cache, &request.cache_threshold, &ignored);
    request.preview_steps = (int)settings->preview_steps;
    /* Told of each step, so that a stop loses no whole step; stored each checkpoint_steps. */
    request.checkpoint_steps = settings->checkpoint_steps > 0;
    return request;
}

static kx_status run_from(kx_job_run *run, kx_model *model, const kx_bytes *checkpoint, kx_error *err)
{
    kx_edit_request request = fill_request(run);
    kx_callbacks callbacks = kx_job_watch_begin(run);
    json_array_clear(run->warnings);
    if (checkpoint != NULL) {
        request.resume = checkpoint->data;
        request.resume_bytes = checkpoint->size;
    }
    return kx_edit_run(model, &request, &callbacks, &run->result, err);
}

/* A checkpoint that the engine does not take (torn, of another model, version or kernel set) is no reason to
 * fail: the job starts over. Whether the request itself is at fault shows then. */
static kx_status run_edit(kx_job_run *run, kx_model *model, kx_bytes *checkpoint, kx_error *err)
{
    kx_error inner = {0};
    if (checkpoint->size == 0) return run_from(run, model, NULL, err);
    kx_status status = run_from(run, model, checkpoint, &inner);
    run->is_resumed = status != KX_ERR_INPUT;
    if (run->is_resumed) {
        kx_meters_add_resume(run->queue->meters);
        *err = inner;
        return status;
    }
    kx_queue_log(run->queue, "%s: the stored checkpoint is left aside: %s", run->job->id, inner.message);
    kx_bytes_free(checkpoint);
    run->began_ms = kx_clock_monotonic_ms();
    run->earlier_ms = 0;
    return run_from(run, model, NULL, err);
}

kx_status kx_job_run_edit(kx_job_run *run, kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes checkpoint = {.cap = CHECKPOINT_BYTES_MAX};
    bool has_checkpoint = false;
    run->checkpoint.cap = CHECKPOINT_BYTES_MAX;
    run->warnings = json_array();
    KX_FAIL_IF(run->warnings == NULL, err, KX_ERR_MEMORY, "out of memory");
    kx_model_host_gather_warnings(run->queue->host, run->warnings);
    KX_TRY(kx_job_request_parse(&run->request, run->job->request, &run->arena, err));
    KX_TRY(read_pictures(run, err));
    KX_TRY(kx_store_checkpoint_get(run->queue->parts.store, run->job->id, &checkpoint, &run->earlier_ms,
                                   &has_checkpoint, err));
    KX_TRY(run_edit(run, model, &checkpoint, err));
out:
    kx_model_host_gather_warnings(run->queue->host, NULL);
    kx_bytes_free(&checkpoint);
    return status;
}

void kx_job_run_free(kx_job_run *run)
{
    kx_result_free(run->result);
    for (size_t i = 0; i < KX_MAX_REFERENCES; i++) kx_bytes_free(&run->pictures[i]);
    kx_bytes_free(&run->checkpoint);
    json_decref(run->warnings);
    kx_arena_free(&run->arena);
}
