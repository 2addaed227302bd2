/* The transforms of winograd_lanes.h under the names of this set. */
#include "engine/kernels/x86/lanes_avx512.h"

#include "engine/kernels/winograd_lanes.h"
#include "engine/kernels/x86/x86.h"

void kx_winograd_weights_avx512(int64_t n, const float *g, float *u, int64_t u_stride)
{
    winograd_weights(n, g, u, u_stride);
}

void kx_winograd_input_avx512(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                              int64_t v_stride)
{
    winograd_input(n, x, row_stride, col_stride, v, v_stride);
}

void kx_winograd_output_avx512(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                               float *y, int64_t row_stride, int64_t col_stride)
{
    winograd_output(n, m, m_stride, bias, add, y, row_stride, col_stride);
}
