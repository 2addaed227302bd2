/* Register tiles of 4 x 8: eight SSE2 registers of sums. Shapes of the inner loops are constants, so that any
 * compiler can unroll and vectorise them. */
#include "engine/kernels/portable/portable.h"

#include <string.h>

enum { ROWS = 4, COLS = 8, DOT_LANES = 16 };

static void store_row(const float *sums, bool add, float *c)
{
    for (int j = 0; j < COLS; j++) c[j] = add ? c[j] + sums[j] : sums[j];
}

static void tile_4x8(int64_t depth, const float *a, int64_t a_stride, const float *b, int64_t width, bool add,
                     float *c, int64_t c_stride)
{
    float s0[COLS] = {0}, s1[COLS] = {0}, s2[COLS] = {0}, s3[COLS] = {0};
    const float *a1 = a + a_stride, *a2 = a1 + a_stride, *a3 = a2 + a_stride;
    for (int64_t k = 0; k < depth; k++, b += width) {
        for (int j = 0; j < COLS; j++) s0[j] += a[k] * b[j];
        for (int j = 0; j < COLS; j++) s1[j] += a1[k] * b[j];
        for (int j = 0; j < COLS; j++) s2[j] += a2[k] * b[j];
        for (int j = 0; j < COLS; j++) s3[j] += a3[k] * b[j];
    }
    store_row(s0, add, c);
    store_row(s1, add, c + c_stride);
    store_row(s2, add, c + 2 * c_stride);
    store_row(s3, add, c + 3 * c_stride);
}

static void tile_1x8(int64_t depth, const float *a, const float *b, int64_t width, bool add, float *c)
{
    float s[COLS] = {0};
    for (int64_t k = 0; k < depth; k++, b += width)
        for (int j = 0; j < COLS; j++) s[j] += a[k] * b[j];
    store_row(s, add, c);
}

void kx_tile_portable(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                      const float *b, bool add, float *c, int64_t c_stride)
{
    for (int64_t j = 0; j < width; j += COLS) {
        int64_t r = 0;
        for (; r + ROWS <= rows; r += ROWS)
            tile_4x8(depth, a + r * a_stride, a_stride, b + j, width, add, c + r * c_stride + j, c_stride);
        for (; r < rows; r++) tile_1x8(depth, a + r * a_stride, b + j, width, add, c + r * c_stride + j);
    }
}

void kx_transpose_portable(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                           int64_t y_stride)
{
    for (int64_t k = 0; k < depth; k++) {
        for (int64_t r = 0; r < rows; r++) y[k * y_stride + r] = x[r * x_stride + k];
        for (int64_t r = rows; r < COLS; r++) y[k * y_stride + r] = 0;
    }
}

void kx_widen_portable(kx_dtype dtype, const void *x, int64_t count, float scale, float *y)
{
    if (dtype == KX_F32) {
        memcpy(y, x, (size_t)count * sizeof(float));
        if (scale != 1.0f)
            for (int64_t i = 0; i < count; i++) y[i] *= scale;
        return;
    }
    for (int64_t i = 0; i < count; i++) y[i] = scale * kx_dtype_get(dtype, x, (size_t)i);
}

void kx_dots_portable(int64_t rows, int64_t n, const float *w, const float *x, int64_t x_stride, float *y)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * x_stride;
        float sums[DOT_LANES] = {0};
        int64_t i = 0;
        for (; i + DOT_LANES <= n; i += DOT_LANES)
            for (int j = 0; j < DOT_LANES; j++) sums[j] += w[i + j] * row[i + j];
        float total = 0;
        for (int j = 0; j < DOT_LANES; j++) total += sums[j];
        for (; i < n; i++) total += w[i] * row[i];
        y[r] += total;
    }
}
