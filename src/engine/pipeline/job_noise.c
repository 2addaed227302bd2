#include "engine/pipeline/job.h"

#include "engine/formats/safetensors.h"
#include "engine/sampler/noise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tensor `noise` [16,h,w] f32 of the user's file. */
static kx_status read_noise(const char *path, size_t height, size_t width, float *latent, kx_error *err)
{
    kx_status status = KX_OK;
    kx_safetensors file = {0};
    KX_TRY(kx_safetensors_open(&file, path, KX_ERR_INPUT, err));
    const kx_safetensors_tensor *noise = kx_safetensors_find(&file, "noise");
    KX_FAIL_IF(noise == NULL, err, KX_ERR_INPUT, "%s: has no tensor named noise", path);
    bool fits = noise->dtype == KX_F32 && noise->rank == 3 && noise->shape[0] == KX_LATENT_CHANNELS &&
                noise->shape[1] == (int64_t)height && noise->shape[2] == (int64_t)width;
    if (!fits) {
        char shape[96];
        kx_safetensors_shape_text(noise, shape, sizeof shape);
        KX_FAIL(err, KX_ERR_INPUT, "%s: tensor noise is %s %s, F32 [%d,%zu,%zu] is expected", path,
                kx_dtype_name(noise->dtype), shape, KX_LATENT_CHANNELS, height, width);
    }
    memcpy(latent, noise->data, noise->bytes);
    for (size_t i = 0; i < noise->count; i++)
        KX_FAIL_IF(!isfinite(latent[i]), err, KX_ERR_INPUT,
                   "%s: tensor noise, element %zu: %g is not a finite number", path, i, (double)latent[i]);
out:
    kx_safetensors_close(&file);
    return status;
}

kx_status kx_job_fill_noise(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_edit_request *request = job->request;
    size_t height = (size_t)job->geometry.working.height_px / 8,
           width = (size_t)job->geometry.working.width_px / 8;
    size_t count = KX_LATENT_CHANNELS * height * width;
    float *latent = malloc(count * sizeof *latent);
    KX_FAIL_IF(latent == NULL, err, KX_ERR_MEMORY, "out of memory");
    for (unsigned n = 0; n < request->num_images; n++) {
        if (request->noise_file != NULL) {
            KX_TRY(read_noise(request->noise_file, height, width, latent, err));
        } else {
            kx_noise_fill(request->noise_stream, job->seed + n, latent, count);
        }
        KX_TRY(kx_dump_add(job->dump, "noise", KX_F32, 3,
                           (int64_t[]){KX_LATENT_CHANNELS, (int64_t)height, (int64_t)width}, latent, err));
        kx_positions_pack(latent, kx_latent_layout_planes(height, width),
                          kx_tensor_f32(&job->states) + n * count);
    }
out:
    free(latent);
    return status;
}
