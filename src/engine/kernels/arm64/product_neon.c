/* Tiles of 6 x 12: 18 of the 32 registers hold sums. The left values come four steps at a time, one register
 * for each row, and the multiply-add picks its lane; so four steps load 6 + 12 registers for 72
 * multiply-adds.
 */
#include "engine/kernels/arm64/arm64.h"
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"

#include <arm_neon.h>

enum { LANES = 4, ROWS = 6, VECTORS = 3, STEPS = 4, DOT_ROWS = 4, DOT_SUMS = 4 };

static inline __attribute__((always_inline)) void tile_of(int rows, int vectors, int64_t depth,
                                                          const float *a, int64_t a_stride, const float *b,
                                                          bool add, float *c, int64_t c_stride)
{
    float32x4_t sums[ROWS][VECTORS], right[VECTORS], left[ROWS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < vectors; v++) sums[r][v] = vdupq_n_f32(0);
    int64_t k = 0;
    for (; k + STEPS <= depth; k += STEPS) {
        KX_UNROLL
        for (int r = 0; r < rows; r++) left[r] = vld1q_f32(a + r * a_stride + k);
        KX_UNROLL
        for (int step = 0; step < STEPS; step++) {
            KX_UNROLL
            for (int v = 0; v < vectors; v++) right[v] = vld1q_f32(b + v * LANES);
            KX_UNROLL
            for (int r = 0; r < rows; r++) KX_UNROLL
            for (int v = 0; v < vectors; v++) sums[r][v] = vfmaq_n_f32(sums[r][v], right[v], left[r][step]);
            b += vectors * LANES;
        }
    }
    for (; k < depth; k++) {
        KX_UNROLL
        for (int v = 0; v < vectors; v++) right[v] = vld1q_f32(b + v * LANES);
        KX_UNROLL
        for (int r = 0; r < rows; r++) KX_UNROLL
        for (int v = 0; v < vectors; v++) sums[r][v] = vfmaq_n_f32(sums[r][v], right[v], a[r * a_stride + k]);
        b += vectors * LANES;
    }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < vectors; v++) {
        float *to = c + r * c_stride + v * LANES;
        vst1q_f32(to, add ? vaddq_f32(vld1q_f32(to), sums[r][v]) : sums[r][v]);
    }
}

static inline __attribute__((always_inline)) void tile_of_rows(int rows, int64_t width, int64_t depth,
                                                               const float *a, int64_t a_stride,
                                                               const float *b, bool add, float *c,
                                                               int64_t c_stride)
{
    if (width == 3 * LANES)
        tile_of(rows, 3, depth, a, a_stride, b, add, c, c_stride);
    else if (width == 2 * LANES)
        tile_of(rows, 2, depth, a, a_stride, b, add, c, c_stride);
    else
        tile_of(rows, 1, depth, a, a_stride, b, add, c, c_stride);
}

void kx_tile_neon(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                  const float *b, bool add, float *c, int64_t c_stride)
{
#define TILE(R) tile_of_rows(R, width, depth, a, a_stride, b, add, c, c_stride)
    KX_EACH_ROWS_6(rows, TILE)
#undef TILE
}

/* Four sums for each row whatever the number of rows, so that a row's result does not depend on the others.
 */
static inline __attribute__((always_inline)) void dots_of(int rows, int64_t n, const float *w, const float *x,
                                                          int64_t x_stride, float *y)
{
    float32x4_t sums[DOT_ROWS][DOT_SUMS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int s = 0; s < DOT_SUMS; s++) sums[r][s] = vdupq_n_f32(0);
    int64_t i = 0;
    for (; i + DOT_SUMS * LANES <= n; i += DOT_SUMS * LANES) {
        KX_UNROLL
        for (int s = 0; s < DOT_SUMS; s++) {
            float32x4_t weights = vld1q_f32(w + i + s * LANES);
            KX_UNROLL
            for (int r = 0; r < rows; r++)
                sums[r][s] = vfmaq_f32(sums[r][s], weights, vld1q_f32(x + r * x_stride + i + s * LANES));
        }
    }
    KX_UNROLL
    for (int r = 0; r < rows; r++) {
        float total =
            vaddvq_f32(vaddq_f32(vaddq_f32(sums[r][0], sums[r][1]), vaddq_f32(sums[r][2], sums[r][3])));
        for (int64_t k = i; k < n; k++) total += w[k] * x[r * x_stride + k];
        y[r] += total;
    }
}

void kx_dots_neon(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y)
{
    for (; rows >= DOT_ROWS; rows -= DOT_ROWS, x += DOT_ROWS * x_stride, y += DOT_ROWS)
        dots_of(DOT_ROWS, n, w, x, x_stride, y);
    for (; rows > 0; rows--, x += x_stride, y++) dots_of(1, n, w, x, x_stride, y);
}
