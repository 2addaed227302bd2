/* Values of settings as text, by the kind of their field: "20M", "90s", "7d", "0.03". What is written is read
 * back as the same value. */
#pragma once

#include "cli/cli_options.h"

#include <stdio.h>

kx_cli_reader kx_cli_read_setting; /* by option->kind, least to most in the unit of the field */
kx_cli_reader kx_cli_read_delays;  /* const char *: seconds with commas between, each least to most; "" is none */

/* The value of option->field in *arguments; "" for a text that is NULL. */
void kx_cli_setting_text(const kx_cli_option *option, const kx_cli_arguments *arguments, char *out,
                         size_t room);
/* The default in words: option->fallback, or that of the service. "" when there is none. */
void kx_cli_default_text(const kx_cli_option *option, char *out, size_t room);

/* "-12.345678" dollars -> micro-dollars. Returns false when it is something else or finer than that. */
bool kx_cli_parse_money(const char *text, int64_t *micro);
/* The shortest form: "0.03", "20". */
const char *kx_cli_format_money(int64_t micro, char out[32]);

/* A configuration file with every option of "serve": what was given as it is, the rest as comments. */
void kx_cli_print_config(FILE *stream, const kx_cli_arguments *arguments);
/* The same options as a table in Markdown, for the documents. */
void kx_cli_print_options_table(FILE *stream);
