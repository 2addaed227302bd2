/* The words that soften_lanes.h wants, for AVX-512 (F, BW). */
#pragma once

#include "engine/kernels/x86/lanes_avx512.h"

static inline lanes lanes_raised(lanes p, lanes t)
{
    return _mm512_scalef_ps(p, _mm512_sub_ps(t, _mm512_set1_ps(12582912.0f)));
}

static inline lanes lanes_first(lanes v, int64_t n)
{
    return _mm512_maskz_mov_ps(lanes_mask(n), v);
}

/* Rounded half up: the upper halves of the bits, after half a unit was added. */
static inline void lanes_store_bf16(uint16_t *to, lanes low, lanes high)
{
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i upper = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31,
                                           29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    __m512i a = _mm512_add_epi32(_mm512_castps_si512(low), half);
    __m512i b = _mm512_add_epi32(_mm512_castps_si512(high), half);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, upper, b));
}

static inline void lanes_store_weights(uint8_t *to, const lanes v[4])
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i low = _mm512_packus_epi32(_mm512_cvtps_epi32(v[0]), _mm512_cvtps_epi32(v[1]));
    __m512i high = _mm512_packus_epi32(_mm512_cvtps_epi32(v[2]), _mm512_cvtps_epi32(v[3]));
    __m512i all = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
    _mm512_storeu_si512(to, _mm512_adds_epu8(all, _mm512_set1_epi8(1)));
}

static inline int64_t lanes_sum_bytes(int64_t planes, const uint8_t *p, int64_t plane)
{
    __m512i sums = _mm512_setzero_si512();
    for (int64_t i = 0; i < planes; i++, p += plane)
        sums = _mm512_add_epi64(sums, _mm512_sad_epu8(_mm512_loadu_si512(p), _mm512_setzero_si512()));
    return _mm512_reduce_add_epi64(sums);
}
