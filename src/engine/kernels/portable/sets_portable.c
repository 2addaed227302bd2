/* The list of sets where no instruction set has kernels of its own. */
#include "engine/kernels/portable/portable.h"

static bool always(void)
{
    return true;
}

const kx_kernel_set kx_kernel_sets[] = {{&kx_kernels_portable, always, always}};
const size_t kx_kernel_set_count = sizeof kx_kernel_sets / sizeof kx_kernel_sets[0];
