/* A request's own values, checked before anything is opened or computed. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* Errors: KX_ERR_INPUT with a sentence that names the value; KX_ERR_USAGE for fields that exclude each other.
 * `prompt_needed` is false for a plan. */
kx_status kx_request_check(const kx_edit_request *request, bool prompt_needed, kx_error *err);

/* The request's seed, or one drawn from the system. Errors: KX_ERR_INTERNAL. */
kx_status kx_request_seed(const kx_edit_request *request, uint64_t *seed, kx_error *err);
