/* What a decoder makes of a file: 8-bit samples in the file's own colour space, before profile, alpha and
 * orientation. Rows top to bottom as stored, no padding, channels interleaved. Zero-initialise; free with
 * kx_raster_free, also after a failed decoder.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum kx_raster_layout {
    KX_LAYOUT_GREY = 0,
    KX_LAYOUT_GREY_ALPHA,
    KX_LAYOUT_RGB,
    KX_LAYOUT_RGBA, /* alpha is straight, not multiplied into the colours */
    KX_LAYOUT_CMYK, /* 255 = full ink */
} kx_raster_layout;

typedef struct kx_raster {
    size_t width_px;
    size_t height_px;
    kx_raster_layout layout;
    uint8_t *pixels;
    uint8_t *profile; /* the embedded ICC profile, malloc'ed, or NULL */
    size_t profile_bytes;
    int orientation; /* EXIF 1-8; 0 = not given */
} kx_raster;

/* What an input picture may ask for. The defaults are those of base/limits.h. */
typedef struct kx_picture_limits {
    size_t bytes;   /* of the file */
    size_t side_px; /* of width and of height */
    size_t pixels;  /* width x height */
    int jpeg_scans; /* of a progressive JPEG: each costs a pass over all coefficients */
} kx_picture_limits;

kx_picture_limits kx_picture_limits_default(void);

/* Channels of one pixel: 1 to 4. */
size_t kx_raster_channels(kx_raster_layout layout);

/* Checks the size that a header claims. `format` is the word for the sentence ("PNG"). KX_ERR_INPUT. */
kx_status kx_raster_check(const char *format, uint64_t width_px, uint64_t height_px,
                          const kx_picture_limits *limits, kx_error *err);
/* Checks, then allocates the pixels, zeroed. KX_ERR_INPUT, KX_ERR_MEMORY. */
kx_status kx_raster_take(kx_raster *raster, const char *format, uint64_t width_px, uint64_t height_px,
                         kx_raster_layout layout, const kx_picture_limits *limits, kx_error *err);
uint8_t *kx_raster_row(const kx_raster *raster, size_t y);
/* Keeps a copy of an ICC profile. One that is empty, above the limit or does not fit into memory is left out:
 * a picture without its profile is still that picture. */
void kx_raster_keep_profile(kx_raster *raster, const void *icc, size_t bytes);
void kx_raster_free(kx_raster *raster);

/* raster (H,W,channels) -> picture (H,W,3) sRGB over white, not yet oriented. Takes the pixels of an RGB
 * raster over where nothing is to be done. Errors: KX_ERR_MEMORY. */
kx_status kx_raster_to_picture(kx_raster *raster, kx_picture *picture, kx_error *err);
