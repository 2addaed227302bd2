/* The softmax of packed attention for all widths of vectors. Include lanes_SET.h first, and define
 *
 *     lanes_raised(p, t)                 p 2^n, of p in [0.5, 2) and t = 1.5 2^23 + n as floats; a NaN stays
 * one lanes_first(v, n)                  the first n lanes of v, then zeros
 *     lanes_store_bf16(to, low, high)    2 LANES values, none negative, as bf16
 *     lanes_store_weights(to, v)         4 LANES values v[4] of 0 to 254, rounded, 1 added, as bytes
 *     lanes_sum_bytes(planes, p, plane)  the sum of the bytes of some planes
 *
 * Contract: kernels.h. A call goes over its rows three times, for their maxima, their exponentials, and what
 * follows from both, so that a row never waits for what its own sums come to. Exponentials are rounded to 8
 * bits anyway, so e^s = 2^(s / ln 2) by a polynomial of degree 3 is enough: its relative error is at most
 * 7.5e-5, a fiftieth of what the rounding may do. */
#pragma once

#include "engine/kernels/exponential_lanes.h"
#include "engine/kernels/kernels.h"

#include <math.h>

#define POWER_OF_E 1.44269504088896341f

/* Of each row of a call: the largest value, and the sums of the exponentials, for int8 also once they are
 * rounded. */
typedef struct soften_sums {
    _Alignas(64) float top[KX_SOFTEN_ROWS], total[KX_SOFTEN_ROWS], rounded[KX_SOFTEN_ROWS];
} soften_sums;

/* 2^r for |r| <= 1/2. */
static inline __attribute__((always_inline)) lanes mantissa_of(lanes r)
{
    lanes p = lanes_fma(lanes_set(5.5171700e-2f), r, lanes_set(2.4261120e-1f));
    p = lanes_fma(p, r, lanes_set(6.9326098e-1f));
    return lanes_fma(p, r, lanes_set(9.9992807e-1f));
}

/* 2^x for x < 9; less than 2^-126 from there down, a NaN stays one. x = n + r with a whole n; adding 1.5 2^23
 * rounds to it. */
static inline __attribute__((always_inline)) lanes power_of_two(lanes x)
{
    const lanes rounds = lanes_set(12582912.0f);
    x = lanes_max(lanes_set(-126.0f), x);
    lanes t = lanes_add(x, rounds);
    return lanes_raised(mantissa_of(lanes_sub(x, lanes_sub(t, rounds))), t);
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

/* 2^(f s + m) of LANES values s of which `left` are there; zeros for the others. */
static inline __attribute__((always_inline)) lanes powers_of(int64_t left, const float *s, lanes f, lanes m)
{
    if (left >= LANES) return power_of_two(lanes_fma(lanes_load(s), f, m));
    if (left <= 0) return lanes_set(0);
    return lanes_first(power_of_two(lanes_fma(lanes_load_some(s, left, 0), f, m)), left);
}

/* ---- bf16 ---------------------------------------------------------------------------------------------- */

/* A plane of exponentials, of which `left` are there. */
static inline __attribute__((always_inline)) void soften_plane(int64_t left, const float *s, lanes f, lanes m,
                                                               uint16_t *p, lanes totals[2])
{
    for (int64_t j = 0; j < KX_PLANE_BYTES / 2; j += 2 * LANES) {
        lanes low = powers_of(left - j, s + j, f, m);
        lanes high = powers_of(left - j - LANES, s + j + LANES, f, m);
        totals[0] = lanes_add(totals[0], low);
        totals[1] = lanes_add(totals[1], high);
        lanes_store_bf16(p + j, low, high);
    }
}

/* A row of exponentials below `top`; their sum. */
static inline __attribute__((always_inline)) float soften_row(int64_t n, const float *s, float top,
                                                              uint16_t *p, int64_t p_plane)
{
    enum { PLANE = KX_PLANE_BYTES / 2 };
    lanes f = lanes_set(POWER_OF_E), m = lanes_set(-top * POWER_OF_E);
    lanes totals[2] = {lanes_set(0), lanes_set(0)};
    int64_t i = 0;
    for (; i + PLANE <= n; i += PLANE, p = (uint16_t *)(void *)((uint8_t *)p + p_plane))
        soften_plane(PLANE, s + i, f, m, p, totals);
    if (i < n) soften_plane(n - i, s + i, f, m, p, totals);
    return lanes_sum(lanes_add(totals[0], totals[1]));
}

/* What follows from the sums of some rows, whose top is the maximum so far. */
static inline void soften_end(int64_t rows, const soften_sums *sums, const kx_soften_rows *state)
{
    for (int64_t r = 0; r < rows; r += LANES) {
        int64_t some = rows - r < LANES ? rows - r : LANES;
        lanes before = lanes_load_some(state->max + r, some, 0), top = lanes_load(sums->top + r);
        lanes factor = exponential(lanes_sub(before, top));
        lanes sum = lanes_load_some(state->sum + r, some, 0);
        lanes_store_some(state->max + r, some, top);
        lanes_store_some(state->sum + r, some, lanes_fma(sum, factor, lanes_load(sums->total + r)));
        lanes_store_some(state->factor + r, some, factor);
    }
}

static inline __attribute__((always_inline)) void soften_rows(int64_t rows, int64_t n, const float *s,
                                                              int64_t s_stride, const kx_soften_rows *state,
                                                              uint16_t *p, int64_t p_plane)
{
    soften_sums sums = {0};
    for (int64_t r = 0; r < rows; r++) sums.top[r] = top_of(n, s + r * s_stride, state->max[r]);
    for (int64_t r = 0; r < rows; r++, p += KX_PLANE_BYTES / 2)
        sums.total[r] = soften_row(n, s + r * s_stride, sums.top[r], p, p_plane);
    soften_end(rows, &sums, state);
}

/* ---- int8 ---------------------------------------------------------------------------------------------- */

/* The weights of a plane, of which `left` are there. */
static inline __attribute__((always_inline)) void soften_plane_i8(int64_t left, const float *s, lanes f,
                                                                  lanes m, uint8_t *p, lanes totals[2])
{
    for (int64_t j = 0; j < KX_PLANE_BYTES; j += 4 * LANES) {
        lanes weights[4];
        for (int64_t k = 0; k < 4; k++) {
            weights[k] = powers_of(left - j - k * LANES, s + j + k * LANES, f, m);
            totals[k % 2] = lanes_add(totals[k % 2], weights[k]);
        }
        lanes_store_weights(p + j, weights);
    }
}

/* Weights of a row, 254 at its top; their sums before and after they are rounded go to entry r. */
static inline __attribute__((always_inline)) void soften_row_i8(int64_t n, const float *s, soften_sums *sums,
                                                                int64_t r, uint8_t *p, int64_t p_plane)
{
    const float power_of_most = 7.98868468677216585f; /* 2^.. = 254 */
    lanes f = lanes_set(POWER_OF_E), m = lanes_set(power_of_most - sums->top[r] * POWER_OF_E);
    lanes totals[2] = {lanes_set(0), lanes_set(0)};
    int64_t planes = (n + KX_PLANE_BYTES - 1) / KX_PLANE_BYTES, i = 0;
    for (uint8_t *to = p; i < n; i += KX_PLANE_BYTES, to += p_plane) {
        if (i + KX_PLANE_BYTES <= n)
            soften_plane_i8(KX_PLANE_BYTES, s + i, f, m, to, totals);
        else
            soften_plane_i8(n - i, s + i, f, m, to, totals);
    }
    sums->total[r] = lanes_sum(lanes_add(totals[0], totals[1]));
    sums->rounded[r] = (float)(lanes_sum_bytes(planes, p, p_plane) - planes * KX_PLANE_BYTES);
}

/* What follows from the sums of some rows of n keys. */
static inline void soften_end_i8(int64_t rows, int64_t n, const soften_sums *sums,
                                 const kx_soften_rows *state)
{
    const lanes part = lanes_set(1 / 254.0f), half = lanes_set(0.5f);
    const lanes per_key = lanes_set(1 / (254.0f * (float)n));
    for (int64_t r = 0; r < rows; r += LANES) {
        int64_t some = rows - r < LANES ? rows - r : LANES;
        lanes before = lanes_load_some(state->max + r, some, 0), top = lanes_load(sums->top + r);
        lanes max = lanes_max(top, before), factor = exponential(lanes_sub(before, max));
        lanes own = exponential(lanes_sub(top, max)), scale = lanes_mul(own, part);
        lanes total = lanes_load(sums->total + r), sum = lanes_load_some(state->sum + r, some, 0);
        /* A byte less 128 is a weight less 127 of 254, and the missing half counts for every key. */
        lanes share = lanes_fma(lanes_sub(total, lanes_load(sums->rounded + r)), per_key, half);
        lanes_store_some(state->max + r, some, max);
        lanes_store_some(state->sum + r, some, lanes_fma(sum, factor, lanes_mul(scale, total)));
        lanes_store_some(state->factor + r, some, factor);
        lanes_store_some(state->share + r, some, lanes_mul(own, share));
        lanes_store_some(state->scale + r, some, scale);
    }
}

static inline __attribute__((always_inline)) void soften_rows_i8(int64_t rows, int64_t n, const float *s,
                                                                 int64_t s_stride,
                                                                 const kx_soften_rows *state, uint8_t *p,
                                                                 int64_t p_plane)
{
    soften_sums sums = {0};
    for (int64_t r = 0; r < rows; r++) sums.top[r] = top_of(n, s + r * s_stride, -INFINITY);
    for (int64_t r = 0; r < rows; r++)
        soften_row_i8(n, s + r * s_stride, &sums, r, p + r * KX_PLANE_BYTES, p_plane);
    soften_end_i8(rows, n, &sums, state);
}
