/* The peak loop of a processor that has no set of its own. */
#include "engine/kernels/bench.h"

enum { SUMS = 16 };

static double run_f32(int64_t iterations)
{
    float sums[SUMS];
    for (int n = 0; n < SUMS; n++) sums[n] = (float)n; /* equal ones are computed once */
    for (int64_t i = 0; i < iterations; i++)
        for (int n = 0; n < SUMS; n++) sums[n] = sums[n] * 0.999f + 1e-3f;
    for (int n = 1; n < SUMS; n++) sums[0] += sums[n];
    return (double)sums[0];
}

const kx_peak_loop kx_peak_loops[] = {
    {KX_PRECISION_F32, "portable", "plain C", run_f32, SUMS * 2},
};
const size_t kx_peak_loop_count = 1;
