/* Any bytes into the picture decoders: an error or a picture, never anything else. Pictures above a megapixel
 * are refused by the limits, so that a run costs milliseconds. */
#include "engine/images/decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kx_picture picture;
    kx_error err = {0};
    kx_picture_limits limits = {.bytes = 1u << 20, .side_px = 4096, .pixels = 1u << 20, .jpeg_scans = 20};
    kx_status status = kx_picture_decode_within(&picture, data, size, &limits, &err);
    if ((status == KX_OK) != (picture.rgb != NULL)) abort();
    if (status != KX_OK && (err.message[0] == '\0' || status == KX_ERR_INTERNAL)) abort();
    /* Reads every pixel, so that the sanitizer sees a buffer that is too small or was not filled. */
    unsigned sum = 0;
    if (status == KX_OK)
        for (size_t i = 0; i < (size_t)picture.width_px * (size_t)picture.height_px * 3; i++)
            sum += picture.rgb[i];
    volatile unsigned sink = sum;
    (void)sink;
    kx_picture_free(&picture);
    return 0;
}
