/* The softmax of packed attention for all widths of vectors. Include lanes_SET.h first, and define
 *
 *     lanes_store_bf16(to, low, high)    2 LANES values, none negative, as bf16
 *     lanes_store_weights(to, v)         4 LANES whole values v[4] of 0 to 254, 1 added, as bytes
 *
 * Contract: kernels.h. Exponentials are rounded to 8 bits anyway, so e^s = 2^(s / ln 2) by a
 * polynomial of degree 3 is enough: its relative error is at most 7.5e-5, a fiftieth of what the rounding
 * may do. */
#pragma once

#include "engine/kernels/kernels.h"

#include <math.h>

/* 2^x for x <= 0; 0 from -150 down, a NaN stays one. */
static inline __attribute__((always_inline)) lanes power_of_two(lanes x)
{
    x = lanes_max(lanes_set(-160.0f), x);
    lanes n = lanes_round(x), r = lanes_sub(x, n);
    lanes p = lanes_fma(lanes_set(5.5171700e-2f), r, lanes_set(2.4261120e-1f));
    p = lanes_fma(p, r, lanes_set(6.9326098e-1f));
    p = lanes_fma(p, r, lanes_set(9.9992807e-1f));
    return lanes_times_power(p, n);
}

/* The largest of s (n) and `least`; a NaN is passed over. */
static inline __attribute__((always_inline)) float top_of(int64_t n, const float *s, float least)
{
    lanes tops[2] = {lanes_set(least), lanes_set(least)};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        tops[0] = lanes_max(lanes_load(s + i), tops[0]);
        tops[1] = lanes_max(lanes_load(s + i + LANES), tops[1]);
    }
    for (; i < n; i += LANES)
        tops[0] =
            lanes_max(n - i < LANES ? lanes_load_some(s + i, n - i, -INFINITY) : lanes_load(s + i), tops[0]);
    return lanes_top(lanes_max(tops[0], tops[1]));
}

static inline __attribute__((always_inline)) float soften_row(int64_t n, const float *s, float *max,
                                                              float *sum, uint16_t *p, int64_t p_plane)
{
    enum { PLANE = 32 };
    const float per_power = 1.44269504088896341f;
    float before = *max, top = top_of(n, s, before);
    lanes m = lanes_set(-top * per_power), f = lanes_set(per_power), totals[2] = {lanes_set(0), lanes_set(0)};
    int64_t i = 0;
    for (; i + PLANE <= n; i += PLANE, p = (uint16_t *)(void *)((uint8_t *)p + p_plane))
        for (int64_t j = 0; j < PLANE; j += 2 * LANES) {
            lanes low = power_of_two(lanes_fma(lanes_load(s + i + j), f, m));
            lanes high = power_of_two(lanes_fma(lanes_load(s + i + j + LANES), f, m));
            totals[0] = lanes_add(totals[0], low);
            totals[1] = lanes_add(totals[1], high);
            lanes_store_bf16(p + j, low, high);
        }
    for (int64_t j = 0; i < n && j < PLANE; j += 2 * LANES) {
        lanes parts[2];
        for (int64_t k = 0; k < 2; k++) {
            int64_t left = n - i - j - k * LANES;
            parts[k] = power_of_two(lanes_fma(lanes_load_some(s + i + j + k * LANES,
                                                              left < 0       ? 0
                                                              : left < LANES ? left
                                                                             : LANES,
                                                              -INFINITY),
                                              f, m));
            totals[k] = lanes_add(totals[k], parts[k]);
        }
        lanes_store_bf16(p + j, parts[0], parts[1]);
    }
    float factor = before == top ? 1.0f : expf(before - top);
    *max = top;
    *sum = *sum * factor + lanes_sum(lanes_add(totals[0], totals[1]));
    return factor;
}

/* The weights of a plane, of which `left` are there. totals: before and after they are rounded. */
static inline __attribute__((always_inline)) void soften_plane_i8(int64_t left, const float *s, lanes f,
                                                                  lanes m, uint8_t *p, lanes totals[4])
{
    for (int64_t j = 0; j < 64; j += 4 * LANES) {
        lanes whole[4];
        for (int64_t k = 0; k < 4; k++) {
            int64_t at = j + k * LANES, here = left - at;
            lanes x =
                here >= LANES ? lanes_load(s + at) : lanes_load_some(s + at, here < 0 ? 0 : here, -INFINITY);
            x = power_of_two(lanes_fma(x, f, m));
            whole[k] = lanes_round(x);
            totals[k % 2] = lanes_add(totals[k % 2], x);
            totals[2 + k % 2] = lanes_add(totals[2 + k % 2], whole[k]);
        }
        lanes_store_weights(p + j, whole);
    }
}

static inline __attribute__((always_inline)) kx_softened
soften_row_i8(int64_t n, const float *s, float *max, float *sum, uint8_t *p, int64_t p_plane)
{
    enum { PLANE = 64 };
    const float per_power = 1.44269504088896341f, power_of_most = 7.98868468677216585f; /* 2^.. = 254 */
    float top = top_of(n, s, -INFINITY);
    lanes f = lanes_set(per_power), m = lanes_set(power_of_most - top * per_power);
    lanes totals[4] = {lanes_set(0), lanes_set(0), lanes_set(0), lanes_set(0)};
    int64_t i = 0;
    for (; i + PLANE <= n; i += PLANE, p += p_plane) soften_plane_i8(PLANE, s + i, f, m, p, totals);
    if (i < n) soften_plane_i8(n - i, s + i, f, m, p, totals);
    return kx_softened_of(n, top, lanes_sum(lanes_add(totals[0], totals[1])),
                          lanes_sum(lanes_add(totals[2], totals[3])), max, sum);
}
