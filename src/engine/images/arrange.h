/* Cutting pictures and putting them side by side. Results are new pictures (kx_picture_free). */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* The width_px x height_px pixels from the top left corner. KX_ERR_INPUT where the picture is smaller. */
kx_status kx_picture_crop(const kx_picture *in, int width_px, int height_px, kx_picture *out, kx_error *err);

/* A picture of that size in one colour. */
kx_status kx_picture_blank(int width_px, int height_px, const uint8_t colour[3], kx_picture *out,
                           kx_error *err);

/* Copies `in` onto `canvas` with its top left corner at (left_px, top_px); what reaches over is left out. */
void kx_picture_paste(const kx_picture *in, int left_px, int top_px, kx_picture *canvas);

/* Stitching to the right: the first picture as it is, each further one resized by Lanczos to the first one's
 * height, with the width floor(H1 * W / H) (at least 1). left_px (count) receives where each begins, width_px
 * (count) how wide it became; both may be NULL. Errors: KX_ERR_INPUT (no pictures, or a canvas over the
 * limits), KX_ERR_MEMORY. */
kx_status kx_picture_stitch(const kx_picture *pictures, size_t count, kx_picture *canvas, int *left_px,
                            int *width_px, kx_error *err);
