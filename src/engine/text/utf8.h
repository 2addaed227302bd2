/* UTF-8: the check at the door, and decoding of text that has passed it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is `text` (bytes long, zero bytes allowed) UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF? Otherwise KX_ERR_INPUT with the position of the first bad byte. */
kx_status kx_text_check_utf8(const char *text, size_t bytes, kx_error *err);

/* The code point that starts at `text` in checked UTF-8; *length is its number of bytes. */
static inline uint32_t kx_utf8_decode(const uint8_t *text, size_t *length)
{
    uint32_t c = text[0];
    *length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (*length == 1) return c;
    c &= 0x3fu >> (*length - 1);
    for (size_t i = 1; i < *length; i++) c = c << 6 | (text[i] & 0x3fu);
    return c;
}

/* Writes a code point; returns the number of bytes, 1 to 4. */
size_t kx_utf8_encode(uint32_t code, uint8_t out[4]);

/* The Unicode property White_Space. */
bool kx_unicode_is_space(uint32_t code);
/* What a regular expression's \w takes: letters, marks, numbers, connecting punctuation. */
bool kx_unicode_is_word(uint32_t code);
bool kx_unicode_is_letter(uint32_t code); /* \p{L} */
bool kx_unicode_is_number(uint32_t code); /* \p{N} */
