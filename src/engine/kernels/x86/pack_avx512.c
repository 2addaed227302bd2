/* Packing: transposition of 16 x 16 blocks, and weights of every type to f32. */
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 16 };

/* Rows of 16 values become columns: pairs, then quadruples, then 4 x 4 blocks of quadruples. */
static inline void transpose_16(__m512 rows[LANES])
{
    __m512 t[LANES], u[LANES];
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) {
            __m512d low = _mm512_castps_pd(t[i + j]), high = _mm512_castps_pd(t[i + 2 + j]);
            u[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            u[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    for (int j = 0; j < 4; j++) {
        __m512 a = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x88), b = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xdd);
        __m512 c = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x88),
               d = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xdd);
        rows[j] = _mm512_shuffle_f32x4(a, c, 0x88);
        rows[8 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
        rows[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
        rows[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

void kx_transpose_avx512(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                         int64_t y_stride)
{
    for (int64_t k = 0; k < depth; k += LANES) {
        int64_t columns = depth - k < LANES ? depth - k : LANES;
        __mmask16 mask = (__mmask16)((1u << columns) - 1u);
        __m512 block[LANES];
        if (rows == LANES)
            for (int r = 0; r < LANES; r++) block[r] = _mm512_maskz_loadu_ps(mask, x + r * x_stride + k);
        else
            for (int r = 0; r < LANES; r++)
                block[r] = r < rows ? _mm512_maskz_loadu_ps(mask, x + r * x_stride + k) : _mm512_setzero_ps();
        transpose_16(block);
        for (int64_t i = 0; i < columns; i++) _mm512_storeu_ps(y + (k + i) * y_stride, block[i]);
    }
}

static inline __m512 widen_bf16(__m256i bits)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/* E5M2 is the upper half of an f16. */
static inline __m512 widen_e5m2(__m128i bits)
{
    return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(bits), 8));
}

/* The exponent and mantissa of E4M3 in the fields of an f16 are its value times 2^(7-15), also below the
 * normal range; only the NaN (all ones) has to be put in. */
static inline __m512 widen_e4m3(__m128i bits)
{
    __m256i wide = _mm256_cvtepu8_epi16(bits), low = _mm256_set1_epi16(0x7f);
    __m256i magnitude = _mm256_and_si256(wide, low);
    __m256i half = _mm256_or_si256(_mm256_slli_epi16(_mm256_andnot_si256(low, wide), 8),
                                   _mm256_slli_epi16(magnitude, 7));
    half = _mm256_mask_mov_epi16(half, _mm256_cmpeq_epi16_mask(magnitude, low), _mm256_set1_epi16(0x7e00));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
}

static inline __m512 load_wide(kx_dtype dtype, const uint8_t *x, __mmask16 mask)
{
    switch (dtype) {
    case KX_BF16:
        return widen_bf16(_mm256_maskz_loadu_epi16(mask, x));
    case KX_F16:
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x));
    case KX_F8_E4M3:
        return widen_e4m3(_mm_maskz_loadu_epi8(mask, x));
    case KX_F8_E5M2:
        return widen_e5m2(_mm_maskz_loadu_epi8(mask, x));
    default:
        return _mm512_maskz_loadu_ps(mask, x);
    }
}

static inline __attribute__((always_inline)) void widen_loop(kx_dtype dtype, int64_t size, const uint8_t *x,
                                                             int64_t count, float scale, float *y)
{
    __m512 factor = _mm512_set1_ps(scale);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        _mm512_storeu_ps(y + i, _mm512_mul_ps(factor, load_wide(dtype, x + i * size, 0xffff)));
    if (i == count) return;
    __mmask16 mask = (__mmask16)((1u << (count - i)) - 1u);
    _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(factor, load_wide(dtype, x + i * size, mask)));
}

void kx_widen_avx512(kx_dtype dtype, const void *x, int64_t count, float scale, float *y)
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
