/* The kernels for 64-bit ARM processors. Every one of them has NEON, with fused multiply-adds and f16
 * conversions; files named after a later extension are compiled with it and must not be entered on a
 * processor without it. Little-endian only, as Linux is. Contracts: kernels.h. */
#pragma once

#include "engine/kernels/kernels.h"

extern const kx_kernels kx_kernels_neon;
/* NEON with the int8 dot product (optional from ARMv8.2 on). */
extern const kx_kernels kx_kernels_dotprod;
/* The matrix instructions for int8 and bf16 (ARMv8.6). */
extern const kx_kernels kx_kernels_i8mm;

void kx_tile_neon(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                  const float *b, bool add, float *c, int64_t c_stride);
void kx_transpose_neon(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                       int64_t y_stride);
void kx_widen_neon(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
void kx_dots_neon(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);
void kx_epilogue_neon(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                      float *y);
void kx_scale_neon(int64_t n, const float *x, float factor, float *y);
void kx_blend_neon(int64_t n, const float *x, float share, float factor, float *y);
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
void kx_hadamard_neon(int64_t n, const float *x, float *y);
void kx_winograd_weights_neon(int64_t n, const float *g, float *u, int64_t u_stride);
void kx_winograd_input_neon(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                            int64_t v_stride);
void kx_winograd_output_neon(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                             float *y, int64_t row_stride, int64_t col_stride);

void kx_tile_i8_neon(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                     const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                     const int32_t *b_sum, bool add, float *c, int64_t c_stride);
void kx_tile_bf16_neon(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                       const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);
void kx_quantise_neon(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale);
void kx_narrow_neon(int64_t n, const float *x, uint16_t *y, int64_t y_plane);

void kx_tile_i8_dotprod(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                        const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                        const int32_t *b_sum, bool add, float *c, int64_t c_stride);

void kx_tile_i8_i8mm(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                     const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                     const int32_t *b_sum, bool add, float *c, int64_t c_stride);
void kx_tile_bf16_i8mm(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                       const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);
