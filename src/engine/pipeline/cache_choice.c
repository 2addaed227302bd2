/* The step cache as a word: "first-block=0.08". One reader for the command line, the service and other
 * callers. */
#include "base/error.h"
#include "base/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [KX_CACHE_OFF] = "off",
    [KX_CACHE_FIRST_BLOCK] = "first-block",
    [KX_CACHE_TEACACHE] = "teacache",
};
enum { KINDS = sizeof names / sizeof names[0] };

const char *kx_cache_name(kx_cache_kind kind)
{
    return (unsigned)kind < KINDS ? names[kind] : "unknown";
}

/* A plain decimal number; strtod alone would also take "nan", "inf", hexadecimal and leading spaces. */
static bool read_threshold(const char *text, double *value)
{
    char *end;
    if (text[0] == '\0' || strspn(text, "0123456789.eE+-") < strlen(text)) return false;
    *value = strtod(text, &end);
    return *end == '\0' && *value >= 0 && *value <= KX_LIMIT_CACHE_MAX;
}

kx_status kx_cache_parse(const char *text, kx_cache_kind *kind, double *threshold, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0};
    kx_error *err = caller_err != NULL ? caller_err : &own_err;
    size_t length = strcspn(text, "=");
    int found = -1;
    *threshold = -1;
    for (int i = 0; i < KINDS; i++)
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) found = i;
    KX_FAIL_IF(found < 0, err, KX_ERR_INPUT,
               "'%s' is unknown, expected is one of: off, first-block, teacache, with or without =THRESHOLD",
               text);
    KX_FAIL_IF(found == KX_CACHE_OFF && text[length] == '=', err, KX_ERR_INPUT,
               "'%s' is found, but a cache that is off has no threshold", text);
    KX_FAIL_IF(text[length] == '=' && !read_threshold(text + length + 1, threshold), err, KX_ERR_INPUT,
               "'%s' is found, a threshold from 0 to %g is expected", text, KX_LIMIT_CACHE_MAX);
    *kind = (kx_cache_kind)found;
out:
    return status;
}
