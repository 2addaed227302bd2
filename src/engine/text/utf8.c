#include "engine/text/utf8.h"

#include <utf8proc.h>

/* The bytes of the well-formed sequence at `text`, 0 where there is none (Unicode standard, table 3-7). */
static size_t sequence_length(const uint8_t *text, size_t room)
{
    uint8_t lead = text[0];
    if (lead < 0x80) return 1;
    size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || length > room) return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    return length;
}

kx_status kx_text_check_utf8(const char *text, size_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    const uint8_t *data = (const uint8_t *)text;
    for (size_t i = 0; i < bytes;) {
        size_t length = sequence_length(data + i, bytes - i);
        KX_FAIL_IF(length == 0, err, KX_ERR_INPUT,
                   "the text is not UTF-8: byte 0x%02x at position %zu of %zu", data[i], i, bytes);
        i += length;
    }
out:
    return status;
}

size_t kx_utf8_encode(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(0xf00u >> length | code); /* 0xc0, 0xe0, 0xf0 in the low byte */
    return length;
}

bool kx_unicode_is_space(uint32_t code)
{
    if (code <= 0x20) return code == 0x20 || (code >= 0x09 && code <= 0x0d);
    if (code < 0x85) return false;
    return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
           code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool kx_unicode_is_letter(uint32_t code)
{
    if (code < 0x80) return (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool kx_unicode_is_number(uint32_t code)
{
    if (code < 0x80) return code >= '0' && code <= '9';
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool kx_unicode_is_word(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return kx_unicode_is_letter(code) || kx_unicode_is_number(code) || category == UTF8PROC_CATEGORY_PC ||
           (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME);
}
