/* Peak loops of 64-bit ARM. */
#include "engine/kernels/bench.h"

#include <arm_neon.h>

enum { SUMS = 16 };

static double run_f32_neon(int64_t iterations)
{
    float32x4_t sums[SUMS], a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
    for (int n = 0; n < SUMS; n++) sums[n] = vdupq_n_f32((float)n); /* equal ones are computed once */
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n) sums[n] = vfmaq_f32(sums[n], a, b);
        STEP(0)
        STEP(1)
        STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11) STEP(12) STEP(13)
            STEP(14) STEP(15)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = vaddq_f32(sums[0], sums[n]);
    return (double)vgetq_lane_f32(sums[0], 0);
}

const kx_peak_loop kx_peak_loops[] = {
    {KX_PRECISION_F32, "portable", "fmla, 128 bits", run_f32_neon, SUMS * 2 * 4},
};
const size_t kx_peak_loop_count = 1;
