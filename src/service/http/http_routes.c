#include "service/http/http_routes.h"

#include <stdio.h>
#include <string.h>

/* The segments from `first` on, joined by slashes. */
static const char *join(const kx_target *target, size_t first, kx_arena *arena)
{
    kx_error err = {0};
    void *joined = NULL;
    if (kx_arena_take(arena, strlen(target->path) + 1, &joined, &err) != KX_OK) return NULL;
    char *out = joined;
    for (size_t i = first; i < target->num_segments; i++) {
        size_t bytes = strlen(target->segments[i]);
        if (i > first) *out++ = '/';
        memcpy(out, target->segments[i], bytes);
        out += bytes;
    }
    *out = '\0';
    return joined;
}

static bool keep(kx_route_match *match, const char *pattern, size_t length, const char *value,
                 kx_arena *arena)
{
    kx_error err = {0};
    char *name = NULL;
    if (value == NULL || kx_arena_copy_text(arena, pattern + 1, length, &name, &err) != KX_OK) return false;
    if (match->num_parameters == KX_HTTP_PARAMETERS_MAX) return false;
    match->parameters[match->num_parameters++] = (kx_http_pair){name, value};
    return true;
}

typedef enum fit { FIT_NOT = 0, FIT, FIT_NO_MEMORY } fit;

static fit fits(kx_route_match *match, const char *pattern, const kx_target *target, kx_arena *arena)
{
    match->num_parameters = 0;
    for (size_t at = 0;; at++) {
        if (*pattern == '\0' || (strcmp(pattern, "/") == 0 && at == 0))
            return at == target->num_segments ? FIT : FIT_NOT;
        pattern++;
        size_t length = strcspn(pattern, "/");
        if (at >= target->num_segments) return FIT_NOT;
        const char *segment = target->segments[at];
        bool is_rest = length > 3 && pattern[0] == '{' && pattern[length - 2] == '*';
        if (is_rest) {
            if (*segment == '\0') return FIT_NOT;
            return keep(match, pattern, length - 3, join(target, at, arena), arena) ? FIT : FIT_NO_MEMORY;
        }
        if (pattern[0] == '{') {
            if (*segment == '\0') return FIT_NOT;
            if (!keep(match, pattern, length - 2, segment, arena)) return FIT_NO_MEMORY;
        } else if (strlen(segment) != length || memcmp(segment, pattern, length) != 0) {
            return FIT_NOT;
        }
        pattern += length;
    }
}

static void allow(kx_route_match *match, const char *method)
{
    const char *more = strcmp(method, "GET") == 0 ? "GET, HEAD" : method;
    size_t used = strlen(match->allowed);
    if (strstr(match->allowed, method) != NULL) return;
    snprintf(match->allowed + used, sizeof match->allowed - used, "%s%s", used > 0 ? ", " : "", more);
}

bool kx_routes_match(kx_route_match *match, const kx_route *routes, size_t count, const char *method,
                     const kx_target *target, kx_arena *arena)
{
    *match = (kx_route_match){0};
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < count; i++) {
        /* A pattern that takes all the rest does not take a path which is known for itself. */
        if (match->path_is_known && strstr(routes[i].path, "*}") != NULL) continue;
        fit found = fits(match, routes[i].path, target, arena);
        if (found == FIT_NO_MEMORY) return false;
        if (found == FIT_NOT) continue;
        match->path_is_known = true;
        if (strcmp(routes[i].method, wanted) == 0) {
            match->route = &routes[i];
            return true;
        }
        allow(match, routes[i].method);
    }
    return true;
}
