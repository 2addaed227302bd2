/* Weights that are read in place may have to come from the disk. Whoever knows what comes next says so, and
 * the system reads while something else is computed.
 *
 *     kx_expect_linear(ops, &next->up);      // while the block before it runs
 */
#pragma once

#include "engine/tensor/ops.h"

/* The matrix will be used soon. Costs a few system calls when it is in memory. Nothing is done while the ops
 * are idle. */
void kx_expect_linear(kx_ops *ops, const kx_linear *linear);
