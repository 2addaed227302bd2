/* A kernel set whose packed products and attention are those of the set amx (x86/packed_tiles.h,
 * x86/attend_tiles.h), compiled over tiles in plain C, and everything else portable: so their layouts are
 * tested on every machine. */
#pragma once

#include "engine/kernels/kernels.h"

const kx_kernels *test_amx_emulated(void);
