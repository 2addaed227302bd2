/* Where the results of an edit go: the names of the files, the check that they can be written (before hours
 * of work, not behind them), and the writing itself. */
#pragma once

#include "base/arena.h"
#include "cli/cli_options.h"

typedef struct kx_cli_outputs {
    kx_arena arena; /* the names */
    char **names;   /* count; "-" is standard output */
    size_t count;
    kx_picture_format format;
    bool to_stdout;
} kx_cli_outputs;

/* Names and format from -o, -n and --format. Opens nothing. Free with kx_cli_outputs_free, also after an
 * error. Errors: KX_ERR_INPUT (unknown suffix), KX_ERR_USAGE (standard output without --format),
 * KX_ERR_MEMORY. */
kx_status kx_cli_outputs_name(kx_cli_outputs *outputs, const kx_cli_arguments *arguments, kx_error *err);
/* Makes and removes a temporary file beside `name`. Errors: KX_ERR_OUTPUT. */
kx_status kx_cli_check_writable(const char *name, kx_error *err);
kx_status kx_cli_outputs_check(const kx_cli_outputs *outputs, kx_error *err);
/* Writes result `index`; options->format is set from `outputs`. Errors: KX_ERR_OUTPUT. */
kx_status kx_cli_outputs_write(const kx_cli_outputs *outputs, size_t index, const kx_picture *picture,
                               const kx_save_options *options, kx_error *err);
void kx_cli_outputs_free(kx_cli_outputs *outputs);
