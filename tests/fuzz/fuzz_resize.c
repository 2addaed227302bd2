/* Resizing, cropping and stitching with sizes and pixels from the input:
 *
 *     width u8, height u8, new width u16, new height u16, then pixels, repeated as needed
 */
#include "engine/images/arrange.h"
#include "engine/images/resize.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kx_picture make_picture(int width, int height, const uint8_t *pixels, size_t count)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    kx_picture picture = {.width_px = width, .height_px = height, .rgb = malloc(bytes)};
    if (picture.rgb == NULL) abort();
    for (size_t i = 0; i < bytes; i++) picture.rgb[i] = count > 0 ? pixels[i % count] : (uint8_t)i;
    return picture;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 6) return 0;
    int width = data[0] + 1, height = data[1] + 1;
    int new_width = (data[2] | data[3] << 8) % 300, new_height = (data[4] | data[5] << 8) % 300;
    kx_picture in = make_picture(width, height, data + 6, size - 6), out, cropped, stitched;
    kx_error err = {0};
    bool valid = new_width > 0 && new_height > 0;
    kx_status status = kx_resize_lanczos(&in, new_width, new_height, &out, &err);
    if ((status == KX_OK) != valid) abort();
    err = (kx_error){0};
    status = kx_picture_crop(&in, new_width, new_height, &cropped, &err);
    if ((status == KX_OK) != (valid && new_width <= width && new_height <= height)) abort();
    if (valid) {
        kx_picture both[2] = {in, out};
        err = (kx_error){0};
        /* May be wider than the limit. */
        kx_picture_stitch(both, 2, &stitched, NULL, NULL, &err);
        kx_picture_free(&stitched);
    }
    kx_picture_free(&in);
    kx_picture_free(&out);
    kx_picture_free(&cropped);
    return 0;
}
