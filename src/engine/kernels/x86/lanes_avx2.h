/* The words that rows_lanes.h is written in, for 8 lanes of AVX2 and FMA. */
#pragma once

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

enum { LANES = 8 };
typedef __m256 lanes;

static inline __m256i lanes_mask(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline lanes lanes_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

/* The first n <= LANES values of p; the other lanes are `rest`. */
static inline lanes lanes_load_some(const float *p, int64_t n, float rest)
{
    __m256i mask = lanes_mask(n);
    return _mm256_blendv_ps(_mm256_set1_ps(rest), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
}

static inline void lanes_store(float *p, lanes v)
{
    _mm256_storeu_ps(p, v);
}

/* p: at a multiple of 32 bytes. */
static inline void lanes_store_past(float *p, lanes v)
{
    _mm256_stream_ps(p, v);
}

static inline void lanes_store_some(float *p, int64_t n, lanes v)
{
    _mm256_maskstore_ps(p, lanes_mask(n), v);
}

static inline lanes lanes_set(float x)
{
    return _mm256_set1_ps(x);
}

static inline lanes lanes_add(lanes a, lanes b)
{
    return _mm256_add_ps(a, b);
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    return _mm256_sub_ps(a, b);
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    return _mm256_mul_ps(a, b);
}

static inline lanes lanes_div(lanes a, lanes b)
{
    return _mm256_div_ps(a, b);
}

/* a b + c */
static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* c - a b */
static inline lanes lanes_fnma(lanes a, lanes b, lanes c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

/* Where either is a NaN: b. */
static inline lanes lanes_max(lanes a, lanes b)
{
    return _mm256_max_ps(a, b);
}

static inline lanes lanes_min(lanes a, lanes b)
{
    return _mm256_min_ps(a, b);
}

static inline lanes lanes_round(lanes v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* v 2^n for a whole n, |n| < 200. Two steps, because 2^n itself may be out of range. */
static inline lanes lanes_times_power(lanes v, lanes n)
{
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i whole = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(whole, 1);
    __m256i other = _mm256_sub_epi32(whole, half);
    v = _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(other, bias), 23)));
}

static inline float lanes_sum(lanes v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float lanes_top(lanes v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline bool lanes_are_finite(lanes v)
{
    lanes zero = _mm256_sub_ps(v, v); /* NaN for a NaN and for an infinity */
    return _mm256_movemask_ps(_mm256_cmp_ps(zero, zero, _CMP_UNORD_Q)) == 0;
}

/* Lanes i and i ^ step exchanged; step is 1, 2 or 4. */
static inline lanes lanes_swapped(lanes v, int step)
{
    if (step == 1) return _mm256_permute_ps(v, 0xb1);
    return step == 2 ? _mm256_permute_ps(v, 0x4e) : _mm256_permute2f128_ps(v, v, 1);
}

/* LANES/2 values of p, each twice. */
static inline lanes lanes_load_pairs(const float *p)
{
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), twice);
}

/* Pairs (a,b) -> (a cos - b sin, b cos + a sin). */
static inline lanes lanes_rotate(lanes v, lanes cosines, lanes sines)
{
    return _mm256_fmaddsub_ps(v, cosines, _mm256_mul_ps(_mm256_permute_ps(v, 0xb1), sines));
}
