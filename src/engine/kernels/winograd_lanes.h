/* Winograd's transforms once for all widths of vectors. Include the words of a set (lanes_*.h) first; the
 * functions are static, and winograd*.c give them their names. Contracts: kernels.h.
 *
 * The polynomials are taken at 0, 1, -1, 2, -2, 1/2, -1/2 and infinity (Lavin and Gray 2016; the order of the
 * sums follows Lavin's wincnn). Rows of a pair of points p, -p share their even and their odd part. What
 * stands here in one dimension is applied to columns, then to rows; each channel by itself, so a value does
 * not depend on its place in the row. */
#pragma once

#include "engine/kernels/kernels.h"

enum { POINTS = KX_WINOGRAD_POINTS, OUTPUTS = KX_WINOGRAD_OUTPUTS };

/* d (8) -> v (8, stride s) = B^T d */
static inline __attribute__((always_inline)) void input_line(const lanes d[POINTS], lanes *v, int64_t s)
{
    const lanes minus_17_4 = lanes_set(-4.25f), quarter = lanes_set(0.25f), minus_5_4 = lanes_set(-1.25f);
    const lanes half = lanes_set(0.5f), minus_5_2 = lanes_set(-2.5f), two = lanes_set(2.0f);
    lanes even = lanes_fma(minus_17_4, d[4], lanes_add(d[2], d[6]));
    lanes odd = lanes_fma(minus_17_4, d[3], lanes_add(d[1], d[5]));
    v[0] = lanes_fma(lanes_set(5.25f), lanes_sub(d[4], d[2]), lanes_sub(d[0], d[6]));
    v[1 * s] = lanes_add(even, odd);
    v[2 * s] = lanes_sub(even, odd);
    even = lanes_fma(minus_5_4, d[4], lanes_fma(quarter, d[2], d[6]));
    odd = lanes_fma(minus_5_2, d[3], lanes_fma(half, d[1], lanes_mul(two, d[5])));
    v[3 * s] = lanes_add(even, odd);
    v[4 * s] = lanes_sub(even, odd);
    even = lanes_fma(lanes_set(-5.0f), d[4], lanes_fma(lanes_set(4.0f), d[2], d[6]));
    odd = lanes_fma(minus_5_2, d[3], lanes_fma(two, d[1], lanes_mul(half, d[5])));
    v[5 * s] = lanes_add(even, odd);
    v[6 * s] = lanes_sub(even, odd);
    v[7 * s] = lanes_fma(lanes_set(5.25f), lanes_sub(d[3], d[5]), lanes_sub(d[7], d[1]));
}

/* g (3) -> u (8, stride s) = G g */
static inline __attribute__((always_inline)) void weight_line(const lanes g[3], lanes *u, int64_t s)
{
    lanes outer = lanes_mul(lanes_set(-2.0f / 9.0f), lanes_add(g[0], g[2]));
    lanes inner = lanes_mul(lanes_set(-2.0f / 9.0f), g[1]);
    u[0] = g[0];
    u[1 * s] = lanes_add(outer, inner);
    u[2 * s] = lanes_sub(outer, inner);
    outer = lanes_fma(lanes_set(2.0f / 45.0f), g[2], lanes_mul(lanes_set(1.0f / 90.0f), g[0]));
    inner = lanes_mul(lanes_set(1.0f / 45.0f), g[1]);
    u[3 * s] = lanes_add(outer, inner);
    u[4 * s] = lanes_sub(outer, inner);
    outer = lanes_fma(lanes_set(32.0f / 45.0f), g[0], lanes_mul(lanes_set(8.0f / 45.0f), g[2]));
    inner = lanes_mul(lanes_set(16.0f / 45.0f), g[1]);
    u[5 * s] = lanes_add(outer, inner);
    u[6 * s] = lanes_sub(outer, inner);
    u[7 * s] = g[2];
}

/* m (8) -> y (6, stride s) = A^T m */
static inline __attribute__((always_inline)) void output_line(const lanes m[POINTS], lanes *y, int64_t s)
{
    lanes even1 = lanes_add(m[1], m[2]), odd1 = lanes_sub(m[1], m[2]);
    lanes even2 = lanes_add(m[3], m[4]), odd2 = lanes_sub(m[3], m[4]);
    lanes even3 = lanes_add(m[5], m[6]), odd3 = lanes_sub(m[5], m[6]);
    y[0] = lanes_add(lanes_add(m[0], even1), lanes_add(even2, even3));
    y[1 * s] = lanes_fma(lanes_set(2.0f), odd2, lanes_fma(lanes_set(0.5f), odd3, odd1));
    y[2 * s] = lanes_fma(lanes_set(4.0f), even2, lanes_fma(lanes_set(0.25f), even3, even1));
    y[3 * s] = lanes_fma(lanes_set(8.0f), odd2, lanes_fma(lanes_set(0.125f), odd3, odd1));
    y[4 * s] = lanes_fma(lanes_set(16.0f), even2, lanes_fma(lanes_set(0.0625f), even3, even1));
    y[5 * s] = lanes_fma(lanes_set(32.0f), odd2, lanes_fma(lanes_set(0.03125f), odd3, lanes_add(odd1, m[7])));
}

/* `count` <= LANES channels at p; the other lanes are zeros. */
static inline lanes load_channels(const float *p, int64_t count)
{
    return count == LANES ? lanes_load(p) : lanes_load_some(p, count, 0);
}

static inline void store_channels(float *p, int64_t count, lanes v)
{
    if (count == LANES)
        lanes_store(p, v);
    else
        lanes_store_some(p, count, v);
}

static inline __attribute__((always_inline)) void input_channels(int64_t count, const float *x,
                                                                 int64_t row_stride, int64_t col_stride,
                                                                 float *v, int64_t v_stride)
{
    lanes columns[POINTS * POINTS]; /* [i][j]: transformed along the rows of the picture */
    for (int i = 0; i < POINTS; i++) {
        lanes d[POINTS];
        for (int j = 0; j < POINTS; j++) d[j] = load_channels(x + i * row_stride + j * col_stride, count);
        input_line(d, columns + i * POINTS, 1);
    }
    for (int j = 0; j < POINTS; j++) {
        lanes d[POINTS], line[POINTS];
        for (int i = 0; i < POINTS; i++) d[i] = columns[i * POINTS + j];
        input_line(d, line, 1);
        for (int i = 0; i < POINTS; i++) store_channels(v + (i * POINTS + j) * v_stride, count, line[i]);
    }
}

static void winograd_input(int64_t n, const float *x, int64_t row_stride, int64_t col_stride, float *v,
                           int64_t v_stride)
{
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES) input_channels(LANES, x + c, row_stride, col_stride, v + c, v_stride);
    if (c < n) input_channels(n - c, x + c, row_stride, col_stride, v + c, v_stride);
}

static inline __attribute__((always_inline)) void weight_channels(int64_t count, const float *g, int64_t n,
                                                                  float *u, int64_t u_stride)
{
    lanes columns[3 * POINTS];
    for (int i = 0; i < 3; i++) {
        lanes line[3];
        for (int j = 0; j < 3; j++) line[j] = load_channels(g + (i * 3 + j) * n, count);
        weight_line(line, columns + i * POINTS, 1);
    }
    for (int j = 0; j < POINTS; j++) {
        lanes line[POINTS], column[3] = {columns[j], columns[POINTS + j], columns[2 * POINTS + j]};
        weight_line(column, line, 1);
        for (int i = 0; i < POINTS; i++) store_channels(u + (i * POINTS + j) * u_stride, count, line[i]);
    }
}

static void winograd_weights(int64_t n, const float *g, float *u, int64_t u_stride)
{
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES) weight_channels(LANES, g + c, n, u + c, u_stride);
    if (c < n) weight_channels(n - c, g + c, n, u + c, u_stride);
}

/* Where the outputs of a tile go. */
typedef struct output_place {
    const float *bias; /* (n) or NULL */
    bool add;          /* y += */
    float *y;
    int64_t row_stride, col_stride;
} output_place;

static inline __attribute__((always_inline)) void
output_channels(int64_t count, const float *m, int64_t m_stride, int64_t c, const output_place *place)
{
    lanes columns[OUTPUTS * POINTS]; /* [i][j]: transformed along the columns of the picture */
    lanes bias = place->bias == NULL ? lanes_set(0) : load_channels(place->bias + c, count);
    for (int j = 0; j < POINTS; j++) {
        lanes d[POINTS];
        for (int i = 0; i < POINTS; i++) d[i] = load_channels(m + c + (i * POINTS + j) * m_stride, count);
        output_line(d, columns + j, POINTS);
    }
    for (int i = 0; i < OUTPUTS; i++) {
        lanes line[OUTPUTS];
        output_line(columns + i * POINTS, line, 1);
        for (int j = 0; j < OUTPUTS; j++) {
            float *to = place->y + i * place->row_stride + j * place->col_stride + c;
            lanes value = lanes_add(line[j], bias);
            store_channels(to, count, place->add ? lanes_add(load_channels(to, count), value) : value);
        }
    }
}

static void winograd_output(int64_t n, const float *m, int64_t m_stride, const float *bias, bool add,
                            float *y, int64_t row_stride, int64_t col_stride)
{
    const output_place place = {bias, add, y, row_stride, col_stride};
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES) output_channels(LANES, m, m_stride, c, &place);
    if (c < n) output_channels(n - c, m, m_stride, c, &place);
}
