#define _GNU_SOURCE /* getrandom */
#include "engine/pipeline/request.h"

#include "base/limits.h"
#include "engine/text/utf8.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>

kx_edit_request kx_edit_request_default(void)
{
    return (kx_edit_request){
        .guidance = -1.0,
        .cache_threshold = -1.0,
        .num_images = 1,
    };
}

static kx_status check_prompt(const kx_edit_request *request, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(request->prompt == NULL || request->prompt[0] == '\0', err, KX_ERR_INPUT,
               "the prompt is empty");
    size_t bytes = strlen(request->prompt);
    KX_FAIL_IF(bytes > KX_LIMIT_PROMPT_BYTES, err, KX_ERR_INPUT, "the prompt is %zu bytes, the limit is %u",
               bytes, KX_LIMIT_PROMPT_BYTES);
    KX_TRY(kx_text_check_utf8(request->prompt, bytes, err));
out:
    return status;
}

static kx_status check_references(const kx_edit_request *request, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(request->num_references > KX_MAX_REFERENCES, err, KX_ERR_INPUT,
               "%zu reference images are given, the limit is %d", request->num_references, KX_MAX_REFERENCES);
    for (size_t k = 0; k < request->num_references; k++) {
        const kx_reference *reference = &request->references[k];
        int given = (reference->path != NULL) + (reference->data != NULL) + (reference->picture != NULL);
        KX_FAIL_IF(given > 1, err, KX_ERR_USAGE,
                   "image %zu: one of a file, encoded bytes or pixels is expected, %d of them are given",
                   k + 1, given);
    }
    KX_FAIL_IF((unsigned)request->scheme > KX_REFERENCES_STITCH, err, KX_ERR_INPUT,
               "unknown reference scheme %d", (int)request->scheme);
    KX_FAIL_IF((unsigned)request->ref_size > KX_REF_SIZE_GIVEN, err, KX_ERR_INPUT,
               "unknown reference size rule %d", (int)request->ref_size);
    KX_FAIL_IF(request->ref_size == KX_REF_SIZE_GIVEN && (request->ref_width_px < KX_LIMIT_SIDE_MIN_PX ||
                                                          request->ref_width_px > KX_LIMIT_SIDE_MAX_PX ||
                                                          request->ref_height_px < KX_LIMIT_SIDE_MIN_PX ||
                                                          request->ref_height_px > KX_LIMIT_SIDE_MAX_PX),
               err, KX_ERR_INPUT, "the reference size is %dx%d, each side must be %d to %d pixels",
               request->ref_width_px, request->ref_height_px, KX_LIMIT_SIDE_MIN_PX, KX_LIMIT_SIDE_MAX_PX);
out:
    return status;
}

static kx_status check_cache(const kx_edit_request *request, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF((unsigned)request->cache > KX_CACHE_TEACACHE, err, KX_ERR_INPUT, "unknown step cache %d",
               (int)request->cache);
    KX_FAIL_IF(!isfinite(request->cache_threshold) || request->cache_threshold > KX_LIMIT_CACHE_MAX, err,
               KX_ERR_INPUT, "the threshold of the step cache is %g, it must be 0 to %g",
               request->cache_threshold, KX_LIMIT_CACHE_MAX);
out:
    return status;
}

kx_status kx_request_check(const kx_edit_request *request, bool prompt_needed, kx_error *err)
{
    kx_status status = KX_OK;
    if (prompt_needed) KX_TRY(check_prompt(request, err));
    KX_TRY(check_references(request, err));
    KX_FAIL_IF(request->steps < 0 || request->steps > KX_LIMIT_STEPS_MAX, err, KX_ERR_INPUT,
               "%d steps are asked for, 1 to %d are possible", request->steps, KX_LIMIT_STEPS_MAX);
    KX_FAIL_IF(!isfinite(request->guidance) || request->guidance > KX_LIMIT_GUIDANCE_MAX, err, KX_ERR_INPUT,
               "the guidance is %g, it must be 0 to %g", request->guidance, KX_LIMIT_GUIDANCE_MAX);
    KX_FAIL_IF(request->num_images < 1 || request->num_images > KX_LIMIT_IMAGES_MAX, err, KX_ERR_INPUT,
               "%u images are asked for, 1 to %d are possible", request->num_images, KX_LIMIT_IMAGES_MAX);
    KX_TRY(check_cache(request, err));
    KX_FAIL_IF((unsigned)request->noise_stream > KX_NOISE_TORCH_BF16_OLD, err, KX_ERR_INPUT,
               "unknown noise stream %d", (int)request->noise_stream);
    KX_FAIL_IF(request->num_images > 1 && (request->dump_file != NULL || request->noise_file != NULL), err,
               KX_ERR_USAGE, "a dump or a given noise goes with one image, %u are asked for",
               request->num_images);
    KX_FAIL_IF(request->preview_steps < 0 || request->checkpoint_steps < 0, err, KX_ERR_INPUT,
               "a preview each %d steps and a checkpoint each %d are asked for, 0 or more are possible",
               request->preview_steps, request->checkpoint_steps);
    KX_FAIL_IF((unsigned)request->profile > KX_PROFILE_EVENTS, err, KX_ERR_INPUT, "unknown profile mode %d",
               (int)request->profile);
    KX_FAIL_IF(request->resume != NULL && request->dump_file != NULL, err, KX_ERR_USAGE,
               "a dump holds every step, so it cannot begin at a checkpoint");
out:
    return status;
}

kx_status kx_request_seed(const kx_edit_request *request, uint64_t *seed, kx_error *err)
{
    kx_status status = KX_OK;
    uint32_t drawn; /* 32 bits are all that the generator takes, and short enough to type again */
    *seed = request->seed;
    if (!request->seed_is_random) goto out;
    KX_FAIL_IF(getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn, err, KX_ERR_INTERNAL,
               "the system gives no random numbers: %s", strerror(errno));
    *seed = drawn;
out:
    return status;
}
