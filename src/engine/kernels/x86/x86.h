/* The kernels for x86-64 processors. Files named *_avx2.c, *_avx512.c and so on are compiled with those
 * instructions and must not be entered on a processor without them; everything else is plain. Contracts:
 * kernels.h. */
#pragma once

#include "engine/kernels/kernels.h"

/* AVX2, FMA, F16C. */
extern const kx_kernels kx_kernels_avx2;
/* The same with AVX-VNNI: int8 products. */
extern const kx_kernels kx_kernels_avxvnni;
/* AVX-512 F, BW, DQ, VL. */
extern const kx_kernels kx_kernels_avx512;
/* The same with AVX512_VNNI: int8 products. */
extern const kx_kernels kx_kernels_avx512vnni;
/* The same with AVX512_BF16: bf16 products. Its dot product is twice as fast as f32 on AMD Zen 4 and later,
 * and slower than f32 on Intel's; so it is chosen by itself on AMD's alone. */
extern const kx_kernels kx_kernels_avx512bf16;
/* The same with AMX-TILE, AMX-INT8 and AMX-BF16: both products. */
extern const kx_kernels kx_kernels_amx;

void kx_tile_avx2(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                  const float *b, bool add, float *c, int64_t c_stride);
void kx_transpose_avx2(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                       int64_t y_stride);
void kx_widen_avx2(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
void kx_dots_avx2(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);
void kx_epilogue_avx2(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                      float *y);
void kx_store_past_avx2(int64_t n, const float *r, const float *bias, float *y);
void kx_scale_avx2(int64_t n, const float *x, float factor, float *y);
void kx_blend_avx2(int64_t n, const float *x, float share, float factor, float *y);
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
void kx_hadamard_avx2(int64_t n, const float *x, float *y);
void kx_winograd_weights_avx2(int64_t n, const float *g, float *u, int64_t u_stride);
void kx_winograd_input_avx2(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                            int64_t v_stride);
void kx_winograd_output_avx2(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                             float *y, int64_t row_stride, int64_t col_stride);

void kx_tile_avx512(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                    const float *b, bool add, float *c, int64_t c_stride);
void kx_transpose_avx512(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                         int64_t y_stride);
void kx_widen_avx512(kx_dtype dtype, const void *x, int64_t count, float scale, float *y);
void kx_dots_avx512(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y);
void kx_epilogue_avx512(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate,
                        float *y);
void kx_store_past_avx512(int64_t n, const float *r, const float *bias, float *y);
void kx_scale_avx512(int64_t n, const float *x, float factor, float *y);
void kx_blend_avx512(int64_t n, const float *x, float share, float factor, float *y);
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
void kx_hadamard_avx512(int64_t n, const float *x, float *y);
void kx_winograd_weights_avx512(int64_t n, const float *g, float *u, int64_t u_stride);
void kx_winograd_input_avx512(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                              int64_t v_stride);
void kx_winograd_output_avx512(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                               float *y, int64_t row_stride, int64_t col_stride);

void kx_tile_i8_avx2(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                     const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                     const int32_t *b_sum, bool add, float *c, int64_t c_stride);
void kx_tile_bf16_avx2(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                       const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);
void kx_quantise_avx2(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale);
void kx_narrow_avx2(int64_t n, const float *x, uint16_t *y, int64_t y_plane);
void kx_soften_avx2(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                    uint16_t *p, int64_t p_plane);
void kx_soften_i8_avx2(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                       uint8_t *p, int64_t p_plane);

void kx_tile_i8_avx512(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                       const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                       const int32_t *b_sum, bool add, float *c, int64_t c_stride);
void kx_tile_bf16_avx512(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                         const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);
void kx_quantise_avx512(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale);
void kx_narrow_avx512(int64_t n, const float *x, uint16_t *y, int64_t y_plane);
void kx_soften_avx512(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                      uint16_t *p, int64_t p_plane);
void kx_soften_i8_avx512(int64_t rows, int64_t n, const float *s, int64_t s_stride,
                         const kx_soften_rows *state, uint8_t *p, int64_t p_plane);

void kx_tile_i8_avxvnni(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                        const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                        const int32_t *b_sum, bool add, float *c, int64_t c_stride);

void kx_tile_i8_avx512vnni(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                           const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                           const int32_t *b_sum, bool add, float *c, int64_t c_stride);

void kx_tile_bf16_avx512bf16(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                             const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);

void kx_enter_tiles_amx(void);
void kx_leave_tiles_amx(void);
void kx_tile_i8_amx(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                    const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                    const int32_t *b_sum, bool add, float *c, int64_t c_stride);
void kx_tile_bf16_amx(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                      const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride);
void kx_attend_amx(const kx_attend *call);
void kx_sum_bf16_amx(int64_t rows, int64_t blocks, const kx_tile_terms *terms, bool add, float *c,
                     int64_t c_stride);
void kx_affine_bf16_amx(int64_t n, const float *x, const float *scale, const float *shift, bool silu,
                        uint16_t *y, uint16_t *rest, int64_t y_plane);
void kx_store_pixels_amx(const kx_store_pixels *call);
