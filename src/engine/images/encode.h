/* From a picture to encoded bytes. Equal pictures and options give equal bytes. */
#pragma once

#include "base/bytes.h"

/* options->format is named; quality and metadata are checked. Errors: KX_ERR_INPUT (options, or a picture
 * that the format cannot hold), KX_ERR_MEMORY. */
kx_status kx_picture_encode_bytes(const kx_picture *picture, const kx_save_options *options, kx_bytes *out,
                                  kx_error *err);

/* The format for a file name's suffix, in any case; KX_ERR_INPUT names those that are known. */
kx_status kx_picture_format_of(const char *path, kx_picture_format *format, kx_error *err);

/* The encoders; called with checked options. */
typedef kx_status kx_encoder(const kx_picture *picture, const kx_save_options *options, kx_bytes *out,
                             kx_error *err);
kx_encoder kx_png_encode, kx_jpeg_encode, kx_webp_encode;
