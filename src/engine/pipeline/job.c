#include "engine/pipeline/checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *take(kx_job *job, const char *name, size_t count, size_t size)
{
    return kx_scratch_take(&job->kept, name, count * size, &job->kept_failed);
}

void kx_job_take_kept(kx_job *job)
{
    const kx_model *model = job->model;
    const kx_geometry *geometry = &job->geometry;
    int64_t text = (int64_t)model->max_text_tokens, target = (int64_t)geometry->target_tokens;
    int64_t reference = (int64_t)geometry->reference_tokens, images = job->request->num_images;
    int64_t all = text + target + reference;
    int64_t pooled = kx_clip_config_of(model->clip)->width, embed = kx_t5_config_of(model->t5)->width;
    job->clip_ids = take(job, "CLIP ids", (size_t)kx_clip_config_of(model->clip)->positions, sizeof(int32_t));
    job->t5_ids = take(job, "T5 ids", (size_t)text, sizeof(int32_t));
    job->pooled = kx_tensor_of(take(job, "pooled text", (size_t)pooled, sizeof(float)), 1, pooled);
    job->embeds =
        kx_tensor_of(take(job, "text embeddings", (size_t)(text * embed), sizeof(float)), text, embed);
    job->reference_tokens =
        kx_tensor_of(take(job, "reference latents", (size_t)reference * KX_TOKEN_FEATURES, sizeof(float)),
                     reference, KX_TOKEN_FEATURES);
    job->ids = kx_tensor_of(take(job, "position ids", (size_t)all * KX_POSITION_AXES, sizeof(float)), all,
                            KX_POSITION_AXES);
    job->sigmas = take(job, "sigmas", (size_t)job->steps + 1, sizeof(float));
    job->states =
        kx_tensor_of(take(job, "latents", (size_t)(images * target) * KX_TOKEN_FEATURES, sizeof(float)),
                     images * target, KX_TOKEN_FEATURES);
    if (job->request->checkpoint_steps > 0 && job->request->cache != KX_CACHE_OFF)
        job->whole_state = kx_tensor_of(
            take(job, "latents of the last whole step", (size_t)target * KX_TOKEN_FEATURES, sizeof(float)),
            target, KX_TOKEN_FEATURES);
    if (job->request->checkpoint_steps > 0)
        job->checkpoint =
            take(job, "checkpoint", kx_checkpoint_bytes((size_t)(images * target) * KX_TOKEN_FEATURES), 1);
}

void kx_job_close(kx_job *job)
{
    for (size_t k = 0; k < KX_MAX_REFERENCES; k++) {
        if (job->source_is_ours[k]) kx_picture_free(&job->sources[k]);
        kx_picture_free(&job->streams[k]);
    }
    kx_scratch_close(&job->kept);
    kx_dump_close(job->dump);
    kx_profiler_close(job->profiler);
    kx_result_free(job->result);
    memset(job, 0, sizeof *job);
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

void kx_job_begin_stage(kx_job *job, const char *stage)
{
    job->stage = stage;
    clock_gettime(CLOCK_MONOTONIC, &job->stage_start);
}

double kx_job_stage_seconds(const kx_job *job)
{
    return seconds_since(&job->stage_start);
}

void kx_job_progress(kx_job *job, uint64_t done, uint64_t total, unsigned image)
{
    if (job->callbacks.progress == NULL) return;
    kx_progress progress = {
        .stage = job->stage,
        .done = done,
        .total = total,
        .image = image,
        .num_images = job->request->num_images,
        .seconds = kx_job_stage_seconds(job),
        .reused = job->image_reused,
    };
    job->callbacks.progress(job->callbacks.user, &progress);
}

void kx_job_dump(kx_job *job, kx_ops *ops, const kx_tensor *tensor, const char *format, ...)
{
    if (job->dump == NULL || kx_ops_idle(ops)) return;
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    kx_dump_add_tensor(job->dump, name, tensor, &ops->error);
}
