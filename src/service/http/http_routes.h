/* Which route a request takes. */
#pragma once

#include "service/http/http.h"
#include "service/http/http_target.h"

enum { KX_HTTP_PARAMETERS_MAX = 8 };

typedef struct kx_route_match {
    const kx_route *route; /* NULL: the path, or the method there, is not known */
    bool path_is_known;
    char allowed[64]; /* for Allow: the methods of that path */
    kx_http_pair parameters[KX_HTTP_PARAMETERS_MAX];
    size_t num_parameters;
} kx_route_match;

/* False: memory is out. */
bool kx_routes_match(kx_route_match *match, const kx_route *routes, size_t count, const char *method,
                     const kx_target *target, kx_arena *arena);
