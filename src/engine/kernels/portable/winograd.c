/* The transforms of winograd_lanes.h under the names of this set. */
#include "engine/kernels/portable/lanes_portable.h"

#include "engine/kernels/portable/portable.h"
#include "engine/kernels/winograd_lanes.h"

void kx_winograd_weights_portable(int64_t n, const float *g, float *u, int64_t u_stride)
{
    winograd_weights(n, g, u, u_stride);
}

void kx_winograd_input_portable(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                                int64_t v_stride)
{
    winograd_input(n, x, row_stride, col_stride, v, v_stride);
}

void kx_winograd_output_portable(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                                 float *y, int64_t row_stride, int64_t col_stride)
{
    winograd_output(n, m, m_stride, bias, add, y, row_stride, col_stride);
}
