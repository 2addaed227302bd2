/* The profile of an edit, as a table and as JSON. */
#pragma once

#include "cli/cli_report.h"

/* A table on `stream`: operations, longest first, those of less than a thousandth together; then the time of
 * each stage that is in no operation, and the total. write_seconds: what writing the results took. */
void kx_cli_print_profile(FILE *stream, const kx_result *result, double write_seconds);
/* [{"stage","operation","calls","seconds","share","gflops","gb_per_s"}, ...]. All rows; the time that is in
 * no operation is a row of its stage whose operation is null, so the seconds add up to the edit's. NULL: out
 * of memory. */
json_t *kx_cli_json_profile(const kx_result *result, double write_seconds);
