/* From encoded bytes to a picture. The public kx_picture_decode is kx_picture_decode_within with default
 * limits. */
#pragma once

#include "engine/images/raster.h"

/* Errors: KX_ERR_INPUT (unknown format, over a limit, broken or truncated data), KX_ERR_MEMORY. *picture is
 * zeroed on failure. */
kx_status kx_picture_decode_within(kx_picture *picture, const void *data, size_t bytes,
                                   const kx_picture_limits *limits, kx_error *err);

/* The decoders. Each is given bytes that begin like its format, checks the size against `limits` before it
 * allocates pixels, and fills the zeroed `raster` (free it in any case). Errors as above. */
typedef kx_status kx_decoder(kx_raster *raster, const uint8_t *data, size_t bytes,
                             const kx_picture_limits *limits, kx_error *err);
kx_decoder kx_bmp_decode, kx_gif_decode, kx_jpeg_decode, kx_png_decode, kx_tiff_decode, kx_webp_decode;
