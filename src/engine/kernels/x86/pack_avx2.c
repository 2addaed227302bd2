/* Packing: transposition of 8 x 8 blocks, and weights of every type to f32. */
#include "engine/kernels/portable/portable.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 8 };

/* Rows of 8 values become columns: pairs, then quadruples, then halves. */
static inline void transpose_8(__m256 rows[LANES])
{
    __m256 t[LANES], u[LANES];
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) {
            __m256d low = _mm256_castps_pd(t[i + j]), high = _mm256_castps_pd(t[i + 2 + j]);
            u[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
            u[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
        }
    for (int j = 0; j < 4; j++) {
        rows[j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
        rows[4 + j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
    }
}

void kx_transpose_avx2(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                       int64_t y_stride)
{
    int64_t k = 0;
    for (; k + LANES <= depth; k += LANES) {
        __m256 block[LANES];
        for (int r = 0; r < LANES; r++)
            block[r] = r < rows ? _mm256_loadu_ps(x + r * x_stride + k) : _mm256_setzero_ps();
        transpose_8(block);
        for (int i = 0; i < LANES; i++) _mm256_storeu_ps(y + (k + i) * y_stride, block[i]);
    }
    kx_transpose_portable(rows, depth - k, x + k, x_stride, y + k * y_stride, y_stride);
}

static inline __m256 widen_bf16(__m128i bits)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/* E5M2 is the upper half of an f16. */
static inline __m256 widen_e5m2(__m128i bits)
{
    return _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(bits), 8));
}

/* The exponent and mantissa of E4M3 in the fields of an f16 are its value times 2^(7-15), also below the
 * normal range; only the NaN (all ones) has to be put in. */
static inline __m256 widen_e4m3(__m128i bits)
{
    __m128i wide = _mm_cvtepu8_epi16(bits), low = _mm_set1_epi16(0x7f);
    __m128i magnitude = _mm_and_si128(wide, low);
    __m128i half = _mm_or_si128(_mm_slli_epi16(_mm_andnot_si128(low, wide), 8), _mm_slli_epi16(magnitude, 7));
    half = _mm_blendv_epi8(half, _mm_set1_epi16(0x7e00), _mm_cmpeq_epi16(magnitude, low));
    return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0f));
}

static inline __m256 load_wide(kx_dtype dtype, const uint8_t *x)
{
    switch (dtype) {
    case KX_BF16:
        return widen_bf16(_mm_loadu_si128((const __m128i_u *)x));
    case KX_F16:
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)x));
    case KX_F8_E4M3:
        return widen_e4m3(_mm_loadl_epi64((const __m128i_u *)x));
    case KX_F8_E5M2:
        return widen_e5m2(_mm_loadl_epi64((const __m128i_u *)x));
    default:
        return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i_u *)x));
    }
}

static inline __attribute__((always_inline)) void widen_loop(kx_dtype dtype, int64_t size, const uint8_t *x,
                                                             int64_t count, float scale, float *y)
{
    __m256 factor = _mm256_set1_ps(scale);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(factor, load_wide(dtype, x + i * size)));
    kx_widen_portable(dtype, x + i * size, count - i, scale, y + i);
}

void kx_widen_avx2(kx_dtype dtype, const void *x, int64_t count, float scale, float *y)
{
    switch (dtype) {
    case KX_BF16:
        widen_loop(KX_BF16, 2, x, count, scale, y);
        break;
    case KX_F16:
        widen_loop(KX_F16, 2, x, count, scale, y);
        break;
    case KX_F8_E4M3:
        widen_loop(KX_F8_E4M3, 1, x, count, scale, y);
        break;
    case KX_F8_E5M2:
        widen_loop(KX_F8_E5M2, 1, x, count, scale, y);
        break;
    default:
        widen_loop(KX_F32, 4, x, count, scale, y);
        break;
    }
}
