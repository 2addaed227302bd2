#include "engine/images/arrange.h"

#include "base/limits.h"
#include "engine/images/resize.h"

#include <stdlib.h>
#include <string.h>

kx_status kx_picture_crop(const kx_picture *in, int width_px, int height_px, kx_picture *out, kx_error *err)
{
    kx_status status = KX_OK;
    static const uint8_t black[3];
    *out = (kx_picture){0};
    KX_FAIL_IF(in->rgb == NULL || width_px < 1 || height_px < 1 || width_px > in->width_px ||
                   height_px > in->height_px,
               err, KX_ERR_INPUT, "a picture of %dx%d cannot be cropped to %dx%d", in->width_px,
               in->height_px, width_px, height_px);
    KX_TRY(kx_picture_blank(width_px, height_px, black, out, err));
    kx_picture_paste(in, 0, 0, out);
out:
    return status;
}

kx_status kx_picture_blank(int width_px, int height_px, const uint8_t colour[3], kx_picture *out,
                           kx_error *err)
{
    kx_status status = KX_OK;
    *out = (kx_picture){0};
    KX_FAIL_IF(width_px < 1 || height_px < 1 || width_px > KX_LIMIT_PICTURE_SIDE_PX ||
                   height_px > KX_LIMIT_PICTURE_SIDE_PX ||
                   (uint64_t)width_px * (uint64_t)height_px > KX_LIMIT_PICTURE_PIXELS,
               err, KX_ERR_INPUT,
               "a picture of %dx%d is outside the limits: sides are 1 to %d, at most %u pixels", width_px,
               height_px, KX_LIMIT_PICTURE_SIDE_PX, KX_LIMIT_PICTURE_PIXELS);
    size_t pixels = (size_t)width_px * (size_t)height_px;
    out->rgb = malloc(pixels * 3);
    KX_FAIL_IF(out->rgb == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes for a picture", pixels * 3);
    for (size_t i = 0; i < pixels; i++) memcpy(out->rgb + 3 * i, colour, 3);
    out->width_px = width_px;
    out->height_px = height_px;
out:
    return status;
}

void kx_picture_paste(const kx_picture *in, int left_px, int top_px, kx_picture *canvas)
{
    long right = (long)left_px + in->width_px, bottom = (long)top_px + in->height_px;
    long first_x = left_px > 0 ? left_px : 0, first_y = top_px > 0 ? top_px : 0;
    long end_x = right < canvas->width_px ? right : canvas->width_px;
    long end_y = bottom < canvas->height_px ? bottom : canvas->height_px;
    if (first_x >= end_x) return;
    for (long y = first_y; y < end_y; y++) {
        const uint8_t *from = in->rgb + 3 * ((y - top_px) * in->width_px + (first_x - left_px));
        memcpy(canvas->rgb + 3 * (y * canvas->width_px + first_x), from, (size_t)(end_x - first_x) * 3);
    }
}

static int width_at_height(const kx_picture *picture, int height_px)
{
    int64_t width = (int64_t)height_px * picture->width_px / picture->height_px;
    if (width < 1) return 1;
    return width > KX_LIMIT_PICTURE_SIDE_PX ? KX_LIMIT_PICTURE_SIDE_PX + 1 : (int)width;
}

kx_status kx_picture_stitch(const kx_picture *pictures, size_t count, kx_picture *canvas, int *left_px,
                            int *width_px, kx_error *err)
{
    kx_status status = KX_OK;
    static const uint8_t black[3];
    kx_picture resized = {0};
    int64_t total = 0;
    *canvas = (kx_picture){0};
    KX_FAIL_IF(count == 0, err, KX_ERR_INPUT, "there is no picture to stitch");
    for (size_t i = 0; i < count; i++) {
        KX_FAIL_IF(pictures[i].rgb == NULL || pictures[i].width_px < 1 || pictures[i].height_px < 1, err,
                   KX_ERR_INPUT, "picture %zu of %zu has no pixels to stitch", i + 1, count);
        total += width_at_height(&pictures[i], pictures[0].height_px);
        KX_FAIL_IF(total > KX_LIMIT_PICTURE_SIDE_PX, err, KX_ERR_INPUT,
                   "the first %zu pictures side by side are wider than the limit of %d", i + 1,
                   KX_LIMIT_PICTURE_SIDE_PX);
    }
    KX_TRY(kx_picture_blank((int)total, pictures[0].height_px, black, canvas, err));
    int left = 0;
    for (size_t i = 0; i < count; i++) {
        int width = width_at_height(&pictures[i], canvas->height_px);
        KX_TRY(kx_resize_lanczos(&pictures[i], width, canvas->height_px, &resized, err));
        kx_picture_paste(&resized, left, 0, canvas);
        if (left_px != NULL) left_px[i] = left;
        if (width_px != NULL) width_px[i] = width;
        left += width;
        kx_picture_free(&resized);
    }
out:
    kx_picture_free(&resized);
    if (status != KX_OK) kx_picture_free(canvas);
    return status;
}
