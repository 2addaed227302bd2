/* Previews: the picture as the model expects it now, small.
 *
 * The estimate x - sigma v is averaged over squares of latent cells before it is decoded, so a preview costs
 * what decoding about 256x256 pixels costs. An average of latents is not the latent of an averaged picture,
 * but near enough to see where an edit is going. */
#include "engine/pipeline/job.h"

#include "engine/sampler/euler.h"

enum { PREVIEW_CELLS = 32 }; /* of the longer side */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* latent (H,W,C) -> small (h,w,C), h <= H, w <= W: the mean of the cells that each small one covers. */
static void average_cells(const kx_tensor *latent, kx_tensor *small)
{
    const float *from = kx_tensor_f32(latent);
    float *to = kx_tensor_f32(small);
    for (int64_t i = 0; i < small->height * small->width * KX_LATENT_CHANNELS; i++) {
        int64_t c = i % KX_LATENT_CHANNELS, cell = i / KX_LATENT_CHANNELS;
        int64_t y = cell / small->width, x = cell % small->width;
        int64_t top = y * latent->height / small->height, bottom = (y + 1) * latent->height / small->height;
        int64_t left = x * latent->width / small->width, right = (x + 1) * latent->width / small->width;
        float sum = 0.0f;
        for (int64_t v = top; v < bottom; v++)
            for (int64_t u = left; u < right; u++)
                sum += from[(v * latent->width + u) * KX_LATENT_CHANNELS + c];
        to[i] = sum / (float)((bottom - top) * (right - left));
    }
}

/* state and velocity (L,64) -> latent (h,w,16) of the estimated picture. */
static void estimate(float sigma, const kx_tensor *state, const kx_tensor *velocity, kx_tensor *tokens,
                     kx_tensor *latent)
{
    size_t height = (size_t)latent->height, width = (size_t)latent->width;
    kx_euler_estimate(kx_tensor_f32(state), kx_tensor_f32(velocity), height * width * KX_LATENT_CHANNELS,
                      sigma, kx_tensor_f32(tokens));
    kx_positions_unpack(kx_tensor_f32(tokens), kx_latent_layout_cells(height, width), kx_tensor_f32(latent));
}

void kx_job_preview(kx_job *job, kx_ops *ops, const kx_tensor *state, const kx_tensor *velocity,
                    unsigned image, int steps_done)
{
    kx_size working = job->geometry.working, final = job->geometry.final;
    int64_t height = working.height_px / 8, width = working.width_px / 8;
    int64_t factor = (larger(height, width) + PREVIEW_CELLS - 1) / PREVIEW_CELLS;
    int64_t small_height = larger(1, (height + factor / 2) / factor);
    int64_t small_width = larger(1, (width + factor / 2) / factor);
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor tokens = kx_ops_take(ops, "preview: tokens", state->rows, KX_TOKEN_FEATURES);
    kx_tensor latent = kx_ops_take_map(ops, "preview: latent", height, width, KX_LATENT_CHANNELS);
    kx_tensor small =
        kx_ops_take_map(ops, "preview: small latent", small_height, small_width, KX_LATENT_CHANNELS);
    kx_tensor pixels = kx_ops_take_map(ops, "preview: pixels", 8 * small_height, 8 * small_width, 3);
    kx_tensor bytes = kx_ops_take(ops, "preview: picture", 48 * small_height, small_width);
    if (!kx_ops_idle(ops)) {
        estimate(job->sigmas[steps_done], state, velocity, &tokens, &latent);
        average_cells(&latent, &small);
    }
    kx_vae_decode(job->model->vae, ops, &small, &pixels);
    if (!kx_ops_idle(ops)) {
        kx_picture picture = {
            .width_px = (int)larger(1, 8 * small_width * final.width_px / working.width_px),
            .height_px = (int)larger(1, 8 * small_height * final.height_px / working.height_px),
            .rgb = (uint8_t *)kx_tensor_f32(&bytes),
        };
        kx_job_write_picture(&pixels, &picture);
        job->callbacks.preview(job->callbacks.user, &picture, image, (unsigned)steps_done);
    }
    kx_ops_release(ops, mark);
}
