#include "base/checked.h"
#include "service/common/crypto.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

kx_status kx_base64_encode(const void *data, size_t bytes, kx_bytes *out, kx_error *err)
{
    kx_status status = KX_OK;
    const uint8_t *from = data;
    size_t size;
    uint8_t *to = NULL;
    KX_FAIL_IF(!kx_checked_mul(bytes / 3 + (bytes % 3 != 0), 4, &size), err, KX_ERR_MEMORY,
               "out of memory: %zu bytes as base64", bytes);
    KX_TRY(kx_bytes_grow(out, size, &to, err));
    size_t at = 0;
    for (; at + 2 < bytes; at += 3, to += 4) {
        uint32_t group = (uint32_t)from[at] << 16 | (uint32_t)from[at + 1] << 8 | from[at + 2];
        for (int i = 0; i < 4; i++) to[i] = (uint8_t)alphabet[group >> (18 - 6 * i) & 63];
    }
    if (at < bytes) {
        bool has_second = at + 1 < bytes;
        uint32_t group = (uint32_t)from[at] << 16 | (has_second ? (uint32_t)from[at + 1] << 8 : 0);
        to[0] = (uint8_t)alphabet[group >> 18];
        to[1] = (uint8_t)alphabet[group >> 12 & 63];
        to[2] = has_second ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        to[3] = '=';
    }
out:
    return status;
}

/* 0 to 63; negative for what is no digit. */
static int digit_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static kx_status check_padding(const char *text, size_t length, size_t at, size_t digits, kx_error *err)
{
    kx_status status = KX_OK;
    size_t padding = 0;
    for (size_t i = at; i < length; i++) {
        KX_FAIL_IF(text[i] != '=' && !is_space((unsigned char)text[i]), err, KX_ERR_INPUT,
                   "byte %zu of the base64 text stands behind its padding", i);
        padding += text[i] == '=';
    }
    KX_FAIL_IF(digits % 4 == 1 || (padding > 0 && (digits + padding) % 4 != 0) || padding > 2, err,
               KX_ERR_INPUT, "the base64 text ends early: %zu digits and %zu '='", digits, padding);
out:
    return status;
}

kx_status kx_base64_decode(const char *text, size_t length, kx_bytes *out, kx_error *err)
{
    kx_status status = KX_OK;
    size_t before = out->size, digits = 0, at = 0;
    uint8_t *to = NULL;
    uint32_t group = 0;
    KX_TRY(kx_bytes_grow(out, length / 4 * 3 + 3, &to, err));
    for (; at < length && text[at] != '='; at++) {
        int value = digit_value((unsigned char)text[at]);
        if (value < 0 && is_space((unsigned char)text[at])) continue;
        KX_FAIL_IF(value < 0, err, KX_ERR_INPUT, "byte %zu of the base64 text is 0x%02x, no base64 digit", at,
                   (unsigned)(unsigned char)text[at]);
        group = group << 6 | (uint32_t)value;
        if (++digits % 4 == 0) {
            *to++ = (uint8_t)(group >> 16);
            *to++ = (uint8_t)(group >> 8);
            *to++ = (uint8_t)group;
        }
    }
    KX_TRY(check_padding(text, length, at, digits, err));
    if (digits % 4 == 3) {
        *to++ = (uint8_t)(group >> 10);
        *to++ = (uint8_t)(group >> 2);
    } else if (digits % 4 == 2) {
        *to++ = (uint8_t)(group >> 4);
    }
out:
    out->size = status == KX_OK ? (size_t)(to - out->data) : before;
    return status;
}
