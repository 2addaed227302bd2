/* Packed products and operands by AVX2. int8: bytes are widened to 16 bits, since the byte product
 * (vpmaddubsw) saturates; a column's four values become two sums. bf16: widened to f32 in registers. */
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

typedef struct step_state {
    __m256i low, high; /* columns 0-3 and 4-7, two sums each */
} step_state;

typedef struct step_right_value {
    __m256i low, high;
} step_right_value;

static inline step_state step_zero(void)
{
    return (step_state){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

static inline __m256i step_left(const uint8_t *a)
{
    int32_t quad;
    memcpy(&quad, a, sizeof quad);
    return _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(quad)));
}

static inline step_right_value step_right(const int8_t *b)
{
    return (step_right_value){_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)b)),
                              _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b + 16)))};
}

static inline step_state step_add(step_state s, __m256i left, step_right_value right)
{
    return (step_state){_mm256_add_epi32(s.low, _mm256_madd_epi16(left, right.low)),
                        _mm256_add_epi32(s.high, _mm256_madd_epi16(left, right.high))};
}

static inline __m256i step_sums(step_state s)
{
    /* hadd adds neighbours within each half of the register: columns 0 1 4 5 | 2 3 6 7. */
    return _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(s.low, s.high),
                                       _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7));
}

#include "engine/kernels/x86/packed_avx2.h"

void kx_tile_i8_avx2(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                     const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                     const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
    tile_i8(rows, planes, a, a_plane, b, a_scale, b_scale, b_sum, add, c, c_stride);
}

/* Eight columns of a block. */
static inline __attribute__((always_inline)) void half_bf16(int rows, int64_t planes, const uint8_t *a,
                                                            int64_t a_plane, const uint8_t *b, bool add,
                                                            float *c, int64_t c_stride)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    __m256 sums[ROWS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) sums[r] = _mm256_setzero_ps();
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int pair = 0; pair < QUADS; pair++, b += KX_PLANE_BYTES) {
            __m256i right = _mm256_loadu_si256((const __m256i *)(const void *)b);
            __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(right, upper));
            __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(right, 16));
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                uint32_t left;
                memcpy(&left, a + r * KX_PLANE_BYTES + 4 * pair, sizeof left);
                __m256i both = _mm256_set1_epi32((int)left);
                sums[r] = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(both, upper)), odd, sums[r]);
                sums[r] = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)), even, sums[r]);
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) {
        float *to = c + r * c_stride;
        _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), sums[r]) : sums[r]);
    }
}

void kx_tile_bf16_avx2(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                       const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
    const uint8_t *left = (const uint8_t *)a, *right = (const uint8_t *)b;
    for (int half = 0; half < 2; half++, right += 32, c += HALF) {
#define TILE(R) half_bf16(R, planes, left, a_plane, right, add, c, c_stride)
        KX_EACH_ROWS_6(rows, TILE)
#undef TILE
    }
}

static int32_t largest(__m256i values)
{
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

/* All ones in the lanes below `count`. */
static __m256i lanes_below(int64_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(count > 8   ? 8
                                                      : count < 0 ? 0
                                                                  : count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

void kx_quantise_avx2(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), offset = _mm256_set1_epi32(KX_OPERAND_OFFSET);
    __m256i most_bits = _mm256_setzero_si256();
    for (int64_t i = 0; i < n; i += 8) {
        __m256i bits = _mm256_castps_si256(_mm256_maskload_ps(x + i, lanes_below(n - i)));
        most_bits = _mm256_max_epi32(most_bits, _mm256_and_si256(bits, magnitude));
    }
    int32_t top = largest(most_bits);
    bool finite = top < 0x7f800000;
    float most;
    memcpy(&most, &top, sizeof most);
    if (most < KX_QUANTISE_LEAST) most = 0;
    const __m256 factor = _mm256_set1_ps(most > 0 && finite ? 127.0f / most : 0);
    for (int64_t i = 0; i < n; i += KX_PLANE_BYTES, y += y_plane)
        for (int64_t part = 0; part < KX_PLANE_BYTES; part += 8) {
            __m256i mask = lanes_below(finite ? n - i - part : 0);
            __m256 value = _mm256_mul_ps(_mm256_maskload_ps(x + i + part, mask), factor);
            __m256i whole = _mm256_add_epi32(_mm256_cvtps_epi32(value), offset);
            __m128i words =
                _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
            _mm_storel_epi64((__m128i *)(void *)(y + part), _mm_packus_epi16(words, words));
        }
    *scale = finite ? most / 127.0f : __builtin_nanf("");
}

void kx_narrow_avx2(int64_t n, const float *x, uint16_t *y, int64_t y_plane)
{
    enum { VALUES = KX_PLANE_BYTES / 2 };
    uint8_t *plane = (uint8_t *)y;
    for (int64_t i = 0; i < n; i += VALUES, plane += y_plane)
        for (int64_t part = 0; part < VALUES; part += 8) {
            __m256 value = _mm256_maskload_ps(x + i + part, lanes_below(n - i - part));
            __m256i bits = _mm256_castps_si256(value);
            __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
            __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
            __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
            __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
            rounded = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
            __m128i words =
                _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
            _mm_storeu_si128((__m128i *)(void *)(plane + 2 * part), words);
        }
}
