/* Register tiles of 4 x 8. Groups of four floats are a type of the compiler (a GNU extension that gcc and
 * clang have on every processor: one register of SSE2 or NEON, four scalars elsewhere), because loops over
 * arrays of sums were vectorised along the wrong axis, at a quarter of the speed. */
#include "engine/kernels/portable/portable.h"

#include <string.h>

enum { ROWS = 4, COLS = 8, DOT_LANES = 16 };

typedef float four __attribute__((vector_size(16)));

static inline four load_four(const float *p)
{
    four v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store_four(four sum, bool add, float *c)
{
    if (add) sum = load_four(c) + sum;
    memcpy(c, &sum, sizeof sum);
}

static void tile_4x8(int64_t depth, const float *a0, int64_t a_stride, const float *b, int64_t width,
                     bool add, float *c, int64_t c_stride)
{
    four s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0}, s20 = {0}, s21 = {0}, s30 = {0}, s31 = {0};
    const float *a1 = a0 + a_stride, *a2 = a1 + a_stride, *a3 = a2 + a_stride;
    for (int64_t k = 0; k < depth; k++, b += width) {
        four b0 = load_four(b), b1 = load_four(b + 4);
        s00 += a0[k] * b0;
        s01 += a0[k] * b1;
        s10 += a1[k] * b0;
        s11 += a1[k] * b1;
        s20 += a2[k] * b0;
        s21 += a2[k] * b1;
        s30 += a3[k] * b0;
        s31 += a3[k] * b1;
    }
    store_four(s00, add, c);
    store_four(s01, add, c + 4);
    store_four(s10, add, c + c_stride);
    store_four(s11, add, c + c_stride + 4);
    store_four(s20, add, c + 2 * c_stride);
    store_four(s21, add, c + 2 * c_stride + 4);
    store_four(s30, add, c + 3 * c_stride);
    store_four(s31, add, c + 3 * c_stride + 4);
}

static void tile_1x8(int64_t depth, const float *a, const float *b, int64_t width, bool add, float *c)
{
    four s0 = {0}, s1 = {0};
    for (int64_t k = 0; k < depth; k++, b += width) {
        s0 += a[k] * load_four(b);
        s1 += a[k] * load_four(b + 4);
    }
    store_four(s0, add, c);
    store_four(s1, add, c + 4);
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
