#include "engine/pipeline/job.h"

#include <math.h>
#include <stdio.h>

/* 8-bit sRGB -> (H,W,3) in [-1,1]: 2 (u8/255) - 1 in f32, as diffusers' image processor. */
static void fill_pixels(const kx_picture *picture, kx_tensor *pixels)
{
    float *out = kx_tensor_f32(pixels);
    size_t count = (size_t)picture->width_px * (size_t)picture->height_px * 3;
    for (size_t i = 0; i < count; i++) out[i] = 2.0f * ((float)picture->rgb[i] / 255.0f) - 1.0f;
}

/* The layout of a map as the VAE takes and gives it. */
static kx_latent_layout layout_of(const kx_tensor *latent)
{
    return kx_latent_layout_cells((size_t)latent->height, (size_t)latent->width);
}

/* stream k -> rows (tokens, 64) */
static void encode_reference(kx_job *job, kx_ops *ops, size_t k, kx_tensor *rows)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_size size = job->geometry.stream_working[k];
    kx_tensor pixels = kx_ops_take_map(ops, "reference pixels", size.height_px, size.width_px, 3);
    kx_tensor latent =
        kx_ops_take_map(ops, "reference latent", size.height_px / 8, size.width_px / 8, KX_LATENT_CHANNELS);
    if (!kx_ops_idle(ops)) fill_pixels(&job->streams[k], &pixels);
    kx_job_dump(job, ops, &pixels, "ref.%zu.pixels", k);
    kx_ops_enter(ops, "reference", (int64_t)k + 1);
    kx_vae_encode(job->model->vae, ops, &pixels, &latent);
    kx_ops_leave(ops);
    char what[64];
    snprintf(what, sizeof what, "encode: the latent of reference %zu", k + 1);
    kx_op_check_finite(ops, &latent, what);
    kx_job_dump(job, ops, &latent, "ref.%zu.latents", k);
    if (!kx_ops_idle(ops)) kx_positions_pack(kx_tensor_f32(&latent), layout_of(&latent), kx_tensor_f32(rows));
    kx_ops_release(ops, mark);
}

/* The same from an earlier edit where there is one. A dump wants to see every stage. */
static void take_reference(kx_job *job, kx_ops *ops, size_t k, kx_tensor *rows)
{
    const kx_picture *stream = &job->streams[k];
    const int size[2] = {stream->width_px, stream->height_px};
    kx_reuse_key key = {{"vae  ", size, stream->rgb},
                        {5, sizeof size, 3 * (size_t)stream->width_px * (size_t)stream->height_px}};
    size_t count = (size_t)(rows->rows * rows->cols);
    bool looks = !kx_ops_idle(ops) && job->dump == NULL;
    if (looks && kx_reuse_get(job->model->reuse, &key, rows->data, count)) {
        job->result->references_kept++;
        return;
    }
    encode_reference(job, ops, k, rows);
    if (looks && !kx_ops_idle(ops) && job->keeps) kx_reuse_put(job->model->reuse, &key, rows->data, count);
}

void kx_job_encode_references(void *argument, kx_ops *ops)
{
    kx_job *job = argument;
    const kx_geometry *geometry = &job->geometry;
    int64_t first_token = 0;
    for (size_t k = 0; k < geometry->num_streams; k++) {
        int64_t tokens = (int64_t)kx_size_tokens(geometry->stream_working[k]);
        kx_tensor rows = kx_tensor_rows(&job->reference_tokens, first_token, tokens);
        take_reference(job, ops, k, &rows);
        if (!ops->dry) kx_job_progress(job, k + 1, geometry->num_streams, 0);
        first_token += tokens;
    }
}

void kx_job_write_picture(const kx_tensor *pixels, kx_picture *picture)
{
    for (int64_t y = 0; y < picture->height_px; y++) {
        const float *from = kx_tensor_f32(pixels) + y * pixels->width * 3;
        uint8_t *to = picture->rgb + y * picture->width_px * 3;
        for (int64_t i = 0; i < (int64_t)picture->width_px * 3; i++) {
            float value = from[i] * 0.5f + 0.5f;
            value = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
            to[i] = (uint8_t)lrintf(value * 255.0f);
        }
    }
}

void kx_job_decode(void *argument, kx_ops *ops)
{
    kx_job *job = argument;
    kx_size size = job->geometry.working;
    int64_t tokens = (int64_t)job->geometry.target_tokens;
    unsigned images = ops->dry ? 1 : job->request->num_images;
    for (unsigned n = 0; n < images; n++) {
        kx_scratch_mark mark = kx_ops_mark(ops);
        kx_tensor latent =
            kx_ops_take_map(ops, "latent", size.height_px / 8, size.width_px / 8, KX_LATENT_CHANNELS);
        kx_tensor pixels = kx_ops_take_map(ops, "decoded pixels", size.height_px, size.width_px, 3);
        kx_tensor state = kx_tensor_rows(&job->states, (int64_t)n * tokens, tokens);
        if (!kx_ops_idle(ops))
            kx_positions_unpack(kx_tensor_f32(&state), layout_of(&latent), kx_tensor_f32(&latent));
        kx_job_dump(job, ops, &latent, "latents");
        kx_ops_enter(ops, "image", n + 1);
        kx_vae_decode(job->model->vae, ops, &latent, &pixels);
        kx_ops_leave(ops);
        kx_op_check_finite(ops, &pixels, "decode: the picture");
        kx_job_dump(job, ops, &pixels, "image");
        if (!kx_ops_idle(ops)) kx_job_write_picture(&pixels, &job->result->images[n].picture);
        if (!ops->dry) kx_job_progress(job, n + 1, images, n);
        kx_ops_release(ops, mark);
    }
}
