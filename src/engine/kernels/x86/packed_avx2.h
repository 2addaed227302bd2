/* The int8 tile over registers of eight columns, included by the files of AVX2 and of AVX-VNNI, which define
 * how a step is summed:
 *
 *     STEP_LEFT_BYTES     of a value of the operand, as the tile reads it
 *     step_state          what the loop carries for eight columns of a row
 *     step_zero()         its start
 *     step_left(a)        four values of the operand, broadcast
 *     step_right(b)       32 bytes of the matrix
 *     step_add(s, l, r)   one step of four values of K
 *     step_sums(s)        the eight sums
 */
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 6, HALF = 8, QUADS = KX_PLANE_BYTES / 4 };

/* Eight columns of a block for `rows` rows; `b` is the block, or its second half. A plane of a row has
 * STEP_LEFT_BYTES * KX_PLANE_BYTES bytes, and `a_plane` is the distance of planes. */
static inline __attribute__((always_inline)) void
half_tile(int rows, int64_t planes, const uint8_t *a, int64_t a_plane, const int8_t *b, const float *a_scale,
          const float *b_scale, const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    step_state sums[ROWS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) sums[r] = step_zero();
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int quad = 0; quad < QUADS; quad++, b += KX_PLANE_BYTES) {
            step_right_value right = step_right(b);
            KX_UNROLL
            for (int r = 0; r < rows; r++)
                sums[r] = step_add(sums[r], step_left(a + STEP_LEFT_BYTES * (r * KX_PLANE_BYTES + 4 * quad)),
                                   right);
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) {
        __m256i sum =
            _mm256_add_epi32(step_sums(sums[r]), _mm256_loadu_si256((const __m256i *)(const void *)b_sum));
        __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(b_scale));
        value = _mm256_mul_ps(value, _mm256_set1_ps(a_scale[r]));
        float *to = c + r * c_stride;
        _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), value) : value);
    }
}

/* One block of columns. */
static inline __attribute__((always_inline)) void tile_i8(int64_t rows, int64_t planes, const uint8_t *a,
                                                          int64_t a_plane, const int8_t *b,
                                                          const float *a_scale, const float *b_scale,
                                                          const int32_t *b_sum, bool add, float *c,
                                                          int64_t c_stride)
{
    for (int half = 0; half < 2; half++, b += 32, b_scale += HALF, b_sum += HALF, c += HALF) {
#define TILE(R) half_tile(R, planes, a, a_plane, b, a_scale, b_scale, b_sum, add, c, c_stride)
        KX_EACH_ROWS_6(rows, TILE)
#undef TILE
    }
}
