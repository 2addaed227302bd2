/* Unicode normalisation form C, in time linear in the text. */
#pragma once

#include "base/bytes.h"

#include <stdint.h>

/* Appends the code points of NFC(text) to `codes`, an int32_t each. `text` is checked UTF-8.
 * utf8proc's own call sorts runs of combining marks by exchanging neighbours, which a long run in a prompt
 * would make quadratic; here its tables are used with a counting sort. Errors: KX_ERR_MEMORY (also at the cap
 * of codes). */
kx_status kx_unicode_nfc(const uint8_t *text, size_t bytes, kx_bytes *codes, kx_error *err);
