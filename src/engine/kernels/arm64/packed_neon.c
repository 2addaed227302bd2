/* Packed products and operands by plain NEON. int8: two products at a time are added in 16 bits, which no two
 * of them leave (2 x 128 x 127), then in pairs to 32 bits, so a column has two sums. bf16: widened to f32 in
 * registers. Half a block of columns at a time. */
#include "engine/kernels/arm64/arm64.h"
#include "engine/kernels/arm64/lanes_neon.h"
#include "engine/kernels/each_rows.h"
#include "engine/kernels/unroll.h"

#include <math.h>
#include <string.h>

enum { I8_ROWS = 3, BF16_ROWS = 6, VECTORS = 2, QUADS = KX_PLANE_BYTES / 4, HALF = KX_PACKED_COLUMNS / 2 };

/* Four bytes of an operand row, signed, twice. */
static inline int8x8_t broadcast_quad(const uint8_t *a)
{
    uint32_t quad;
    memcpy(&quad, a, sizeof quad);
    return vreinterpret_s8_u32(vdup_n_u32(quad ^ 0x80808080u));
}

static inline __attribute__((always_inline)) void half_i8(int rows, int64_t planes, const uint8_t *a,
                                                          int64_t a_plane, const int8_t *b,
                                                          const float *a_scale, const float *b_scale,
                                                          bool add, float *c, int64_t c_stride)
{
    int32x4_t sums[I8_ROWS][VECTORS][2];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < VECTORS; v++) sums[r][v][0] = sums[r][v][1] = vdupq_n_s32(0);
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int quad = 0; quad < QUADS; quad += 2, b += 2 * KX_PLANE_BYTES) {
            int8x16_t right[VECTORS][2];
            KX_UNROLL
            for (int v = 0; v < VECTORS; v++) {
                right[v][0] = vld1q_s8(b + 16 * v);
                right[v][1] = vld1q_s8(b + 16 * v + KX_PLANE_BYTES);
            }
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                const uint8_t *from = a + r * KX_PLANE_BYTES + 4 * quad;
                int8x8_t first = broadcast_quad(from), second = broadcast_quad(from + 4);
                KX_UNROLL
                for (int v = 0; v < VECTORS; v++) {
                    int16x8_t low = vmull_s8(vget_low_s8(right[v][0]), first);
                    int16x8_t high = vmull_s8(vget_high_s8(right[v][0]), first);
                    low = vmlal_s8(low, vget_low_s8(right[v][1]), second);
                    high = vmlal_s8(high, vget_high_s8(right[v][1]), second);
                    sums[r][v][0] = vpadalq_s16(sums[r][v][0], low);
                    sums[r][v][1] = vpadalq_s16(sums[r][v][1], high);
                }
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        int32x4_t whole = vpaddq_s32(sums[r][v][0], sums[r][v][1]);
        float32x4_t value = vmulq_f32(vcvtq_f32_s32(whole), vld1q_f32(b_scale + 4 * v));
        value = vmulq_n_f32(value, a_scale[r]);
        float *to = c + r * c_stride + 4 * v;
        vst1q_f32(to, add ? vaddq_f32(vld1q_f32(to), value) : value);
    }
}

void kx_tile_i8_neon(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                     const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                     const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
    (void)b_sum; /* the operand is taken as signed */
    for (int half = 0; half < 2; half++, b += KX_PLANE_BYTES / 2, b_scale += HALF, c += HALF) {
#define TILE(R) half_i8(R, planes, a, a_plane, b, a_scale, b_scale, add, c, c_stride)
        KX_EACH_ROWS_3(rows, TILE)
#undef TILE
    }
}

/* The second values of four pairs as f32; the first ones. */
static inline float32x4_t odd_of(uint8x16_t pairs)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u8(pairs), vdupq_n_u32(0xffff0000u)));
}

static inline float32x4_t even_of(uint8x16_t pairs)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u8(pairs), 16));
}

static inline __attribute__((always_inline)) void half_bf16(int rows, int64_t planes, const uint8_t *a,
                                                            int64_t a_plane, const uint8_t *b, bool add,
                                                            float *c, int64_t c_stride)
{
    float32x4_t sums[BF16_ROWS][VECTORS];
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < VECTORS; v++) sums[r][v] = vdupq_n_f32(0);
    for (int64_t p = 0; p < planes; p++, a += a_plane)
        for (int quad = 0; quad < KX_PLANE_BYTES; quad += 16) {
            float32x4_t odd[BF16_ROWS], even[BF16_ROWS];
            KX_UNROLL
            for (int r = 0; r < rows; r++) {
                uint8x16_t left = vld1q_u8(a + r * KX_PLANE_BYTES + quad);
                odd[r] = odd_of(left);
                even[r] = even_of(left);
            }
            KX_UNROLL
            for (int step = 0; step < 4; step++) {
                KX_UNROLL
                for (int v = 0; v < VECTORS; v++) {
                    uint8x16_t right = vld1q_u8(b + 16 * v);
                    KX_UNROLL
                    for (int r = 0; r < rows; r++) {
                        sums[r][v] = vfmaq_n_f32(sums[r][v], odd_of(right), odd[r][step]);
                        sums[r][v] = vfmaq_n_f32(sums[r][v], even_of(right), even[r][step]);
                    }
                }
                b += KX_PLANE_BYTES;
            }
        }
    KX_UNROLL
    for (int r = 0; r < rows; r++) KX_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        float *to = c + r * c_stride + 4 * v;
        vst1q_f32(to, add ? vaddq_f32(vld1q_f32(to), sums[r][v]) : sums[r][v]);
    }
}

void kx_tile_bf16_neon(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                       const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    (void)blocks;
    (void)b_block;
    const uint8_t *left = (const uint8_t *)a, *right = (const uint8_t *)b;
    for (int half = 0; half < 2; half++, right += KX_PLANE_BYTES / 2, c += HALF) {
#define TILE(R) half_bf16(R, planes, left, a_plane, right, add, c, c_stride)
        KX_EACH_ROWS_6(rows, TILE)
#undef TILE
    }
}

/* Values i.. of x (n), zeros behind its end. */
static inline float32x4_t values_at(int64_t n, const float *x, int64_t i)
{
    if (i + LANES <= n) return lanes_load(x + i);
    return i < n ? lanes_load_some(x + i, n - i, 0) : lanes_set(0);
}

static inline uint16x4_t quantised(float32x4_t x, float factor)
{
    int32x4_t whole = vaddq_s32(vcvtnq_s32_f32(vmulq_n_f32(x, factor)), vdupq_n_s32(KX_OPERAND_OFFSET));
    return vqmovun_s32(whole);
}

void kx_quantise_neon(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale)
{
    uint32x4_t most_bits = vdupq_n_u32(0);
    for (int64_t i = 0; i < n; i += LANES)
        most_bits = vmaxq_u32(most_bits, vreinterpretq_u32_f32(vabsq_f32(values_at(n, x, i))));
    uint32_t top = vmaxvq_u32(most_bits);
    bool finite = top < 0x7f800000;
    float most;
    memcpy(&most, &top, sizeof most);
    if (most < KX_QUANTISE_LEAST) most = 0;
    float factor = most > 0 && finite ? 127.0f / most : 0;
    int64_t known = finite ? n : 0; /* else zeros alone */
    for (int64_t i = 0; i < n; i += KX_PLANE_BYTES, y += y_plane)
        for (int64_t part = 0; part < KX_PLANE_BYTES; part += 2 * LANES) {
            uint16x4_t low = quantised(values_at(known, x, i + part), factor);
            uint16x4_t high = quantised(values_at(known, x, i + part + LANES), factor);
            vst1_u8(y + part, vqmovn_u16(vcombine_u16(low, high)));
        }
    *scale = finite ? most / 127.0f : NAN;
}

static inline uint16x4_t narrowed(float32x4_t value)
{
    uint32x4_t bits = vreinterpretq_u32_f32(value);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(value, value), rounded, quiet), 16);
}

void kx_narrow_neon(int64_t n, const float *x, uint16_t *y, int64_t y_plane)
{
    enum { VALUES = KX_PLANE_BYTES / 2 };
    uint8_t *plane = (uint8_t *)y;
    for (int64_t i = 0; i < n; i += VALUES, plane += y_plane)
        for (int64_t part = 0; part < VALUES; part += LANES)
            vst1_u16((uint16_t *)(void *)plane + part, narrowed(values_at(n, x, i + part)));
}
