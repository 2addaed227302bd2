/* The configuration file of the service:
 *
 *     # a comment
 *     [HTTP]                          a heading, for people
 *     max-body = 64M                  # names as on the command line; _ is as good as -
 *     listen = "[::1]:8080"           quotes keep blanks, # and nothing: \" \\ \n \t within "", nothing
 * within ''
 *
 * A name that is unknown, that cannot stand in the file or that stands twice is an error with the number of
 * its line. What the command line or the environment gave wins over the file.
 */
#pragma once

#include "cli/cli_options.h"

#include <stdio.h>

/* Takes over what the text gives for the options of arguments->command that were not given yet; all lines are
 * checked, also those for other commands. `path` is for sentences. Errors: KX_ERR_USAGE (a line that is no
 * setting, an unknown name), KX_ERR_INPUT (a value), KX_ERR_MEMORY. */
kx_status kx_cli_config_apply(kx_cli_arguments *arguments, const char *text, size_t bytes, const char *path,
                              kx_error *err);
/* The same from --config, KONTEXT_CONFIG, or kontext.ini in the data folder, where it exists. The data folder
 * is known afterwards: settings.data has its default where nothing was given. Errors also: KX_ERR_INPUT when
 * the file cannot be read. */
kx_status kx_cli_config_load(kx_cli_arguments *arguments, kx_error *err);

/* "text" with what it needs of backslashes. */
void kx_cli_config_write_quoted(FILE *stream, const char *text);
