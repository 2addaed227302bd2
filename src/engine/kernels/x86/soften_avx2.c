/* The softmax of packed attention; see soften_lanes.h. */
#include "engine/kernels/x86/lanes_avx2.h"

/* Rounded half up: the upper halves of the bits, after half a unit was added. */
static inline void lanes_store_bf16(uint16_t *to, lanes low, lanes high)
{
    const __m256i half = _mm256_set1_epi32(0x8000);
    __m256i a = _mm256_srli_epi32(_mm256_add_epi32(_mm256_castps_si256(low), half), 16);
    __m256i b = _mm256_srli_epi32(_mm256_add_epi32(_mm256_castps_si256(high), half), 16);
    __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
    _mm256_storeu_si256((__m256i *)(void *)to, both);
}

static inline void lanes_store_weights(uint8_t *to, const lanes v[4])
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i low = _mm256_packus_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
    __m256i high = _mm256_packus_epi32(_mm256_cvtps_epi32(v[2]), _mm256_cvtps_epi32(v[3]));
    __m256i all = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_adds_epu8(all, _mm256_set1_epi8(1)));
}

#include "engine/kernels/portable/portable.h"
#include "engine/kernels/soften_lanes.h"
#include "engine/kernels/x86/x86.h"

float kx_soften_avx2(int64_t n, const float *s, float *max, float *sum, uint16_t *p, int64_t p_plane)
{
    return soften_row(n, s, max, sum, p, p_plane);
}

kx_softened kx_soften_i8_avx2(int64_t n, const float *s, float *max, float *sum, uint8_t *p, int64_t p_plane)
{
    return soften_row_i8(n, s, max, sum, p, p_plane);
}
