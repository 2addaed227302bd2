/* Packed products by the matrix instructions: USMMLA multiplies 2 rows of eight bytes with 2 columns of
 * eight, BFMMLA the same with four bf16, and both add to a register of 2 x 2 sums; 8 rows x 8 columns are
 * sixteen such registers. The operand's eight bytes of two rows are loaded beside each other; a column's lie
 * in two lines of the matrix, four in each, and a zip brings them together. A row without a neighbour is
 * paired with itself.
 */
#include "engine/kernels/arm64/arm64.h"
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"

#include <arm_neon.h>

enum { PAIRS = 4, COLUMN_PAIRS = 4, HALF = KX_PACKED_COLUMNS / 2 };

/* Eight bytes of rows `r` and r + 1, r < rows. */
static inline __attribute__((always_inline)) uint8x16_t left_of(int rows, int r, const uint8_t *a)
{
    const uint8_t *first = a + r * KX_PLANE_BYTES, *second = r + 1 < rows ? first + KX_PLANE_BYTES : first;
    return vcombine_u8(vld1_u8(first), vld1_u8(second));
}

/* Two lines of the matrix, eight columns -> column pairs of eight bytes each. */
static inline __attribute__((always_inline)) void right_of(const uint8_t *b, uint8x16_t right[COLUMN_PAIRS])
{
    KX_UNROLL
    for (int v = 0; v < 2; v++) {
        uint32x4_t upper = vreinterpretq_u32_u8(vld1q_u8(b + 16 * v));
        uint32x4_t lower = vreinterpretq_u32_u8(vld1q_u8(b + 16 * v + KX_PLANE_BYTES));
        right[2 * v] = vreinterpretq_u8_u32(vzip1q_u32(upper, lower));
        right[2 * v + 1] = vreinterpretq_u8_u32(vzip2q_u32(upper, lower));
    }
}

static inline void put(float32x4_t value, bool add, float *to)
{
    vst1q_f32(to, add ? vaddq_f32(vld1q_f32(to), value) : value);
}

static inline __attribute__((always_inline)) void
half_i8(int rows, int64_t planes, const uint8_t *a, int64_t a_plane, const uint8_t *b, const float *a_scale,
        const float *b_scale, const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    int32x4_t sums[PAIRS][COLUMN_PAIRS];
    KX_UNROLL
    for (int r = 0; r < rows; r += 2) KX_UNROLL
    for (int q = 0; q < COLUMN_PAIRS; q++) {
        int32x2_t start = vld1_s32(b_sum + 2 * q);
        sums[r / 2][q] = vcombine_s32(start, start);
    }
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int part = 0; part < KX_PLANE_BYTES; part += 8, b += 2 * KX_PLANE_BYTES) {
            uint8x16_t right[COLUMN_PAIRS];
            right_of(b, right);
            KX_UNROLL
            for (int r = 0; r < rows; r += 2) {
                uint8x16_t left = left_of(rows, r, a + part);
                KX_UNROLL
                for (int q = 0; q < COLUMN_PAIRS; q++)
                    sums[r / 2][q] = vusmmlaq_s32(sums[r / 2][q], left, vreinterpretq_s8_u8(right[q]));
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < 2; v++) {
        int32x4_t one = sums[r / 2][2 * v], other = sums[r / 2][2 * v + 1];
        int32x4_t whole = r % 2 == 0 ? vcombine_s32(vget_low_s32(one), vget_low_s32(other))
                                     : vcombine_s32(vget_high_s32(one), vget_high_s32(other));
        float32x4_t value = vmulq_f32(vcvtq_f32_s32(whole), vld1q_f32(b_scale + 4 * v));
        put(vmulq_n_f32(value, a_scale[r]), add, c + r * c_stride + 4 * v);
    }
}

static inline __attribute__((always_inline)) void half_bf16(int rows, int64_t planes, const uint8_t *a,
                                                            int64_t a_plane, const uint8_t *b, bool add,
                                                            float *c, int64_t c_stride)
{
    float32x4_t sums[PAIRS][COLUMN_PAIRS];
    KX_UNROLL
    for (int r = 0; r < rows; r += 2) KX_UNROLL
    for (int q = 0; q < COLUMN_PAIRS; q++) sums[r / 2][q] = vdupq_n_f32(0);
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int part = 0; part < KX_PLANE_BYTES; part += 8, b += 2 * KX_PLANE_BYTES) {
            uint8x16_t right[COLUMN_PAIRS];
            right_of(b, right);
            KX_UNROLL
            for (int r = 0; r < rows; r += 2) {
                bfloat16x8_t left = vreinterpretq_bf16_u8(left_of(rows, r, a + part));
                KX_UNROLL
                for (int q = 0; q < COLUMN_PAIRS; q++)
                    sums[r / 2][q] = vbfmmlaq_f32(sums[r / 2][q], left, vreinterpretq_bf16_u8(right[q]));
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < 2; v++) {
        float32x4_t one = sums[r / 2][2 * v], other = sums[r / 2][2 * v + 1];
        put(r % 2 == 0 ? vcombine_f32(vget_low_f32(one), vget_low_f32(other))
                       : vcombine_f32(vget_high_f32(one), vget_high_f32(other)),
            add, c + r * c_stride + 4 * v);
    }
}

void kx_tile_i8_i8mm(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                     const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                     const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
    const uint8_t *right = (const uint8_t *)b;
#define TILE_I8(R) half_i8(R, planes, a, a_plane, right, a_scale, b_scale, b_sum, add, c, c_stride)
    for (int half = 0; half < 2; half++) {
        KX_EACH_ROWS_8(rows, TILE_I8)
        right += KX_PLANE_BYTES / 2, b_scale += HALF, b_sum += HALF, c += HALF;
    }
}

void kx_tile_bf16_i8mm(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                       const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
    const uint8_t *left = (const uint8_t *)a, *right = (const uint8_t *)b;
#define TILE_BF16(R) half_bf16(R, planes, left, a_plane, right, add, c, c_stride)
    for (int half = 0; half < 2; half++) {
        KX_EACH_ROWS_8(rows, TILE_BF16)
        right += KX_PLANE_BYTES / 2, c += HALF;
    }
}
