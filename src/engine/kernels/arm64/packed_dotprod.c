/* int8 products by SDOT: 8 rows x 8 columns in 16 registers of sums. Four values of K lie together in both
 * operands, as the instruction wants them; a row's sixteen values stay in one register, of which it picks
 * four.
 */
#include "engine/kernels/arm64/arm64.h"
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"

#include <arm_neon.h>

enum { ROWS = 8, VECTORS = 2, HALF = KX_PACKED_COLUMNS / 2 };

/* One step of four values of K. A macro, since the lane has to be a literal. */
#define STEP(lane)                                                                                           \
    do {                                                                                                     \
        KX_UNROLL                                                                                            \
        for (int v = 0; v < VECTORS; v++) {                                                                  \
            int8x16_t right = vld1q_s8(b + 16 * v);                                                          \
            KX_UNROLL                                                                                        \
            for (int r = 0; r < rows; r++) sums[r][v] = vdotq_laneq_s32(sums[r][v], right, left[r], lane);   \
        }                                                                                                    \
        b += KX_PLANE_BYTES;                                                                                 \
    } while (0)

static inline __attribute__((always_inline)) void half_i8(int rows, int64_t planes, const uint8_t *a,
                                                          int64_t a_plane, const int8_t *b,
                                                          const float *a_scale, const float *b_scale,
                                                          bool add, float *c, int64_t c_stride)
{
    int32x4_t sums[ROWS][VECTORS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < VECTORS; v++) sums[r][v] = vdupq_n_s32(0);
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int part = 0; part < KX_PLANE_BYTES; part += 16) {
            int8x16_t left[ROWS];
            KX_UNROLL
            for (int r = 0; r < rows; r++)
                left[r] = vreinterpretq_s8_u8(
                    veorq_u8(vld1q_u8(a + r * KX_PLANE_BYTES + part), vdupq_n_u8(KX_OPERAND_OFFSET)));
            STEP(0);
            STEP(1);
            STEP(2);
            STEP(3);
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        float32x4_t value = vmulq_f32(vcvtq_f32_s32(sums[r][v]), vld1q_f32(b_scale + 4 * v));
        value = vmulq_n_f32(value, a_scale[r]);
        float *to = c + r * c_stride + 4 * v;
        vst1q_f32(to, add ? vaddq_f32(vld1q_f32(to), value) : value);
    }
}

void kx_tile_i8_dotprod(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                        const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                        const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
    (void)b_sum; /* the operand is taken as signed */
#define TILE(R) half_i8(R, planes, a, a_plane, b, a_scale, b_scale, add, c, c_stride)
    for (int half = 0; half < 2; half++, b += KX_PLANE_BYTES / 2, b_scale += HALF, c += HALF)
        KX_EACH_ROWS_8(rows, TILE)
}
