/* The address of a request: its path, percent-decoded segment by segment, and its query. */
#pragma once

#include "base/arena.h"
#include "service/http/http_head.h"

#define KX_HTTP_SEGMENTS_MAX 32
#define KX_HTTP_QUERIES_MAX  64

typedef struct kx_http_pair {
    const char *name, *value;
} kx_http_pair;

typedef struct kx_target {
    const char *path;      /* decoded, from the first "/" */
    const char *authority; /* of "http://authority/path"; NULL */
    const char *segments[KX_HTTP_SEGMENTS_MAX];
    size_t num_segments; /* "/" has none; "/a/" has "a" and "" */
    kx_http_pair queries[KX_HTTP_QUERIES_MAX];
    size_t num_queries;
    const char *query; /* all of it, as it came; "" when there is none */
} kx_target;

/* Refused: wrong escapes, encoded slashes, control bytes and text that is not UTF-8, "." and ".." segments.
 */
bool kx_target_parse(kx_target *target, const char *text, kx_arena *arena, kx_refusal *refusal);
/* Decodes percent escapes (and "+" when `is_query`) in place. */
bool kx_target_decode(char *text, bool is_query);
