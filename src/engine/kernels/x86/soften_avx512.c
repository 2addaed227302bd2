/* The softmax of packed attention; see soften_lanes.h. */
#include "engine/kernels/x86/lanes_avx512.h"

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

#include "engine/kernels/portable/portable.h"
#include "engine/kernels/soften_lanes.h"
#include "engine/kernels/x86/x86.h"

float kx_soften_avx512(int64_t n, const float *s, float *max, float *sum, uint16_t *p, int64_t p_plane)
{
    return soften_row(n, s, max, sum, p, p_plane);
}

kx_softened kx_soften_i8_avx512(int64_t n, const float *s, float *max, float *sum, uint8_t *p,
                                int64_t p_plane)
{
    return soften_row_i8(n, s, max, sum, p, p_plane);
}
