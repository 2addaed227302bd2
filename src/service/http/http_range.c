#include "service/http/http_range.h"

#include <string.h>
#include <strings.h>

/* Digits, held at the largest number when there are too many; *text moves behind them. */
static bool read_number(const char **text, uint64_t *number)
{
    const char *begin = *text;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    return *text != begin;
}

kx_range_kind kx_range_parse(const char *text, uint64_t file_bytes, uint64_t *first, uint64_t *last)
{
    if (text == NULL || strncasecmp(text, "bytes=", 6) != 0) return KX_RANGE_NONE;
    text += 6;
    bool has_first = read_number(&text, first);
    if (*text++ != '-') return KX_RANGE_NONE;
    bool has_last = read_number(&text, last);
    if (*text != '\0' || (!has_first && !has_last)) return KX_RANGE_NONE;
    if (has_first && has_last && *last < *first) return KX_RANGE_NONE;
    if (!has_first) {
        if (*last == 0 || file_bytes == 0) return KX_RANGE_OUTSIDE;
        *first = *last > file_bytes ? 0 : file_bytes - *last;
        *last = file_bytes - 1;
        return KX_RANGE_ONE;
    }
    if (*first >= file_bytes) return KX_RANGE_OUTSIDE;
    if (!has_last || *last >= file_bytes) *last = file_bytes - 1;
    return KX_RANGE_ONE;
}

bool kx_etag_matches(const char *list, const char *etag)
{
    size_t length = strlen(etag);
    while (list != NULL && *list != '\0') {
        list += strspn(list, " \t,");
        if (*list == '*') return true;
        if (strncmp(list, "W/", 2) == 0) list += 2;
        if (*list != '"') return false;
        const char *end = strchr(list + 1, '"');
        if (end == NULL) return false;
        if ((size_t)(end - list) - 1 == length && memcmp(list + 1, etag, length) == 0) return true;
        list = end + 1;
    }
    return false;
}
