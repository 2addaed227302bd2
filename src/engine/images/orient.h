/* Turns a picture as its EXIF orientation says. */
#pragma once

#include "base/error.h"

/* orientation 1-8 (anything else leaves the picture alone): 2 mirrored, 3 half turn, 4 flipped, 5 transposed,
 * 6 quarter turn clockwise, 7 transposed on the other diagonal, 8 quarter turn the other way. Errors:
 * KX_ERR_MEMORY. */
kx_status kx_orient_picture(kx_picture *picture, int orientation, kx_error *err);
