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

#include "engine/kernels/soften_lanes.h"
#include "engine/kernels/x86/x86.h"

float kx_soften_avx512(int64_t n, const float *s, float *max, float *sum, uint16_t *p, int64_t p_plane)
{
    return soften_row(n, s, max, sum, p, p_plane);
}
