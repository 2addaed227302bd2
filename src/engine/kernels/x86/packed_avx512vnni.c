/* int8 products by VNNI: 12 rows x 2 blocks of 16 columns in 24 registers of sums. A byte of the operand is
 * unsigned, one of the matrix signed, as vpdpbusd wants it. */
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 12, BLOCKS = 2, QUADS = KX_PLANE_BYTES / 4 };

static inline __attribute__((always_inline)) __m512i broadcast_quad(const uint8_t *a)
{
    int32_t quad;
    memcpy(&quad, a, sizeof quad);
    return _mm512_set1_epi32(quad);
}

/* sum += four products of unsigned `left` with signed `right` in each lane. Not by the intrinsic: gcc 12
 * copies the sum before and after each one, and then keeps some of the sums in memory. */
static inline __attribute__((always_inline)) void dot(__m512i *sum, __m512i left, __m512i right)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(left), "v"(right));
}

static inline __attribute__((always_inline)) void tile_of(int rows, int blocks, int64_t planes,
                                                          const uint8_t *a, int64_t a_plane, const int8_t *b,
                                                          int64_t b_block, const float *a_scale,
                                                          const float *b_scale, const int32_t *b_sum,
                                                          bool add, float *c, int64_t c_stride)
{
    __m512i sums[ROWS][BLOCKS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int j = 0; j < blocks; j++) {
        sums[r][j] = _mm512_loadu_si512(b_sum + 16 * j);
        __builtin_prefetch(c + r * c_stride + 16 * j, 1);
    }
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int quad = 0; quad < QUADS; quad++, b += KX_PLANE_BYTES) {
            __m512i right[BLOCKS];
            KX_UNROLL
            for (int j = 0; j < blocks; j++) right[j] = _mm512_loadu_si512(b + j * b_block);
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                __m512i left = broadcast_quad(a + r * KX_PLANE_BYTES + 4 * quad);
                KX_UNROLL
                for (int j = 0; j < blocks; j++) dot(&sums[r][j], left, right[j]);
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int j = 0; j < blocks; j++) {
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][j]), _mm512_loadu_ps(b_scale + 16 * j));
        value = _mm512_mul_ps(value, _mm512_set1_ps(a_scale[r]));
        float *to = c + r * c_stride + 16 * j;
        _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), value) : value);
    }
}

void kx_tile_i8_avx512vnni(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                           const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                           const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
#define ONE_BLOCK(R)  tile_of(R, 1, planes, a, a_plane, b, b_block, a_scale, b_scale, b_sum, add, c, c_stride)
#define TWO_BLOCKS(R) tile_of(R, 2, planes, a, a_plane, b, b_block, a_scale, b_scale, b_sum, add, c, c_stride)
    if (blocks == BLOCKS)
        KX_EACH_ROWS_12(rows, TWO_BLOCKS)
    else
        KX_EACH_ROWS_12(rows, ONE_BLOCK)
}
