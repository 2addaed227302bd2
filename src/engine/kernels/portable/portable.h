/* The definition of every kernel, in plain C. Sets for an instruction set use these where they have none of
 * their own. Their contracts stand in kernels.h. */
#pragma once

#include "engine/kernels/kernels.h"

extern const kx_kernels kx_kernels_portable;

void kx_tile_portable(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                      const float *b, bool add, float *c, int64_t c_stride);
void kx_transpose_portable(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                           int64_t y_stride);
void kx_widen_portable(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
void kx_dots_portable(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);

void kx_epilogue_portable(kx_epilogue epilogue, int64_t n, const float *r, const float *bias,
                          const float *gate, float *y);
void kx_scale_portable(int64_t n, const float *x, float factor, float *y);
void kx_blend_portable(int64_t n, const float *x, float share, float factor, float *y);
void kx_affine_portable(int64_t n, const float *x, const float *scale, const float *shift, bool silu,
                        float *y);
void kx_layer_norm_portable(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                            const float *add, float *y);
void kx_rms_norm_portable(int64_t n, const float *x, float eps, const float *weight, float *y);
void kx_head_norm_rope_portable(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                                const float *sines);
float kx_softmax_portable(int64_t n, float *s, float *max, float *sum);
void kx_column_sums_portable(int64_t rows, int64_t n, const float *x, int64_t x_stride, const double *mean,
                             double *sums);
bool kx_all_finite_portable(int64_t n, const float *x);
void kx_hadamard_portable(int64_t n, const float *x, float *y);
void kx_winograd_weights_portable(int64_t n, const float *g, float *u, int64_t u_stride);
void kx_winograd_input_portable(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                                int64_t v_stride);
void kx_winograd_output_portable(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                                 float *y, int64_t row_stride, int64_t col_stride);

void kx_tile_i8_portable(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                         const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                         const int32_t *b_sum, bool add, float *c, int64_t c_stride);
void kx_tile_bf16_portable(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                           const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);
void kx_quantise_portable(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale);
void kx_narrow_portable(int64_t n, const float *x, uint16_t *y, int64_t y_plane);
void kx_affine_bf16_portable(int64_t n, const float *x, const float *scale, const float *shift, bool silu,
                             uint16_t *y, uint16_t *rest, int64_t y_plane);
void kx_store_pixels_portable(const kx_store_pixels *call);
void kx_soften_portable(int64_t rows, int64_t n, const float *s, int64_t s_stride,
                        const kx_soften_rows *state, uint16_t *p, int64_t p_plane);
void kx_soften_i8_portable(int64_t rows, int64_t n, const float *s, int64_t s_stride,
                           const kx_soften_rows *state, uint8_t *p, int64_t p_plane);
