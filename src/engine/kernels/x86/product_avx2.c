/* Tiles of 6 x 16: twelve of the sixteen registers hold sums, two a step's right values. */
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>

enum { LANES = 8, ROWS = 6, VECTORS = 2, DOT_ROWS = 4 };

static inline __attribute__((always_inline)) void tile_of(int rows, int vectors, int64_t depth,
                                                          const float *a, int64_t a_stride, const float *b,
                                                          bool add, float *c, int64_t c_stride)
{
    __m256 sums[ROWS][VECTORS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < vectors; v++) sums[r][v] = _mm256_setzero_ps();
    for (int64_t k = 0; k < depth; k++) {
        __m256 right[VECTORS];
        KX_UNROLL
        for (int v = 0; v < vectors; v++) right[v] = _mm256_loadu_ps(b + v * LANES);
        KX_UNROLL
        for (int r = 0; r < rows; r++) {
            __m256 left = _mm256_broadcast_ss(a + r * a_stride + k);
            KX_UNROLL
            for (int v = 0; v < vectors; v++) sums[r][v] = _mm256_fmadd_ps(left, right[v], sums[r][v]);
        }
        b += vectors * LANES;
    }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < vectors; v++) {
        float *to = c + r * c_stride + v * LANES;
        _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), sums[r][v]) : sums[r][v]);
    }
}

static inline __attribute__((always_inline)) void tile_of_rows(int rows, int64_t width, int64_t depth,
                                                               const float *a, int64_t a_stride,
                                                               const float *b, bool add, float *c,
                                                               int64_t c_stride)
{
    if (width == 2 * LANES)
        tile_of(rows, 2, depth, a, a_stride, b, add, c, c_stride);
    else
        tile_of(rows, 1, depth, a, a_stride, b, add, c, c_stride);
}

void kx_tile_avx2(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                  const float *b, bool add, float *c, int64_t c_stride)
{
#define TILE(R) tile_of_rows(R, width, depth, a, a_stride, b, add, c, c_stride)
    KX_EACH_ROWS_6(rows, TILE)
#undef TILE
}

static inline float sum_of(__m256 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Two sums for each row whatever the number of rows, so that a row's result does not depend on the others. */
static inline __attribute__((always_inline)) void dots_of(int rows, int64_t n, const float *w, const float *x,
                                                          int64_t x_stride, float *y)
{
    __m256 sums[DOT_ROWS][2];
    KX_UNROLL
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        __m256 w0 = _mm256_loadu_ps(w + i), w1 = _mm256_loadu_ps(w + i + LANES);
        KX_UNROLL
        for (int r = 0; r < rows; r++) {
            const float *row = x + r * x_stride + i;
            sums[r][0] = _mm256_fmadd_ps(w0, _mm256_loadu_ps(row), sums[r][0]);
            sums[r][1] = _mm256_fmadd_ps(w1, _mm256_loadu_ps(row + LANES), sums[r][1]);
        }
    }
    KX_UNROLL
    for (int r = 0; r < rows; r++) {
        float total = sum_of(_mm256_add_ps(sums[r][0], sums[r][1]));
        for (int64_t k = i; k < n; k++) total += w[k] * x[r * x_stride + k];
        y[r] += total;
    }
}

void kx_dots_avx2(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y)
{
    for (; rows >= DOT_ROWS; rows -= DOT_ROWS, x += DOT_ROWS * x_stride, y += DOT_ROWS)
        dots_of(DOT_ROWS, n, w, x, x_stride, y);
    for (; rows > 0; rows--, x += x_stride, y++) dots_of(1, n, w, x, x_stride, y);
}
