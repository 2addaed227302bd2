/* The kernels for 64-bit ARM processors. Every one of them has NEON, with fused multiply-adds and f16
 * conversions; files named after a later extension are compiled with it and must not be entered on a
 * processor without it. Little-endian only, as Linux is. Contracts: kernels.h. */
#pragma once

#include "engine/kernels/kernels.h"

extern const kx_kernels kx_kernels_neon;

void kx_tile_neon(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                  const float *b, bool add, float *c, int64_t c_stride);
void kx_transpose_neon(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                       int64_t y_stride);
void kx_widen_neon(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
void kx_dots_neon(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);
void kx_epilogue_neon(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                      float *y);
void kx_scale_neon(int64_t n, const float *x, float factor, float *y);
void kx_affine_neon(int64_t n, const float *x, const float *scale, const float *shift, bool silu, float *y);
void kx_layer_norm_neon(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                        const float *add, float *y);
void kx_rms_norm_neon(int64_t n, const float *x, float eps, const float *weight, float *y);
void kx_head_norm_rope_neon(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                            const float *sines);
float kx_softmax_neon(int64_t n, float *s, float *max, float *sum);
void kx_column_sums_neon(int64_t rows, int64_t n, const float *x, int64_t x_stride, const double *mean,
                         double *sums);
bool kx_all_finite_neon(int64_t n, const float *x);
void kx_winograd_weights_neon(int64_t n, const float *g, float *u, int64_t u_stride);
void kx_winograd_input_neon(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                            int64_t v_stride);
void kx_winograd_output_neon(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                             float *y, int64_t row_stride, int64_t col_stride);
