/* OpenAPI 3.1, made from the list of routes, the table of parameters and a table of fields. */
#pragma once

#include "service/api/submit_parameters.h"

/* NULL when memory is out. */
json_t *kx_openapi_make(const char *base_url, const kx_parameter_limits *limits);

/* The schemas of bodies and answers by name. */
json_t *kx_openapi_schemas(void);
