/* The orientation out of an EXIF block, which is a TIFF header with a list of tags. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 1-8, or 0 where the block says nothing valid. A leading "Exif\0\0" is skipped. Never reads past `bytes`. */
int kx_exif_orientation(const uint8_t *exif, size_t bytes);
