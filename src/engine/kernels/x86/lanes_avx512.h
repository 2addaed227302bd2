/* The words that rows_lanes.h is written in, for 16 lanes of AVX-512 (F, DQ). */
#pragma once

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

enum { LANES = 16 };
typedef __m512 lanes;

static inline __mmask16 lanes_mask(int64_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

static inline lanes lanes_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

/* The first n <= LANES values of p; the other lanes are `rest`. */
static inline lanes lanes_load_some(const float *p, int64_t n, float rest)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(rest), lanes_mask(n), p);
}

static inline void lanes_store(float *p, lanes v)
{
    _mm512_storeu_ps(p, v);
}

/* p: at a multiple of 64 bytes. */
static inline void lanes_store_past(float *p, lanes v)
{
    _mm512_stream_ps(p, v);
}

static inline void lanes_store_some(float *p, int64_t n, lanes v)
{
    _mm512_mask_storeu_ps(p, lanes_mask(n), v);
}

static inline lanes lanes_set(float x)
{
    return _mm512_set1_ps(x);
}

static inline lanes lanes_add(lanes a, lanes b)
{
    return _mm512_add_ps(a, b);
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    return _mm512_sub_ps(a, b);
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    return _mm512_mul_ps(a, b);
}

static inline lanes lanes_div(lanes a, lanes b)
{
    return _mm512_div_ps(a, b);
}

/* a b + c */
static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a b */
static inline lanes lanes_fnma(lanes a, lanes b, lanes c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* Where either is a NaN: b. */
static inline lanes lanes_max(lanes a, lanes b)
{
    return _mm512_max_ps(a, b);
}

static inline lanes lanes_min(lanes a, lanes b)
{
    return _mm512_min_ps(a, b);
}

static inline lanes lanes_round(lanes v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* v 2^n for a whole n, |n| < 200. */
static inline lanes lanes_times_power(lanes v, lanes n)
{
    return _mm512_scalef_ps(v, n);
}

static inline float lanes_sum(lanes v)
{
    return _mm512_reduce_add_ps(v);
}

static inline float lanes_top(lanes v)
{
    return _mm512_reduce_max_ps(v);
}

static inline bool lanes_are_finite(lanes v)
{
    lanes zero = _mm512_sub_ps(v, v); /* NaN for a NaN and for an infinity */
    return _mm512_cmp_ps_mask(zero, zero, _CMP_UNORD_Q) == 0;
}

/* Lanes i and i ^ step exchanged; step is 1, 2, 4 or 8. */
static inline lanes lanes_swapped(lanes v, int step)
{
    if (step == 1) return _mm512_permute_ps(v, 0xb1);
    if (step == 2) return _mm512_permute_ps(v, 0x4e);
    return step == 4 ? _mm512_shuffle_f32x4(v, v, 0xb1) : _mm512_shuffle_f32x4(v, v, 0x4e);
}

/* LANES/2 values of p, each twice. */
static inline lanes lanes_load_pairs(const float *p)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}

/* Pairs (a,b) -> (a cos - b sin, b cos + a sin). */
static inline lanes lanes_rotate(lanes v, lanes cosines, lanes sines)
{
    return _mm512_fmaddsub_ps(v, cosines, _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), sines));
}
