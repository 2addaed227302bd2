/* The kernels for x86-64 processors. Files named *_avx2.c and *_avx512.c are compiled with those instructions
 * and must not be entered on a processor without them; everything else is plain. Contracts: kernels.h. */
#pragma once

#include "engine/kernels/kernels.h"

/* AVX2, FMA, F16C. */
extern const kx_kernels kx_kernels_avx2;
/* AVX-512 F, BW, DQ, VL. */
extern const kx_kernels kx_kernels_avx512;

void kx_tile_avx2(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                  const float *b, bool add, float *c, int64_t c_stride);
void kx_transpose_avx2(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                       int64_t y_stride);
void kx_widen_avx2(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
void kx_dots_avx2(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);
void kx_epilogue_avx2(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                      float *y);
void kx_scale_avx2(int64_t n, const float *x, float factor, float *y);
void kx_affine_avx2(int64_t n, const float *x, const float *scale, const float *shift, bool silu, float *y);
void kx_layer_norm_avx2(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                        const float *add, float *y);
void kx_rms_norm_avx2(int64_t n, const float *x, float eps, const float *weight, float *y);
void kx_head_norm_rope_avx2(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                            const float *sines);
float kx_softmax_avx2(int64_t n, float *s, float *max, float *sum);
void kx_column_sums_avx2(int64_t rows, int64_t n, const float *x, int64_t x_stride, const double *mean,
                         double *sums);
bool kx_all_finite_avx2(int64_t n, const float *x);
void kx_winograd_weights_avx2(int64_t n, const float *g, float *u, int64_t u_stride);
void kx_winograd_input_avx2(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                            int64_t v_stride);
void kx_winograd_output_avx2(int64_t n, const float *m, int64_t m_stride, float *y);

void kx_tile_avx512(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                    const float *b, bool add, float *c, int64_t c_stride);
void kx_transpose_avx512(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                         int64_t y_stride);
void kx_widen_avx512(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
void kx_dots_avx512(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);
void kx_epilogue_avx512(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                        float *y);
void kx_scale_avx512(int64_t n, const float *x, float factor, float *y);
void kx_affine_avx512(int64_t n, const float *x, const float *scale, const float *shift, bool silu, float *y);
void kx_layer_norm_avx512(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                          const float *add, float *y);
void kx_rms_norm_avx512(int64_t n, const float *x, float eps, const float *weight, float *y);
void kx_head_norm_rope_avx512(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                              const float *sines);
float kx_softmax_avx512(int64_t n, float *s, float *max, float *sum);
void kx_column_sums_avx512(int64_t rows, int64_t n, const float *x, int64_t x_stride, const double *mean,
                           double *sums);
bool kx_all_finite_avx512(int64_t n, const float *x);
void kx_winograd_weights_avx512(int64_t n, const float *g, float *u, int64_t u_stride);
void kx_winograd_input_avx512(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                              int64_t v_stride);
void kx_winograd_output_avx512(int64_t n, const float *m, int64_t m_stride, float *y);
