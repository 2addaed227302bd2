/* Words and JSON to the terminal. Results go to standard output, everything else to standard error. */
#pragma once

#include "cli/cli_options.h"

#include <jansson.h>
#include <stdio.h>

/* One line "error: sentence" on standard error; with --json also {"error":{"code","message"}} on standard
 * output. */
void kx_cli_tell_error(const kx_cli_arguments *arguments, const kx_error *err);
/* kx_model_options.warn; user is the const kx_cli_arguments *. */
void kx_cli_tell_warning(void *user, const char *sentence);

/* Prints `object` (its reference is taken over; NULL is "out of memory") and a line break to standard output.
 * Errors: KX_ERR_MEMORY, KX_ERR_OUTPUT. */
kx_status kx_cli_print_json(json_t *object, kx_error *err);
/* Flushes standard output; a full disk or closed pipe is KX_ERR_OUTPUT. */
kx_status kx_cli_flush_stdout(kx_error *err);

/* A JSON string of any bytes: what is not UTF-8 becomes '?'. */
json_t *kx_cli_json_text(const char *text);
/* A seed: a number, or a string above 2^63-1, which JSON readers would round. */
json_t *kx_cli_json_seed(uint64_t seed);
json_t *kx_cli_json_size(kx_size size);

/* "1.50 GiB", "12 KiB". Valid until the buffer goes. */
const char *kx_cli_format_bytes(uint64_t bytes, char out[32]);
/* "59 s", "4 min 10 s", "2 h 5 min". */
const char *kx_cli_format_duration(double seconds, char out[32]);
