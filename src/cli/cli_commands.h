/* What main.c calls: one function for each command. Each returns KX_OK, or an error with its sentence in
 * `err`; an error without a sentence has been told already (a plan that does not fit prints the whole plan).
 */
#pragma once

#include "cli/cli_options.h"

kx_status kx_cli_run_edit(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_model_info(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_model_verify(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_model_plan(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_model_convert(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_model_synth(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_bench(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_serve(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_key_create(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_key_list(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_key_revoke(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_key_rotate(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_key_credit(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_key_limits(const kx_cli_arguments *arguments, kx_error *err);
kx_status kx_cli_run_help(const kx_cli_arguments *arguments, kx_error *err);
