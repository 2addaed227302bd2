#include "engine/text/unicode_nfc.h"

#include "engine/text/utf8.h"

#include <string.h>
#include <utf8proc.h>

enum { DECOMPOSITION_MAX = 16 }; /* code points of one canonical decomposition; Unicode has at most 4 */

static uint8_t class_of(int32_t code)
{
    return (uint8_t)utf8proc_get_property(code)->combining_class;
}

static kx_status decompose(const uint8_t *text, size_t bytes, kx_bytes *codes, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0, length; i < bytes; i += length) {
        int32_t parts[DECOMPOSITION_MAX];
        int boundary = 0;
        int32_t code = (int32_t)kx_utf8_decode(text + i, &length);
        utf8proc_ssize_t count = 1;
        parts[0] = code;
        if (code >= 0x80)
            count = utf8proc_decompose_char(code, parts, DECOMPOSITION_MAX,
                                            UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
        KX_FAIL_IF(count < 0 || count > DECOMPOSITION_MAX, err, KX_ERR_INTERNAL,
                   "U+%04X has no canonical decomposition of at most %d code points", (unsigned)code,
                   DECOMPOSITION_MAX);
        KX_TRY(kx_bytes_append(codes, parts, (size_t)count * sizeof parts[0], err));
    }
out:
    return status;
}

/* Stable sort of one run of marks by their classes (1 to 254). */
static kx_status sort_marks(int32_t *marks, size_t count, kx_bytes *scratch, kx_error *err)
{
    kx_status status = KX_OK;
    size_t place[257] = {0};
    uint8_t *where;
    scratch->size = 0;
    KX_TRY(kx_bytes_grow(scratch, count * sizeof marks[0], &where, err));
    int32_t *sorted = (int32_t *)(void *)where;
    for (size_t i = 0; i < count; i++) place[class_of(marks[i]) + 1]++;
    for (size_t c = 1; c < 257; c++) place[c] += place[c - 1];
    for (size_t i = 0; i < count; i++) sorted[place[class_of(marks[i])]++] = marks[i];
    memcpy(marks, sorted, count * sizeof marks[0]);
out:
    return status;
}

static kx_status order_marks(int32_t *codes, size_t count, kx_bytes *scratch, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t start = 0, end; start < count; start = end) {
        bool sorted = true;
        end = start + 1;
        if (class_of(codes[start]) == 0) continue;
        for (; end < count && class_of(codes[end]) != 0; end++)
            sorted = sorted && class_of(codes[end - 1]) <= class_of(codes[end]);
        if (!sorted) KX_TRY(sort_marks(codes + start, end - start, scratch, err));
    }
out:
    return status;
}

kx_status kx_unicode_nfc(const uint8_t *text, size_t bytes, kx_bytes *codes, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes scratch = {.cap = codes->cap};
    size_t before = codes->size;
    KX_TRY(decompose(text, bytes, codes, err));
    if (codes->size == before) goto out;
    int32_t *fresh = (int32_t *)(void *)(codes->data + before);
    size_t count = (codes->size - before) / sizeof fresh[0];
    KX_TRY(order_marks(fresh, count, &scratch, err));
    utf8proc_ssize_t composed =
        utf8proc_normalize_utf32(fresh, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    KX_FAIL_IF(composed < 0, err, KX_ERR_INTERNAL, "the text cannot be normalised: %s",
               utf8proc_errmsg(composed));
    codes->size = before + (size_t)composed * sizeof fresh[0];
out:
    kx_bytes_free(&scratch);
    return status;
}
