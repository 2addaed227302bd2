/* How a job ends: codes, sentences, stored pictures, details. */
#include "service/queue/job_codes.h"
#include "service/queue/job_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES_MAX 64

typedef struct stored_outputs {
    kx_output items[IMAGES_MAX];
    char blobs[IMAGES_MAX][KX_SHA256_HEX];
    char *records[IMAGES_MAX];
    size_t count;
} stored_outputs;

/* ---- Pictures ---- */

static const struct {
    const char *content_type, *suffix;
} formats[] = {[KX_FORMAT_AUTO] = {"image/jpeg", "jpeg"},
               [KX_FORMAT_PNG] = {"image/png", "png"},
               [KX_FORMAT_JPEG] = {"image/jpeg", "jpeg"},
               [KX_FORMAT_WEBP] = {"image/webp", "webp"}};

static json_t *json_of_seed(uint64_t seed)
{
    char text[32];
    if (seed <= INT64_MAX) return json_integer((json_int_t)seed);
    snprintf(text, sizeof text, "%" PRIu64, seed);
    return json_string(text);
}

static json_t *json_of_size(kx_size size)
{
    return json_pack("{s:i, s:i}", "width", size.width_px, "height", size.height_px);
}

static kx_status encode(const kx_job_run *run, const kx_result_image *image, uint8_t **data, size_t *bytes,
                        kx_error *err)
{
    const kx_result *result = run->result;
    kx_model_facts facts;
    char seed[32], steps[16], guidance[32], size[32], references[16], cache[48] = "";
    kx_model_host_facts(run->queue->host, &facts);
    snprintf(seed, sizeof seed, "%" PRIu64, image->seed);
    snprintf(steps, sizeof steps, "%d", result->steps);
    snprintf(guidance, sizeof guidance, "%g", result->guidance);
    snprintf(size, sizeof size, "%dx%d", image->picture.width_px, image->picture.height_px);
    snprintf(references, sizeof references, "%zu", result->num_references);
    bool caches = result->cache != KX_CACHE_OFF;
    if (caches) snprintf(cache, sizeof cache, "%s=%g", kx_cache_name(result->cache), result->cache_threshold);
    const kx_text_entry metadata[] = {
        {"prompt", run->request.prompt},
        {"seed", seed},
        {"steps", steps},
        {"guidance", guidance},
        {"size", size},
        {"references", references},
        {"model", facts.name},
        {"Software", "kontext " KX_VERSION},
        {"cache", cache}, /* the last: left out where there is none */
    };
    kx_save_options options = {.format = run->request.format,
                               .quality = run->request.quality,
                               .metadata = metadata,
                               .num_metadata = sizeof metadata / sizeof metadata[0] - !caches};
    if (options.format == KX_FORMAT_AUTO) options.format = KX_FORMAT_JPEG;
    return kx_picture_encode(&image->picture, &options, data, bytes, err);
}

static kx_status store_image(const kx_job_run *run, const kx_result_image *image, stored_outputs *outputs,
                             kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t *data = NULL;
    size_t bytes = 0, at = outputs->count;
    json_t *record = NULL;
    KX_TRY(encode(run, image, &data, &bytes, err));
    KX_TRY(kx_blobs_put(run->queue->parts.blobs, data, bytes, outputs->blobs[at], err));
    record = json_pack("{s:s, s:i, s:i, s:o}", "format", formats[run->request.format].suffix, "width",
                       image->picture.width_px, "height", image->picture.height_px, "seed",
                       json_of_seed(image->seed));
    outputs->records[at] = record != NULL ? json_dumps(record, JSON_COMPACT) : NULL;
    KX_FAIL_IF(outputs->records[at] == NULL, err, KX_ERR_MEMORY, "out of memory for the result's record");
    outputs->items[at] = (kx_output){.blob = outputs->blobs[at],
                                     .bytes = bytes,
                                     .content_type = formats[run->request.format].content_type,
                                     .suffix = formats[run->request.format].suffix,
                                     .record = outputs->records[at]};
    outputs->count++;
out:
    json_decref(record);
    kx_free(data);
    return status;
}

/* ---- Details ---- */

static json_t *json_of_mapping(const kx_reference_mapping *m)
{
    return json_pack("{s:o, s:o, s:o, s:{s:f, s:f}, s:{s:i, s:i}, s:i}", "source", json_of_size(m->source),
                     "cropped", json_of_size(m->cropped), "working", json_of_size(m->working), "scale", "x",
                     m->scale_x, "y", m->scale_y, "offset_tokens", "x", m->offset_x_tokens, "y",
                     m->offset_y_tokens, "index", m->index);
}

static json_t *json_of_sizes(const kx_result *result)
{
    bool requested = result->requested.width_px > 0;
    return json_pack("{s:o, s:o, s:o}", "requested",
                     requested ? json_of_size(result->requested) : json_null(), "working",
                     json_of_size(result->working), "final", json_of_size(result->final));
}

static json_t *json_of_timings(const kx_timings *t, double store_seconds)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "load", t->load, "text", t->text, "encode",
                     t->encode, "denoise", t->denoise, "decode", t->decode, "store", store_seconds, "total",
                     t->total + store_seconds);
}

static json_t *json_of_cache(const kx_result *result)
{
    return json_pack("{s:s, s:f, s:I}", "name", kx_cache_name(result->cache), "threshold",
                     result->cache_threshold, "steps_reused", (json_int_t)result->steps_reused);
}

static json_t *json_of_details(const kx_job_run *run, double store_seconds)
{
    const kx_result *result = run->result;
    kx_model_facts facts;
    kx_model_host_facts(run->queue->host, &facts);
    json_t *seeds = json_array(), *references = json_array();
    for (size_t i = 0; i < result->num_images; i++)
        json_array_append_new(seeds, json_of_seed(result->images[i].seed));
    for (size_t i = 0; i < result->num_references; i++)
        json_array_append_new(references, json_of_mapping(&result->references[i]));
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:i, s:f, s:o, s:s, s:s, s:b, s:{s:i, s:i, s:i, s:i}, s:{s:I, s:I}, s:O}",
        "seeds", seeds, "sizes", json_of_sizes(result), "references", references, "stage_timings",
        json_of_timings(&result->seconds, store_seconds), "steps", result->steps, "guidance",
        result->guidance, "cache", json_of_cache(result), "precision", facts.precision, "kernel_set",
        facts.kernel_set, "resumed", (int)run->is_resumed, "tokens", "clip", (int)result->clip_tokens,
        "clip_cut", (int)result->clip_tokens_cut, "t5", (int)result->t5_tokens, "t5_cut",
        (int)result->t5_tokens_cut, "memory", "plan_bytes", (json_int_t)result->plan_bytes,
        "peak_anonymous_bytes", (json_int_t)result->peak_anonymous_bytes, "warnings", run->warnings);
}

/* ---- Ends ---- */

kx_status kx_job_outcome_complete(kx_job_run *run, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_result *result = run->result;
    stored_outputs *outputs = calloc(1, sizeof *outputs);
    json_t *details = NULL;
    char *text = NULL;
    double began = kx_job_watch_seconds();
    KX_FAIL_IF(outputs == NULL, err, KX_ERR_MEMORY, "out of memory for the results");
    KX_FAIL_IF(result->num_images > IMAGES_MAX, err, KX_ERR_INTERNAL,
               "%zu results were made, %d are possible", result->num_images, IMAGES_MAX);
    run->now.stage = "store";
    kx_live_set(run->queue->live, run->live, &run->now);
    for (size_t i = 0; i < result->num_images; i++)
        KX_TRY(store_image(run, &result->images[i], outputs, err));
    details = json_of_details(run, kx_job_watch_seconds() - began);
    text = details != NULL ? json_dumps(details, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    KX_FAIL_IF(text == NULL, err, KX_ERR_MEMORY, "out of memory for the result's details");
    kx_ending ending = {.state = KX_JOB_COMPLETED,
                        .error = "",
                        .outputs = outputs->items,
                        .num_outputs = outputs->count,
                        .details = text,
                        .inference_ms = run->earlier_ms + (int64_t)(1000 * result->seconds.total)};
    KX_TRY(kx_queue_end_job(run->queue, run->job->id, &ending, err));
    kx_meters_add_run(run->queue->meters, result->seconds.total, outputs->count,
                      result->peak_anonymous_bytes);
    kx_meters_add_kept(run->queue->meters, result->text_was_kept != 0, result->references_kept);
out:
    for (size_t i = 0; outputs != NULL && i < outputs->count; i++) free(outputs->records[i]);
    free(outputs);
    free(text);
    json_decref(details);
    return status;
}

static kx_status end_without_result(kx_job_run *run, kx_job_state state, int code, const char *sentence,
                                    kx_error *err)
{
    kx_ending ending = {.state = state,
                        .code = code,
                        .error = sentence,
                        .details = "{}",
                        .inference_ms = kx_job_watch_ran_ms(run)};
    return kx_queue_end_job(run->queue, run->job->id, &ending, err);
}

/* Clients read what concerns their request; what concerns our machine is for the log. */
kx_status kx_job_outcome_fail(kx_job_run *run, const kx_error *failure, kx_error *err)
{
    int code = KX_CODE_INTERNAL;
    const char *sentence = "The service could not run this job because of an error of its own.";
    if (failure->status == KX_ERR_INPUT) {
        code = strncmp(failure->message, "image ", 6) == 0 ? KX_CODE_MEDIA : KX_CODE_PARAMETER;
        sentence = failure->message;
    } else if (failure->status == KX_ERR_MEMORY) {
        code = KX_CODE_EXECUTION;
        sentence =
            "The job needs more memory than the service has; a smaller size or fewer pictures may help.";
    } else if (failure->status == KX_ERR_MODEL) {
        code = KX_CODE_EXECUTION;
        sentence = "The model failed on this job.";
    } else if (failure->status == KX_ERR_OUTPUT) {
        sentence = "The result could not be stored.";
    }
    kx_queue_log(run->queue, "%s: failed: %s", run->job->id, failure->message);
    return end_without_result(run, KX_JOB_FAILED, code, sentence, err);
}

kx_status kx_job_outcome_halted(kx_job_run *run, kx_error *err)
{
    char sentence[128];
    if (run->halt != KX_HALT_DEADLINE)
        return end_without_result(run, KX_JOB_CANCELLED, 0, "The job was cancelled.", err);
    snprintf(sentence, sizeof sentence,
             "The job ran longer than the limit of %" PRIu64 " seconds and was ended.",
             run->queue->parts.settings->job_deadline_s);
    return end_without_result(run, KX_JOB_TIMEOUT, KX_CODE_TASK, sentence, err);
}
