/* XMP: the metadata packet inside JPEG, WebP and PNG. It says that a model took part in the picture
 * (Iptc4xmpExt:DigitalSourceType) and carries the entries as kontext:KEY.
 */
#pragma once

#include "base/bytes.h"

/* Checks that keys are a letter followed by letters, digits, '-' or '_' (1 to 79 bytes), not given twice, and
 * that values are UTF-8: what PNG and XML both hold. KX_ERR_INPUT. */
kx_status kx_xmp_check_entries(const kx_text_entry *entries, size_t count, kx_error *err);

/* Appends a packet of at most `bytes_max` to `out`. Where it would be larger, the longest values are cut and
 * end in "…"; KX_ERR_INPUT when not even the keys fit. Characters that XML forbids become U+FFFD. */
kx_status kx_xmp_write(kx_bytes *out, const kx_text_entry *entries, size_t count, size_t bytes_max,
                       kx_error *err);
