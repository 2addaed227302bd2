/* Packed products and operands where the processor has AVX-512 but neither VNNI nor a fast bf16 dot product.
 *
 * int8: bytes are widened to 16 bits, and vpmaddwd adds the products of two neighbours: exact, where the byte
 * version (vpmaddubsw) would saturate. A column's four values become two sums, which are added at the end.
 * bf16: widened to f32 in registers, multiplied and added as f32. */
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 8, QUADS = KX_PLANE_BYTES / 4 };

static inline __attribute__((always_inline)) __m512i broadcast_words(const uint8_t *a)
{
    int32_t quad;
    memcpy(&quad, a, sizeof quad);
    return _mm512_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(quad)));
}

/* [column 0: two sums, column 1: two sums, ...] of 8 columns each -> the 16 columns' sums. */
static inline __m512i join_pairs(__m512i low, __m512i high)
{
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_add_epi32(_mm512_permutex2var_epi32(low, even, high),
                            _mm512_permutex2var_epi32(low, odd, high));
}

static inline __attribute__((always_inline)) void
tile_i8_of(int rows, int64_t planes, const uint8_t *a, int64_t a_plane, const int8_t *b, const float *a_scale,
           const float *b_scale, const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    __m512i sums[ROWS][2];
    KX_UNROLL
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_si512();
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int quad = 0; quad < QUADS; quad++, b += KX_PLANE_BYTES) {
            __m512i low = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)b));
            __m512i high = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(b + 32)));
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                __m512i left = broadcast_words(a + r * KX_PLANE_BYTES + 4 * quad);
                sums[r][0] = _mm512_add_epi32(sums[r][0], _mm512_madd_epi16(left, low));
                sums[r][1] = _mm512_add_epi32(sums[r][1], _mm512_madd_epi16(left, high));
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) {
        __m512i sum = _mm512_add_epi32(join_pairs(sums[r][0], sums[r][1]), _mm512_loadu_si512(b_sum));
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(b_scale));
        value = _mm512_mul_ps(value, _mm512_set1_ps(a_scale[r]));
        float *to = c + r * c_stride;
        _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), value) : value);
    }
}

static inline __attribute__((always_inline)) void tile_bf16_of(int rows, int64_t planes, const uint8_t *a,
                                                               int64_t a_plane, const uint8_t *b, bool add,
                                                               float *c, int64_t c_stride)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512 sums[ROWS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) sums[r] = _mm512_setzero_ps();
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int pair = 0; pair < QUADS; pair++, b += KX_PLANE_BYTES) {
            __m512i right = _mm512_loadu_si512(b);
            __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(right, upper));
            __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(right, 16));
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                uint32_t left;
                memcpy(&left, a + r * KX_PLANE_BYTES + 4 * pair, sizeof left);
                __m512i both = _mm512_set1_epi32((int)left);
                sums[r] = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(both, upper)), odd, sums[r]);
                sums[r] = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)), even, sums[r]);
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) {
        float *to = c + r * c_stride;
        _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), sums[r]) : sums[r]);
    }
}

/* One block of columns at a time. */
void kx_tile_i8_avx512(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                       const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                       const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
#define TILE(R) tile_i8_of(R, planes, a, a_plane, b, a_scale, b_scale, b_sum, add, c, c_stride)
    KX_EACH_ROWS_8(rows, TILE)
#undef TILE
}

void kx_tile_bf16_avx512(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                         const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
#define TILE(R) tile_bf16_of(R, planes, (const uint8_t *)a, a_plane, (const uint8_t *)b, add, c, c_stride)
    KX_EACH_ROWS_8(rows, TILE)
#undef TILE
}

static __mmask16 lanes_below(int64_t count)
{
    return (__mmask16)(count >= 16 ? 0xffffu : count <= 0 ? 0u : (1u << count) - 1u);
}

void kx_quantise_avx512(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i most_bits = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += 16) {
        __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes_below(n - i), x + i));
        most_bits = _mm512_max_epi32(most_bits, _mm512_and_si512(bits, magnitude));
    }
    int32_t top = _mm512_reduce_max_epi32(most_bits);
    bool finite = top < 0x7f800000;
    float most;
    memcpy(&most, &top, sizeof most);
    if (most < KX_QUANTISE_LEAST) most = 0;
    const __m512 factor = _mm512_set1_ps(most > 0 && finite ? 127.0f / most : 0);
    for (int64_t i = 0; i < n; i += KX_PLANE_BYTES, y += y_plane) {
        KX_UNROLL
        for (int part = 0; part < 4; part++) {
            __mmask16 mask = finite ? lanes_below(n - i - 16 * part) : 0;
            __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i + 16 * part), factor);
            __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(value), _mm512_set1_epi32(KX_OPERAND_OFFSET));
            _mm_storeu_si128((__m128i *)(void *)(y + 16 * part), _mm512_cvtepi32_epi8(whole));
        }
    }
    *scale = finite ? most / 127.0f : __builtin_nanf("");
}

void kx_narrow_avx512(int64_t n, const float *x, uint16_t *y, int64_t y_plane)
{
    enum { VALUES = KX_PLANE_BYTES / 2 };
    uint8_t *plane = (uint8_t *)y;
    for (int64_t i = 0; i < n; i += VALUES, plane += y_plane) {
        KX_UNROLL
        for (int part = 0; part < 2; part++) {
            __m512 value = _mm512_maskz_loadu_ps(lanes_below(n - i - 16 * part), x + i + 16 * part);
            __m512i bits = _mm512_castps_si512(value);
            __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
            __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
            __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
            rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
            _mm256_storeu_si256((__m256i *)(void *)(plane + 32 * part),
                                _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
        }
    }
}
