/* The softmax of packed attention; see soften_lanes.h. */
#include "engine/kernels/x86/lanes_avx2.h"

#include "engine/kernels/x86/x86.h"

static inline lanes lanes_raised(lanes p, lanes t)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}

static inline lanes lanes_first(lanes v, int64_t n)
{
    return _mm256_and_ps(v, _mm256_castsi256_ps(lanes_mask(n)));
}

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

static inline int64_t lanes_sum_bytes(int64_t planes, const uint8_t *p, int64_t plane)
{
    __m256i sums = _mm256_setzero_si256();
    for (int64_t i = 0; i < planes; i++, p += plane)
        for (int64_t j = 0; j < KX_PLANE_BYTES; j += 32) {
            __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(p + j));
            sums = _mm256_add_epi64(sums, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
        }
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return _mm_cvtsi128_si64(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
}

#include "engine/kernels/soften_lanes.h"

void kx_soften_avx2(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                    uint16_t *p, int64_t p_plane)
{
    soften_rows(rows, n, s, s_stride, state, p, p_plane);
}

void kx_soften_i8_avx2(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                       uint8_t *p, int64_t p_plane)
{
    soften_rows_i8(rows, n, s, s_stride, state, p, p_plane);
}
