/* The option tables as text: for the terminal, as a manual page and as a completion for bash. */
#pragma once

#include "cli/cli_options.h"

#include <stdio.h>

void kx_cli_print_help(FILE *stream, const kx_cli_command *command);
void kx_cli_print_manual(FILE *stream);
void kx_cli_print_completion(FILE *stream);

/* What stands between the name and the argument: " ", or "[=" where the value is optional ("]" follows then).
 */
const char *kx_cli_before_argument(const kx_cli_option *option);
/* What follows an option's help: its words, default and environment variable, as sentences. "" when there are
 * none. */
void kx_cli_option_notes(const kx_cli_option *option, char *out, size_t room);
