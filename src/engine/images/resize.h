/* Resampling with the Lanczos filter of three lobes, to the byte what Pillow up to 12 makes. */
#pragma once

#include "base/error.h"

/* in (H,W,3) -> out (height_px, width_px, 3), a new picture (kx_picture_free); an equal size is copied byte
 * by byte. Errors: KX_ERR_INPUT (a side below 1 or above the limit for pictures), KX_ERR_MEMORY. */
kx_status kx_resize_lanczos(const kx_picture *in, int width_px, int height_px, kx_picture *out,
                            kx_error *err);
