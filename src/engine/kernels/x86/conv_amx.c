/* Around the tiles of sum_bf16: what they multiply, from rows of f32, by AVX512_BF16, which rounds two
 * registers in one instruction; and what they came to, to a map. Contracts: kernels.h. */
#include "engine/kernels/x86/lanes_avx512.h"

#include "engine/kernels/affine_lanes.h"
#include "engine/kernels/x86/x86.h"

enum { VALUES = KX_PLANE_BYTES / 2 };

/* What becomes of a row. */
typedef struct row_map {
    const float *scale, *shift; /* or both NULL */
    bool silu;
} row_map;

/* LANES values at i, of which `left` are there; zeros for the others. */
static inline __attribute__((always_inline)) lanes mapped(const row_map *map, const float *x, int64_t i,
                                                          int64_t left)
{
    if (left <= 0) return lanes_set(0);
    __mmask16 mask = left >= LANES ? 0xffff : lanes_mask(left);
    lanes value = _mm512_maskz_loadu_ps(mask, x + i);
    if (map->scale == NULL) return map->silu ? affine_value(value, lanes_set(1), lanes_set(0), true) : value;
    return affine_value(value, _mm512_maskz_loadu_ps(mask, map->scale + i),
                        _mm512_maskz_loadu_ps(mask, map->shift + i), map->silu);
}

static inline lanes widened(__m256i bf16)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

static inline __attribute__((always_inline)) void affine_plane(const row_map *map, const float *x, int64_t i,
                                                               int64_t left, uint8_t *y, uint8_t *rest)
{
    lanes low = mapped(map, x, i, left), high = mapped(map, x, i + LANES, left - LANES);
    __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    _mm512_storeu_si512(y, rounded);
    if (rest == NULL) return;
    low = lanes_sub(low, widened(_mm512_castsi512_si256(rounded)));
    high = lanes_sub(high, widened(_mm512_extracti64x4_epi64(rounded, 1)));
    _mm512_storeu_si512(rest, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

static inline __attribute__((always_inline)) void affine_planes(const row_map *map, int64_t n, const float *x,
                                                                uint8_t *y, uint8_t *rest, int64_t y_plane)
{
    int64_t i = 0;
    for (; i + VALUES <= n; i += VALUES, y += y_plane) {
        affine_plane(map, x, i, VALUES, y, rest);
        if (rest != NULL) rest += y_plane;
    }
    if (i < n) affine_plane(map, x, i, n - i, y, rest);
}

void kx_affine_bf16_amx(int64_t n, const float *x, const float *scale, const float *shift, bool silu,
                        uint16_t *y, uint16_t *rest, int64_t y_plane)
{
    uint8_t *to = (uint8_t *)y, *rest_to = (uint8_t *)rest;
    if (silu)
        affine_planes(&(row_map){scale, shift, true}, n, x, to, rest_to, y_plane);
    else if (scale != NULL)
        affine_planes(&(row_map){scale, shift, false}, n, x, to, rest_to, y_plane);
    else
        affine_planes(&(row_map){NULL, NULL, false}, n, x, to, rest_to, y_plane);
}

/* ---- Results ------------------------------------------------------------------------------------------- */

/* LANES channels of a call. */
typedef struct store_columns {
    __mmask16 mask;
    lanes bias, middle, sums, squares;
} store_columns;

static inline store_columns open_columns(const kx_store_pixels *call, int64_t first)
{
    int64_t left = call->n - first;
    store_columns c = {.mask = left >= LANES ? 0xffff : left > 0 ? lanes_mask(left) : 0};
    c.bias = call->bias == NULL ? lanes_set(0) : _mm512_maskz_loadu_ps(c.mask, call->bias + first);
    c.middle = call->middle == NULL ? lanes_set(0) : _mm512_maskz_loadu_ps(c.mask, call->middle + first);
    c.sums = c.squares = lanes_set(0);
    return c;
}

static inline __attribute__((always_inline)) void store_lanes(store_columns *c, const float *r, float *y,
                                                              bool add, bool past)
{
    lanes value = lanes_add(_mm512_maskz_loadu_ps(c->mask, r), c->bias);
    if (add) value = lanes_add(_mm512_maskz_loadu_ps(c->mask, y), value);
    if (past)
        lanes_store_past(y, value);
    else
        _mm512_mask_storeu_ps(y, c->mask, value);
    value = lanes_sub(value, c->middle);
    c->sums = lanes_add(c->sums, value);
    c->squares = lanes_fma(value, value, c->squares);
}

static inline void close_columns(const store_columns *c, double *sums, double *squares)
{
    _Alignas(64) float sum[LANES], square[LANES];
    lanes_store(sum, c->sums);
    lanes_store(square, c->squares);
    for (int i = 0; i < LANES; i++) {
        if ((c->mask >> i & 1) == 0) break;
        sums[i] += (double)sum[i];
        squares[i] += (double)square[i];
    }
}

static inline __attribute__((always_inline)) void store_some(const kx_store_pixels *call, bool add, bool past)
{
    store_columns low = open_columns(call, 0), high = open_columns(call, LANES);
    const float *r = call->r;
    float *y = call->y;
    for (int64_t i = 0; i < call->pixels; i++, r += call->r_stride, y += call->y_stride) {
        store_lanes(&low, r, y, add, past);
        if (high.mask != 0) store_lanes(&high, r + LANES, y + LANES, add, past);
    }
    if (call->middle == NULL) return;
    close_columns(&low, call->sums, call->squares);
    close_columns(&high, call->sums + LANES, call->squares + LANES);
}

/* Whether whole registers go to multiples of their size. */
static bool may_go_past(const kx_store_pixels *call)
{
    return (uintptr_t)call->y % 64 == 0 && call->y_stride % LANES == 0 && call->n % LANES == 0;
}

void kx_store_pixels_amx(const kx_store_pixels *call)
{
    if (call->add)
        store_some(call, true, false);
    else if (call->past && may_go_past(call))
        store_some(call, false, true);
    else
        store_some(call, false, false);
}
