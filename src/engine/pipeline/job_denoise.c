#include "engine/pipeline/checkpoint.h"

#include "engine/sampler/euler.h"

#include <stdio.h>
#include <string.h>

static bool preview_is_due(const kx_job *job, const kx_ops *ops, int steps_done)
{
    int each = job->request->preview_steps;
    if (ops->dry) return each > 0;
    return each > 0 && steps_done % each == 0 && job->callbacks.preview != NULL;
}

static bool decide(void *user, double change)
{
    kx_job *job = user;
    return kx_step_cache_decide(&job->cache, change);
}

/* A picture starts with a whole step, and so does one that goes on from a checkpoint: checkpoints stand
 * before whole steps. */
static void start_cache(kx_job *job, kx_mmdit_run *run)
{
    job->cache = kx_step_cache_start(job->request->cache, job->request->cache_threshold);
    job->image_reused = 0;
    if (run->cache != NULL) run->cache->filled = false;
}

/* Between the transformer and the Euler step: counts, and keeps what a whole step started from. */
static void note_step(kx_job *job, const kx_mmdit_run *run, const kx_tensor *state, int step)
{
    if (run->cache == NULL) return;
    if (run->cache->reused) {
        job->steps_reused++;
        job->image_reused++;
    } else if (job->whole_state.data != NULL) {
        memcpy(job->whole_state.data, state->data, (size_t)(state->rows * state->cols) * sizeof(float));
        job->whole_step = step;
        job->whole_reused = job->steps_reused;
    }
}

/* One image: from noise, or from the step of a checkpoint, to picture along the schedule. */
static void denoise_image(kx_job *job, kx_ops *ops, kx_mmdit_run *run, unsigned image, kx_tensor *velocity)
{
    int64_t tokens = (int64_t)job->geometry.target_tokens;
    kx_tensor state = kx_tensor_rows(&job->states, (int64_t)image * tokens, tokens);
    int first = !ops->dry && image == job->first_image ? job->first_step : 0,
        steps = ops->dry ? 1 : job->steps;
    start_cache(job, run);
    for (int k = first; k < steps; k++) {
        job->step = k;
        kx_ops_enter(ops, "step", k + 1);
        uint64_t flops_before = ops->flops;
        if (run->cache != NULL) run->cache->last = !ops->dry && k + 1 == job->steps;
        kx_mmdit_step(job->model->mmdit, ops, run, k, &state, velocity);
        if (ops->dry) job->flops_per_step = ops->flops - flops_before;
        char what[64];
        snprintf(what, sizeof what, "denoise: the velocity of step %d", k + 1);
        kx_op_check_finite(ops, velocity, what);
        kx_job_dump(job, ops, velocity, "step.%d.velocity", k);
        if (!kx_ops_idle(ops)) {
            note_step(job, run, &state, k);
            kx_euler_step(kx_tensor_f32(&state), kx_tensor_f32(velocity),
                          (size_t)(tokens * KX_TOKEN_FEATURES), job->sigmas[k], job->sigmas[k + 1]);
            kx_job_dump(job, ops, &state, "step.%d.latents", k);
            kx_job_progress(job, (uint64_t)k + 1, (uint64_t)job->steps, image);
            kx_checkpoint_tell(job, image, k + 1);
        }
        if (preview_is_due(job, ops, k + 1)) kx_job_preview(job, ops, &state, velocity, image, k + 1);
        kx_ops_leave(ops);
        if (kx_ops_idle(ops)) return;
    }
}

void kx_job_denoise(void *argument, kx_ops *ops)
{
    kx_job *job = argument;
    kx_mmdit_inputs inputs = {
        .context = job->embeds,
        .pooled = job->pooled,
        .references = job->reference_tokens,
        .target_tokens = (int64_t)job->geometry.target_tokens,
        .positions = kx_tensor_f32(&job->ids),
        .steps = job->steps,
        .times = job->sigmas,
        .guidance = (float)job->guidance,
    };
    kx_mmdit_run run;
    kx_tensor velocity = kx_ops_take(ops, "velocity", inputs.target_tokens, KX_TOKEN_FEATURES);
    kx_mmdit_begin(job->model->mmdit, ops, &inputs, &run);
    kx_mmdit_cache cache = {.reuse = decide, .user = job};
    cache.probe =
        job->request->cache == KX_CACHE_TEACACHE ? KX_MMDIT_PROBE_INPUT : KX_MMDIT_PROBE_FIRST_BLOCK;
    if (job->request->cache != KX_CACHE_OFF) kx_mmdit_take_cache(job->model->mmdit, ops, &run, &cache);
    unsigned first = ops->dry ? 0 : job->first_image, images = ops->dry ? 1 : job->request->num_images;
    for (unsigned n = first; n < images; n++) {
        kx_ops_enter(ops, "image", n + 1);
        denoise_image(job, ops, &run, n, &velocity);
        kx_ops_leave(ops);
    }
}
