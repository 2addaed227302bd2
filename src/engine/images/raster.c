#include "engine/images/raster.h"

#include "base/checked.h"
#include "base/limits.h"
#include "engine/images/colour_profile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

kx_picture_limits kx_picture_limits_default(void)
{
    return (kx_picture_limits){
        .bytes = KX_LIMIT_PICTURE_BYTES,
        .side_px = KX_LIMIT_PICTURE_SIDE_PX,
        .pixels = KX_LIMIT_PICTURE_PIXELS,
        .jpeg_scans = KX_LIMIT_JPEG_SCANS,
    };
}

size_t kx_raster_channels(kx_raster_layout layout)
{
    static const uint8_t channels[] = {
        [KX_LAYOUT_GREY] = 1, [KX_LAYOUT_GREY_ALPHA] = 2, [KX_LAYOUT_RGB] = 3,
        [KX_LAYOUT_RGBA] = 4, [KX_LAYOUT_CMYK] = 4,
    };
    return channels[layout];
}

kx_status kx_raster_check(const char *format, uint64_t width_px, uint64_t height_px,
                          const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(width_px == 0 || height_px == 0, err, KX_ERR_INPUT,
               "%s is %" PRIu64 "x%" PRIu64 ", it has no pixels", format, width_px, height_px);
    KX_FAIL_IF(width_px > limits->side_px || height_px > limits->side_px, err, KX_ERR_INPUT,
               "%s is %" PRIu64 "x%" PRIu64 ", the limit is %zux%zu", format, width_px, height_px,
               limits->side_px, limits->side_px);
    KX_FAIL_IF(width_px * height_px > limits->pixels, err, KX_ERR_INPUT,
               "%s is %" PRIu64 "x%" PRIu64 " with %" PRIu64 " pixels, the limit is %zu pixels", format,
               width_px, height_px, width_px * height_px, limits->pixels);
out:
    return status;
}

kx_status kx_raster_take(kx_raster *raster, const char *format, uint64_t width_px, uint64_t height_px,
                         kx_raster_layout layout, const kx_picture_limits *limits, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_raster_check(format, width_px, height_px, limits, err));
    size_t pixels, bytes;
    KX_FAIL_IF(!kx_checked_mul((size_t)width_px, (size_t)height_px, &pixels) ||
                   !kx_checked_mul(pixels, kx_raster_channels(layout), &bytes),
               err, KX_ERR_MEMORY, "%s is %" PRIu64 "x%" PRIu64 ", which no memory holds", format, width_px,
               height_px);
    raster->pixels = calloc(bytes, 1);
    KX_FAIL_IF(raster->pixels == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes for a picture", bytes);
    raster->width_px = (size_t)width_px;
    raster->height_px = (size_t)height_px;
    raster->layout = layout;
out:
    return status;
}

uint8_t *kx_raster_row(const kx_raster *raster, size_t y)
{
    return raster->pixels + y * raster->width_px * kx_raster_channels(raster->layout);
}

void kx_raster_keep_profile(kx_raster *raster, const void *icc, size_t bytes)
{
    if (raster->profile != NULL || icc == NULL || bytes == 0 || bytes > KX_LIMIT_PROFILE_BYTES) return;
    raster->profile = malloc(bytes);
    if (raster->profile == NULL) return;
    memcpy(raster->profile, icc, bytes);
    raster->profile_bytes = bytes;
}

void kx_raster_free(kx_raster *raster)
{
    free(raster->pixels);
    free(raster->profile);
    *raster = (kx_raster){0};
}

/* a * b / 255, rounded to nearest. */
static unsigned multiply_255(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/* CMYK (pixels,4) -> RGB (pixels,3), R = K' - K'*C/255 with K' = 255 - K, rounded as Pillow rounds it. */
static void cmyk_row_to_rgb(const uint8_t *in, uint8_t *rgb, size_t pixels)
{
    for (size_t x = 0; x < pixels; x++) {
        unsigned light = 255u - in[4 * x + 3];
        for (size_t c = 0; c < 3; c++) rgb[3 * x + c] = (uint8_t)(light - multiply_255(in[4 * x + c], light));
    }
}

/* `colour` with `alpha` over white, in the fixed-point arithmetic of Pillow's alpha_composite. */
static uint8_t over_white(unsigned colour, unsigned alpha)
{
    unsigned source = alpha * 128;
    unsigned sum = colour * source + 255 * (255 * 128 - source) + (128u << 7);
    return (uint8_t)((((sum >> 8) + sum) >> 8) >> 7);
}

/* RGBA (pixels,4) -> RGB (pixels,3). in == rgb is allowed. */
static void rgba_row_over_white(const uint8_t *in, uint8_t *rgb, size_t pixels)
{
    for (size_t x = 0; x < pixels; x++) {
        unsigned alpha = in[4 * x + 3];
        for (size_t c = 0; c < 3; c++) rgb[3 * x + c] = over_white(in[4 * x + c], alpha);
    }
}

/* One row of a raster without a profile -> RGB, or RGBA where it has alpha. */
static void expand_row(kx_raster_layout layout, const uint8_t *in, uint8_t *out, size_t pixels)
{
    switch (layout) {
    case KX_LAYOUT_GREY:
        for (size_t x = 0; x < pixels; x++) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = in[x];
        break;
    case KX_LAYOUT_GREY_ALPHA:
        for (size_t x = 0; x < pixels; x++) {
            out[4 * x] = out[4 * x + 1] = out[4 * x + 2] = in[2 * x];
            out[4 * x + 3] = in[2 * x + 1];
        }
        break;
    case KX_LAYOUT_RGB:
        memcpy(out, in, 3 * pixels);
        break;
    case KX_LAYOUT_RGBA:
        memcpy(out, in, 4 * pixels);
        break;
    case KX_LAYOUT_CMYK:
        cmyk_row_to_rgb(in, out, pixels);
        break;
    }
}

kx_status kx_raster_to_picture(kx_raster *raster, kx_picture *picture, kx_error *err)
{
    kx_status status = KX_OK;
    size_t width = raster->width_px, height = raster->height_px;
    bool has_alpha = raster->layout == KX_LAYOUT_GREY_ALPHA || raster->layout == KX_LAYOUT_RGBA;
    uint8_t *row = NULL, *rgb = NULL;
    kx_colour_profile *profile = NULL;
    KX_TRY(kx_colour_profile_create(&profile, raster->profile, raster->profile_bytes, raster->layout, err));
    if (raster->layout == KX_LAYOUT_RGB && profile == NULL) {
        rgb = raster->pixels;
        raster->pixels = NULL;
    } else {
        rgb = malloc(width * height * 3);
        row = malloc(width * 4);
        KX_FAIL_IF(rgb == NULL || row == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes for a picture",
                   width * height * 3);
        for (size_t y = 0; y < height; y++) {
            const uint8_t *in = kx_raster_row(raster, y);
            uint8_t *out = rgb + y * width * 3;
            uint8_t *wide = has_alpha ? row : out;
            if (profile != NULL)
                kx_colour_profile_row(profile, in, wide, width);
            else
                expand_row(raster->layout, in, wide, width);
            if (has_alpha) rgba_row_over_white(wide, out, width);
        }
    }
    *picture = (kx_picture){.width_px = (int)width, .height_px = (int)height, .rgb = rgb};
    rgb = NULL;
out:
    kx_colour_profile_destroy(profile);
    free(row);
    free(rgb);
    return status;
}
