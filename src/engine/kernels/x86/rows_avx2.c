/* The row kernels of rows_lanes.h under the names of this set. */
#include "engine/kernels/x86/lanes_avx2.h"
#include "engine/kernels/rows_lanes.h"
#include "engine/kernels/x86/store_past.h"

#include "engine/kernels/portable/portable.h"
#include "engine/kernels/x86/x86.h"

void kx_epilogue_avx2(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                      float *y)
{
    epilogue_row(epilogue, n, r, bias, gate, y);
}

void kx_store_past_avx2(int64_t n, const float *r, const float *bias, float *y)
{
    store_past_row(n, r, bias, y);
}

void kx_scale_avx2(int64_t n, const float *x, float factor, float *y)
{
    scale_row(n, x, factor, y);
}

void kx_blend_avx2(int64_t n, const float *x, float share, float factor, float *y)
{
    blend_row(n, x, share, factor, y);
}

void kx_affine_avx2(int64_t n, const float *x, const float *scale, const float *shift, bool silu, float *y)
{
    affine_row(n, x, scale, shift, silu, y);
}

void kx_layer_norm_avx2(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                        const float *add, float *y)
{
    layer_norm_row(n, x, eps, mul, mul_offset, add, y);
}

void kx_rms_norm_avx2(int64_t n, const float *x, float eps, const float *weight, float *y)
{
    rms_norm_row(n, x, eps, weight, y);
}

void kx_head_norm_rope_avx2(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                            const float *sines)
{
    if (n % LANES == 0)
        head_norm_rope_row(n, x, eps, scale, cosines, sines);
    else
        kx_head_norm_rope_portable(n, x, eps, scale, cosines, sines);
}

float kx_softmax_avx2(int64_t n, float *s, float *max, float *sum)
{
    return softmax_row(n, s, max, sum);
}

void kx_column_sums_avx2(int64_t rows, int64_t n, const float *x, int64_t x_stride, const double *mean,
                         double *sums)
{
    column_sums_rows(rows, n, x, x_stride, mean, sums);
}

bool kx_all_finite_avx2(int64_t n, const float *x)
{
    return all_finite_row(n, x);
}

void kx_hadamard_avx2(int64_t n, const float *x, float *y)
{
    if (n % LANES == 0)
        hadamard_row(n, x, y);
    else
        kx_hadamard_portable(n, x, y);
}
