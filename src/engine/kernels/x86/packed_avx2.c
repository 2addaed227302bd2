/* Packed products and operands by AVX2. int8: bytes are widened to 16 bits, since the byte product
 * (vpmaddubsw) saturates; a column's four values become two sums. bf16: widened to f32. The matrix is widened
 * in registers, the operand once for all blocks of columns of a call. */
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { STEP_LEFT_BYTES = 2 };

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
    int64_t quad;
    memcpy(&quad, a, sizeof quad);
    return _mm256_set1_epi64x(quad);
}

static inline step_right_value step_right(const int8_t *b)
{
    return (step_right_value){_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)b)),
                              _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b + 16)))};
}

/* Written out: gcc 12 sums the products of all steps as a tree, and keeps them in memory until then. */
static inline __m256i add_product(__m256i sum, __m256i left, __m256i right)
{
    __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(_mm256_madd_epi16(left, right)));
    return sum;
}

static inline step_state step_add(step_state s, __m256i left, step_right_value right)
{
    return (step_state){add_product(s.low, left, right.low), add_product(s.high, left, right.high)};
}

static inline __m256i step_sums(step_state s)
{
    /* hadd adds neighbours within each half of the register: columns 0 1 4 5 | 2 3 6 7. */
    return _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(s.low, s.high),
                                       _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7));
}

#include "engine/kernels/x86/packed_avx2.h"

/* A plane of a row: bytes of int8 once they are widened, values of bf16. */
enum { PLANE_I8 = STEP_LEFT_BYTES * KX_PLANE_BYTES, PLANE_BF16 = KX_PLANE_BYTES / 2 };

/* The planes of up to ROWS rows of an operand, widened once for all blocks: [planes][ROWS] rows. A tile then
 * takes its values with a broadcasting load, which costs no arithmetic. */
static void widen_i8(int64_t rows, int64_t planes, const uint8_t *a, int64_t a_plane, uint8_t *wide)
{
    for (int64_t p = 0; p < planes; p++, a += a_plane, wide += ROWS * PLANE_I8)
        for (int64_t at = 0; at < rows * KX_PLANE_BYTES; at += 16) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(a + at));
            _mm256_store_si256((__m256i *)(void *)(wide + 2 * at), _mm256_cvtepu8_epi16(bytes));
        }
}

void kx_tile_i8_avx2(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                     const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                     const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    _Alignas(32) uint8_t wide[KX_GROUP_PLANES * ROWS * PLANE_I8];
    for (int64_t r = 0; r < rows; r += ROWS) {
        int64_t some = rows - r < ROWS ? rows - r : ROWS;
        widen_i8(some, planes, a + r * KX_PLANE_BYTES, a_plane, wide);
        for (int64_t j = 0; j < blocks; j++)
            tile_i8(some, planes, wide, ROWS * PLANE_I8, b + j * b_block, a_scale + r,
                    b_scale + j * KX_PACKED_COLUMNS, b_sum + j * KX_PACKED_COLUMNS, add,
                    c + r * c_stride + j * KX_PACKED_COLUMNS, c_stride);
    }
}

/* The same for bf16, which becomes f32. */
static void widen_bf16(int64_t rows, int64_t planes, const uint8_t *a, int64_t a_plane, float *wide)
{
    for (int64_t p = 0; p < planes; p++, a += a_plane, wide += ROWS * PLANE_BF16)
        for (int64_t at = 0; at < rows * PLANE_BF16; at += 8) {
            __m128i values = _mm_loadu_si128((const __m128i *)(const void *)(a + 2 * at));
            _mm256_store_si256((__m256i *)(void *)(wide + at),
                               _mm256_slli_epi32(_mm256_cvtepu16_epi32(values), 16));
        }
}

/* Written out as well: with the intrinsic three of the twelve sums were kept in memory. */
static inline __m256 add_scaled(__m256 sum, __m256 left, __m256i right)
{
    __asm__("vfmadd231ps %1, %2, %0" : "+x"(sum) : "x"(right), "x"(left));
    return sum;
}

/* One block of columns; `a` as widen_bf16 left it. A column's values come in pairs: the second is the upper
 * half of its 32 bits as it stands. */
static inline __attribute__((always_inline)) void
block_bf16(int rows, int64_t planes, const float *a, const uint8_t *b, bool add, float *c, int64_t c_stride)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    __m256 low[ROWS], high[ROWS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) low[r] = high[r] = _mm256_setzero_ps();
    for (int64_t p = 0; p < planes; p++, a += ROWS * PLANE_BF16)
        for (int pair = 0; pair < QUADS; pair++, b += KX_PLANE_BYTES) {
            const __m256i *right = (const __m256i *)(const void *)b;
            __m256i l = _mm256_slli_epi32(_mm256_loadu_si256(right), 16);
            __m256i h = _mm256_slli_epi32(_mm256_loadu_si256(right + 1), 16);
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                __m256 left = _mm256_broadcast_ss(a + r * PLANE_BF16 + 2 * pair);
                low[r] = add_scaled(low[r], left, l);
                high[r] = add_scaled(high[r], left, h);
            }
            l = _mm256_and_si256(_mm256_loadu_si256(right), upper);
            h = _mm256_and_si256(_mm256_loadu_si256(right + 1), upper);
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                __m256 left = _mm256_broadcast_ss(a + r * PLANE_BF16 + 2 * pair + 1);
                low[r] = add_scaled(low[r], left, l);
                high[r] = add_scaled(high[r], left, h);
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) {
        float *to = c + r * c_stride;
        _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), low[r]) : low[r]);
        to += HALF;
        _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), high[r]) : high[r]);
    }
}

void kx_tile_bf16_avx2(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                       const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    _Alignas(32) float wide[KX_GROUP_PLANES * ROWS * PLANE_BF16];
    const uint8_t *left = (const uint8_t *)a, *right = (const uint8_t *)b;
    for (int64_t r = 0; r < rows; r += ROWS) {
        int64_t some = rows - r < ROWS ? rows - r : ROWS;
        widen_bf16(some, planes, left + r * KX_PLANE_BYTES, a_plane, wide);
        for (int64_t j = 0; j < blocks; j++) {
            float *to = c + r * c_stride + j * KX_PACKED_COLUMNS;
#define TILE(R) block_bf16(R, planes, wide, right + j * b_block, add, to, c_stride)
            KX_EACH_ROWS_6(some, TILE)
#undef TILE
        }
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
