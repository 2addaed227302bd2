/* bf16 products by the dot product of AVX512_BF16: 12 rows x 2 blocks of 16 columns in 24 registers of sums.
 * Two values of K are multiplied and added at once; subnormals count as zero. */
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 12, BLOCKS = 2, PAIRS = KX_PLANE_BYTES / 4 };

static inline __attribute__((always_inline)) __m512i broadcast_pair(const uint8_t *a)
{
    int32_t pair;
    memcpy(&pair, a, sizeof pair);
    return _mm512_set1_epi32(pair);
}

/* sum += the two products of each lane. Not by the intrinsic: gcc 12 copies the sum before and after each
 * one, and then keeps some of the sums in memory. */
static inline __attribute__((always_inline)) void dot(__m512 *sum, __m512i left, __m512i right)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(*sum) : "v"(left), "v"(right));
}

static inline __attribute__((always_inline)) void tile_of(int rows, int blocks, int64_t planes,
                                                          const uint8_t *a, int64_t a_plane, const uint8_t *b,
                                                          int64_t b_block, bool add, float *c,
                                                          int64_t c_stride)
{
    __m512 sums[ROWS][BLOCKS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int j = 0; j < blocks; j++) {
        sums[r][j] = _mm512_setzero_ps();
        __builtin_prefetch(c + r * c_stride + 16 * j, 1);
    }
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int pair = 0; pair < PAIRS; pair++, b += KX_PLANE_BYTES) {
            __m512i right[BLOCKS];
            KX_UNROLL
            for (int j = 0; j < blocks; j++) right[j] = _mm512_loadu_si512(b + j * b_block);
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                __m512i left = broadcast_pair(a + r * KX_PLANE_BYTES + 4 * pair);
                KX_UNROLL
                for (int j = 0; j < blocks; j++) dot(&sums[r][j], left, right[j]);
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int j = 0; j < blocks; j++) {
        float *to = c + r * c_stride + 16 * j;
        _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), sums[r][j]) : sums[r][j]);
    }
}

void kx_tile_bf16_avx512bf16(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                             const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    const uint8_t *left = (const uint8_t *)a, *right = (const uint8_t *)b;
#define ONE_BLOCK(R)  tile_of(R, 1, planes, left, a_plane, right, b_block, add, c, c_stride)
#define TWO_BLOCKS(R) tile_of(R, 2, planes, left, a_plane, right, b_block, add, c, c_stride)
    if (blocks == BLOCKS)
        KX_EACH_ROWS_12(rows, TWO_BLOCKS)
    else
        KX_EACH_ROWS_12(rows, ONE_BLOCK)
}
