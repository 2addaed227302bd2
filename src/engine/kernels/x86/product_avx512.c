/* Tiles of 8 x 48: 24 of the 32 registers hold sums, three a step's right values, and the left values are
 * broadcast by the multiply itself. A step loads 3 + 8 values for 24 multiply-adds. */
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>

enum { LANES = 16, ROWS = 8, VECTORS = 3 };

static inline __attribute__((always_inline)) void tile_of(int rows, int vectors, int64_t depth,
                                                          const float *a, int64_t a_stride, const float *b,
                                                          bool add, float *c, int64_t c_stride)
{
    __m512 sums[ROWS][VECTORS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < vectors; v++) {
        sums[r][v] = _mm512_setzero_ps();
        __builtin_prefetch(c + r * c_stride + v * LANES, 1); /* needed at the end, and often not in L2 */
    }
    for (int64_t k = 0; k < depth; k++) {
        __m512 right[VECTORS];
        KX_UNROLL
        for (int v = 0; v < vectors; v++) right[v] = _mm512_loadu_ps(b + v * LANES);
        KX_UNROLL
        for (int r = 0; r < rows; r++) {
            __m512 left = _mm512_set1_ps(a[r * a_stride + k]);
            KX_UNROLL
            for (int v = 0; v < vectors; v++) sums[r][v] = _mm512_fmadd_ps(left, right[v], sums[r][v]);
        }
        b += vectors * LANES;
    }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < vectors; v++) {
        float *to = c + r * c_stride + v * LANES;
        _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), sums[r][v]) : sums[r][v]);
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

void kx_tile_avx512(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                    const float *b, bool add, float *c, int64_t c_stride)
{
#define TILE(R) tile_of_rows(R, width, depth, a, a_stride, b, add, c, c_stride)
    KX_EACH_ROWS_8(rows, TILE)
#undef TILE
}

/* Two sums for each row whatever the number of rows, so that a row's result does not depend on the others. */
static inline __attribute__((always_inline)) void dots_of(int rows, int64_t n, const float *w, const float *x,
                                                          int64_t x_stride, float *y)
{
    __m512 sums[KX_DOT_ROWS_MAX][2];
    KX_UNROLL
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        __m512 w0 = _mm512_loadu_ps(w + i), w1 = _mm512_loadu_ps(w + i + LANES);
        KX_UNROLL
        for (int r = 0; r < rows; r++) {
            const float *row = x + r * x_stride + i;
            sums[r][0] = _mm512_fmadd_ps(w0, _mm512_loadu_ps(row), sums[r][0]);
            sums[r][1] = _mm512_fmadd_ps(w1, _mm512_loadu_ps(row + LANES), sums[r][1]);
        }
    }
    for (; i < n; i += LANES) {
        __mmask16 mask = (__mmask16)(n - i >= LANES ? 0xffffu : (1u << (n - i)) - 1u);
        __m512 w0 = _mm512_maskz_loadu_ps(mask, w + i);
        KX_UNROLL
        for (int r = 0; r < rows; r++)
            sums[r][0] = _mm512_fmadd_ps(w0, _mm512_maskz_loadu_ps(mask, x + r * x_stride + i), sums[r][0]);
    }
    KX_UNROLL
    for (int r = 0; r < rows; r++) y[r] += _mm512_reduce_add_ps(_mm512_add_ps(sums[r][0], sums[r][1]));
}

void kx_dots_avx512(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y)
{
#define TILE(R) dots_of(R, n, w, x, x_stride, y)
    KX_EACH_ROWS_8(rows, TILE)
#undef TILE
}
