/* JSON Schemas from the table of parameters. */
#pragma once

#include "service/api/submit_parameters.h"

/* As the catalogue tells it: the vendor's fields in the vendor's strict form, with hints for pages. */
json_t *kx_parameters_catalogue_schema(const kx_api_model *model, const kx_parameter_limits *limits);

/* What is accepted: every field, null, the other spellings of a size, unknown fields. */
json_t *kx_parameters_accepted_schema(const kx_api_model *model, const kx_parameter_limits *limits);
