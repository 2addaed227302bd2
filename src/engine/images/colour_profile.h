/* Embedded ICC profiles: from the picture's colours to sRGB by Little CMS, perceptual intent, which is what
 * Pillow's ImageCms does by default. One per picture; not shared between threads.
 */
#pragma once

#include "engine/images/raster.h"

typedef struct kx_colour_profile kx_colour_profile;

/* *profile is NULL, with KX_OK, where nothing is to be done: no profile, one that is broken or of another
 * colour space than the picture (such a profile says nothing about it), or one that is sRGB already. "sRGB
 * already" is found by what the profile does: when no probe colour moves by more than one level, the pixels
 * keep their bytes. */
kx_status kx_colour_profile_create(kx_colour_profile **profile, const uint8_t *icc, size_t bytes,
                                   kx_raster_layout layout, kx_error *err);
/* in (pixels, channels of the layout) -> out (pixels,3), or (pixels,4) with the alpha copied where the layout
 * has alpha. */
void kx_colour_profile_row(const kx_colour_profile *profile, const uint8_t *in, uint8_t *out, size_t pixels);
void kx_colour_profile_destroy(kx_colour_profile *profile);
