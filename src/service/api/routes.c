#include "service/api/routes.h"

#include "service/api/api.h"
#include "service/api/handlers.h"

#define KX_ROUTE_ROW(method, path, access, body, is_quick, handler, summary, schema, answer, query)          \
    {method, path, access, body, is_quick, handler},
#define KX_ROUTE_TEXT(method, path, access, body, is_quick, handler, summary, schema, answer, query)         \
    {summary, schema, answer, query},

static const kx_route routes[] = {KX_ROUTE_LIST(KX_ROUTE_ROW)};
static const kx_route_text texts[] = {KX_ROUTE_LIST(KX_ROUTE_TEXT)};

const kx_route *kx_api_routes(size_t *count)
{
    *count = sizeof routes / sizeof routes[0];
    return routes;
}

const kx_route_text *kx_api_route_texts(size_t *count)
{
    *count = sizeof texts / sizeof texts[0];
    return texts;
}
