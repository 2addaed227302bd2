/* "Did you mean": the nearest name among options and commands. */
#pragma once

#include "cli/cli_options.h"

/* The option of one of `commands` whose name is nearest to `name`, NULL when none is near. `sources` as
 * kx_cli_option.sources: only options that can stand there; 0: all. */
const char *kx_cli_nearest_option(unsigned commands, unsigned sources, const char *name);
const char *kx_cli_nearest_command(const char *name);
