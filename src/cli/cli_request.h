/* From arguments to what the library takes: the model to open, and the part of a request that "edit" and
 * "model plan" have in common. */
#pragma once

#include "cli/cli_options.h"

/* Opens --model, the operand, KONTEXT_MODEL or the demo model, in this order. Warnings go to standard error.
 * Errors: those of kx_model_open; KX_ERR_MODEL when there is no model to open; KX_ERR_USAGE when two are
 * named. */
kx_status kx_cli_open_model(kx_model **model, const kx_cli_arguments *arguments, kx_error *err);

/* Packs the model that the arguments name into the folder of the first operand. */
kx_status kx_cli_convert_model(const kx_cli_arguments *arguments, const kx_callbacks *callbacks,
                               kx_error *err);

/* Fills what both commands have. Errors: KX_ERR_USAGE (--size with --aspect). */
kx_status kx_cli_fill_request(kx_edit_request *request, const kx_cli_arguments *arguments, kx_error *err);
/* The budget of --preset fast, once the number of references is known: together they have no more pixels than
 * that many results. Without --size results are as large as the first reference, so there is nothing to save;
 * and sizes of references that were asked for stay. */
void kx_cli_limit_references(kx_edit_request *request, const kx_cli_arguments *arguments);
