/* The row kernels once for all widths of vectors. Include lanes_SET.h first, which holds the words that they
 * are written in; the functions are static, and rows_SET.c gives them their names. Contracts: kernels.h.
 *
 * The last n % LANES values of a row take the same steps as the others, in lanes that are loaded and stored
 * partly, so a value does not depend on its place in the row. */
#pragma once

#include "engine/kernels/affine_lanes.h"
#include "engine/kernels/kernels.h"

#include <math.h>

/* 0.5 r (1 + tanh(u)) = r sigmoid(2 u), u = sqrt(2/pi) (r + 0.044715 r^3) */
static inline lanes gelu_tanh(lanes r)
{
    lanes slope = lanes_fma(lanes_mul(r, r), lanes_set(-0.044715f * 1.5957691216057308f),
                            lanes_set(-1.5957691216057308f));
    return sigmoid_product(r, lanes_mul(slope, r));
}

static inline lanes finish(kx_epilogue epilogue, lanes r, lanes gate, lanes y)
{
    switch (epilogue) {
    case KX_EPILOGUE_GELU_TANH:
        return gelu_tanh(r);
    case KX_EPILOGUE_QUICK_GELU:
        return sigmoid_product(r, lanes_mul(r, lanes_set(-1.702f)));
    case KX_EPILOGUE_SILU:
        return sigmoid_product(r, lanes_sub(lanes_set(0), r));
    case KX_EPILOGUE_ADD:
        return lanes_add(y, r);
    case KX_EPILOGUE_GATED_ADD:
        return lanes_fma(gate, r, y);
    case KX_EPILOGUE_MULTIPLY:
        return lanes_mul(y, r);
    default:
        return r;
    }
}

/* Inlined once for each epilogue, so that the loop has no branches. What an epilogue does not read is not
 * loaded: the y of a plain store may be fresh memory. */
static inline __attribute__((always_inline)) void
epilogue_loop(kx_epilogue epilogue, int64_t n, const float *r, const float *bias, const float *gate, float *y)
{
    bool reads_y = kx_epilogue_reads(epilogue), reads_gate = epilogue == KX_EPILOGUE_GATED_ADD;
    const lanes zero = lanes_set(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes value = lanes_load(r + i);
        if (bias != NULL) value = lanes_add(value, lanes_load(bias + i));
        lanes_store(y + i, finish(epilogue, value, reads_gate ? lanes_load(gate + i) : zero,
                                  reads_y ? lanes_load(y + i) : zero));
    }
    if (i == n) return;
    lanes value = lanes_load_some(r + i, n - i, 0);
    if (bias != NULL) value = lanes_add(value, lanes_load_some(bias + i, n - i, 0));
    lanes_store_some(y + i, n - i,
                     finish(epilogue, value, reads_gate ? lanes_load_some(gate + i, n - i, 0) : zero,
                            reads_y ? lanes_load_some(y + i, n - i, 0) : zero));
}

static void epilogue_row(kx_epilogue epilogue, int64_t n, const float *r, const float *bias,
                         const float *gate, float *y)
{
    switch (epilogue) {
    case KX_EPILOGUE_STORE:
        epilogue_loop(KX_EPILOGUE_STORE, n, r, bias, gate, y);
        break;
    case KX_EPILOGUE_GELU_TANH:
        epilogue_loop(KX_EPILOGUE_GELU_TANH, n, r, bias, gate, y);
        break;
    case KX_EPILOGUE_QUICK_GELU:
        epilogue_loop(KX_EPILOGUE_QUICK_GELU, n, r, bias, gate, y);
        break;
    case KX_EPILOGUE_SILU:
        epilogue_loop(KX_EPILOGUE_SILU, n, r, bias, gate, y);
        break;
    case KX_EPILOGUE_ADD:
        epilogue_loop(KX_EPILOGUE_ADD, n, r, bias, gate, y);
        break;
    case KX_EPILOGUE_GATED_ADD:
        epilogue_loop(KX_EPILOGUE_GATED_ADD, n, r, bias, gate, y);
        break;
    case KX_EPILOGUE_MULTIPLY:
        epilogue_loop(KX_EPILOGUE_MULTIPLY, n, r, bias, gate, y);
        break;
    }
}

static void scale_row(int64_t n, const float *x, float factor, float *y)
{
    lanes f = lanes_set(factor);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) lanes_store(y + i, lanes_mul(f, lanes_load(x + i)));
    if (i < n) lanes_store_some(y + i, n - i, lanes_mul(f, lanes_load_some(x + i, n - i, 0)));
}

static void blend_row(int64_t n, const float *x, float share, float factor, float *y)
{
    lanes s = lanes_set(share), f = lanes_set(factor);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(y + i, lanes_fma(f, lanes_load(y + i), lanes_mul(s, lanes_load(x + i))));
    if (i < n)
        lanes_store_some(
            y + i, n - i,
            lanes_fma(f, lanes_load_some(y + i, n - i, 0), lanes_mul(s, lanes_load_some(x + i, n - i, 0))));
}

static void affine_row(int64_t n, const float *x, const float *scale, const float *shift, bool silu, float *y)
{
    if (scale == NULL) {
        epilogue_row(silu ? KX_EPILOGUE_SILU : KX_EPILOGUE_STORE, n, x, NULL, NULL, y);
        return;
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(y + i,
                    affine_value(lanes_load(x + i), lanes_load(scale + i), lanes_load(shift + i), silu));
    if (i < n)
        lanes_store_some(y + i, n - i,
                         affine_value(lanes_load_some(x + i, n - i, 0), lanes_load_some(scale + i, n - i, 0),
                                      lanes_load_some(shift + i, n - i, 0), silu));
}

/* sum of (x - middle)^power, power 1 or 2, in four running sums. */
static inline __attribute__((always_inline)) float row_sum(int64_t n, const float *x, float middle, int power)
{
    lanes sums[4] = {lanes_set(0), lanes_set(0), lanes_set(0), lanes_set(0)}, m = lanes_set(middle);
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            lanes v = lanes_sub(lanes_load(x + i + j * LANES), m);
            sums[j] = power == 2 ? lanes_fma(v, v, sums[j]) : lanes_add(sums[j], v);
        }
    for (; i + LANES <= n; i += LANES) {
        lanes v = lanes_sub(lanes_load(x + i), m);
        sums[0] = power == 2 ? lanes_fma(v, v, sums[0]) : lanes_add(sums[0], v);
    }
    if (i < n) {
        lanes v = lanes_sub(lanes_load_some(x + i, n - i, middle), m);
        sums[1] = power == 2 ? lanes_fma(v, v, sums[1]) : lanes_add(sums[1], v);
    }
    return lanes_sum(lanes_add(lanes_add(sums[0], sums[1]), lanes_add(sums[2], sums[3])));
}

static inline lanes norm_value(lanes x, lanes mean, lanes inverse, lanes mul, lanes add)
{
    return lanes_fma(mul, lanes_mul(lanes_sub(x, mean), inverse), add);
}

static void layer_norm_row(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                           const float *add, float *y)
{
    /* The second mean is of what the first left over; together they are exact to f32 far from zero too. */
    float mean = row_sum(n, x, 0, 1) / (float)n;
    mean += row_sum(n, x, mean, 1) / (float)n;
    float variance = row_sum(n, x, mean, 2) / (float)n;
    lanes inverse = lanes_set((float)(1.0 / sqrt((double)variance + (double)eps)));
    lanes middle = lanes_set(mean), offset = lanes_set(mul_offset);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(y + i, norm_value(lanes_load(x + i), middle, inverse,
                                      lanes_add(lanes_load(mul + i), offset), lanes_load(add + i)));
    if (i < n)
        lanes_store_some(y + i, n - i,
                         norm_value(lanes_load_some(x + i, n - i, 0), middle, inverse,
                                    lanes_add(lanes_load_some(mul + i, n - i, 0), offset),
                                    lanes_load_some(add + i, n - i, 0)));
}

static inline float inverse_rms(int64_t n, const float *x, float eps)
{
    return (float)(1.0 / sqrt((double)(row_sum(n, x, 0, 2) / (float)n) + (double)eps));
}

static void rms_norm_row(int64_t n, const float *x, float eps, const float *weight, float *y)
{
    lanes inverse = lanes_set(inverse_rms(n, x, eps));
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(y + i, lanes_mul(lanes_load(weight + i), lanes_mul(lanes_load(x + i), inverse)));
    if (i < n)
        lanes_store_some(y + i, n - i,
                         lanes_mul(lanes_load_some(weight + i, n - i, 0),
                                   lanes_mul(lanes_load_some(x + i, n - i, 0), inverse)));
}

/* n a multiple of LANES. */
static void head_norm_rope_row(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                               const float *sines)
{
    lanes inverse = lanes_set(inverse_rms(n, x, eps));
    for (int64_t i = 0; i < n; i += LANES) {
        lanes v = lanes_mul(lanes_load(scale + i), lanes_mul(lanes_load(x + i), inverse));
        lanes_store(x + i,
                    lanes_rotate(v, lanes_load_pairs(cosines + i / 2), lanes_load_pairs(sines + i / 2)));
    }
}

static float softmax_row(int64_t n, float *s, float *max, float *sum)
{
    lanes tops[2] = {lanes_set(*max), lanes_set(*max)};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        tops[0] = lanes_max(lanes_load(s + i), tops[0]);
        tops[1] = lanes_max(lanes_load(s + i + LANES), tops[1]);
    }
    for (; i + LANES <= n; i += LANES) tops[0] = lanes_max(lanes_load(s + i), tops[0]);
    if (i < n) tops[1] = lanes_max(lanes_load_some(s + i, n - i, -INFINITY), tops[1]);
    float before = *max, top = lanes_top(lanes_max(tops[0], tops[1]));
    lanes m = lanes_set(top), total = lanes_set(0);
    for (i = 0; i + LANES <= n; i += LANES) {
        lanes p = exponential(lanes_sub(lanes_load(s + i), m));
        total = lanes_add(total, p);
        lanes_store(s + i, p);
    }
    if (i < n) {
        lanes p = exponential(lanes_sub(lanes_load_some(s + i, n - i, -INFINITY), m));
        total = lanes_add(total, p);
        lanes_store_some(s + i, n - i, p);
    }
    float factor = before == top ? 1.0f : expf(before - top);
    *max = top;
    *sum = *sum * factor + lanes_sum(total);
    return factor;
}

static bool all_finite_row(int64_t n, const float *x)
{
    bool finite = true;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) finite = finite && lanes_are_finite(lanes_load(x + i));
    return finite && (i == n || lanes_are_finite(lanes_load_some(x + i, n - i, 0)));
}

/* One stage within the lanes: pairs (a,b), `step` lanes apart -> (a + b, a - b). */
static inline lanes hadamard_stage(lanes v, int step)
{
    static const float turns[4][16] = {{1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
                                       {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
                                       {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
                                       {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1}};
    int stage = step == 1 ? 0 : step == 2 ? 1 : step == 4 ? 2 : 3;
    return lanes_fma(v, lanes_load(turns[stage]), lanes_swapped(v, step));
}

/* n a multiple of LANES. */
static void hadamard_row(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i += LANES) {
        lanes v = lanes_mul(lanes_load(x + i), lanes_load(kx_hadamard_signs + i));
        v = hadamard_stage(hadamard_stage(v, 1), 2);
        if (LANES > 4) v = hadamard_stage(v, 4);
        if (LANES > 8) v = hadamard_stage(v, 8);
        lanes_store(y + i, v);
    }
    for (int64_t step = LANES; step < n; step *= 2)
        for (int64_t first = 0; first < n; first += 2 * step)
            for (int64_t i = first; i < first + step; i += LANES) {
                lanes a = lanes_load(y + i), b = lanes_load(y + i + step);
                lanes_store(y + i, lanes_add(a, b));
                lanes_store(y + i + step, lanes_sub(a, b));
            }
}

/* Plain C: the compiler does this one well with the instructions of the including file. */
static void column_sums_rows(int64_t rows, int64_t n, const float *restrict x, int64_t x_stride,
                             const double *restrict mean, double *restrict sums)
{
    for (int64_t r = 0; r < rows; r++, x += x_stride) {
        if (mean == NULL) {
            for (int64_t i = 0; i < n; i++) sums[i] += (double)x[i];
        } else {
            for (int64_t i = 0; i < n; i++) sums[i] += ((double)x[i] - mean[i]) * ((double)x[i] - mean[i]);
        }
    }
}
