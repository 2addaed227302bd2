/* Draws a picture in the terminal: with the graphics protocol of kitty or of iTerm where the environment says
 * that the terminal has one, else with half blocks in 24-bit colour. */
#pragma once

#include "cli/cli_options.h"

/* Errors: KX_ERR_OUTPUT, KX_ERR_MEMORY. */
kx_status kx_cli_show_picture(const kx_picture *picture, kx_error *err);
