/* The Range and If-None-Match headers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum kx_range_kind {
    KX_RANGE_NONE = 0, /* none, several, or not understood: the whole file is answered */
    KX_RANGE_ONE,
    KX_RANGE_OUTSIDE, /* 416 */
} kx_range_kind;

/* `text` may be NULL. ONE: bytes *first to *last, both counted, lie within the file. */
kx_range_kind kx_range_parse(const char *text, uint64_t file_bytes, uint64_t *first, uint64_t *last);
/* Whether a list such as `"abc", W/"def"` or `*` names the tag (given without quotes). */
bool kx_etag_matches(const char *list, const char *etag);
