/* Packing: transposition of 4 x 4 blocks, and weights of every type to f32. */
#include "engine/kernels/arm64/arm64.h"
#include "engine/kernels/portable/portable.h"

#include <arm_neon.h>

enum { LANES = 4, WIDE = 8 };

/* Rows of 4 values become columns: pairs, then halves. */
static inline void transpose_4(float32x4_t rows[LANES])
{
    float32x4x2_t upper = vtrnq_f32(rows[0], rows[1]), lower = vtrnq_f32(rows[2], rows[3]);
    rows[0] = vcombine_f32(vget_low_f32(upper.val[0]), vget_low_f32(lower.val[0]));
    rows[1] = vcombine_f32(vget_low_f32(upper.val[1]), vget_low_f32(lower.val[1]));
    rows[2] = vcombine_f32(vget_high_f32(upper.val[0]), vget_high_f32(lower.val[0]));
    rows[3] = vcombine_f32(vget_high_f32(upper.val[1]), vget_high_f32(lower.val[1]));
}

void kx_transpose_neon(int64_t rows, int64_t depth, const float *x, int64_t x_stride, float *y,
                       int64_t y_stride)
{
    int64_t k = 0;
    for (; k + LANES <= depth; k += LANES) {
        float32x4_t block[LANES];
        for (int r = 0; r < LANES; r++)
            block[r] = r < rows ? vld1q_f32(x + r * x_stride + k) : vdupq_n_f32(0);
        transpose_4(block);
        for (int i = 0; i < LANES; i++) vst1q_f32(y + (k + i) * y_stride, block[i]);
    }
    for (; k < depth; k++)
        for (int r = 0; r < LANES; r++) y[k * y_stride + r] = r < rows ? x[r * x_stride + k] : 0;
}

typedef struct eight {
    float32x4_t low, high;
} eight;

static inline eight widen_f16(uint16x8_t bits)
{
    float16x8_t halves = vreinterpretq_f16_u16(bits);
    return (eight){vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
}

static inline eight widen_bf16(uint16x8_t bits)
{
    return (eight){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits), 16)),
                   vreinterpretq_f32_u32(vshll_high_n_u16(bits, 16))};
}

/* E5M2 is the upper half of an f16. */
static inline eight widen_e5m2(uint8x8_t bits)
{
    return widen_f16(vshll_n_u8(bits, 8));
}

/* The exponent and mantissa of E4M3 in the fields of an f16 are its value times 2^(7-15), also below the
 * normal range; only the NaN (all ones) has to be put in. */
static inline eight widen_e4m3(uint8x8_t bits)
{
    const uint16x8_t low = vdupq_n_u16(0x7f);
    uint16x8_t wide = vmovl_u8(bits), magnitude = vandq_u16(wide, low);
    uint16x8_t half = vorrq_u16(vshlq_n_u16(vbicq_u16(wide, low), 8), vshlq_n_u16(magnitude, 7));
    eight value = widen_f16(vbslq_u16(vceqq_u16(magnitude, low), vdupq_n_u16(0x7e00), half));
    return (eight){vmulq_n_f32(value.low, 256.0f), vmulq_n_f32(value.high, 256.0f)};
}

/* Eight values. Loaded as bytes: the address may be odd. */
static inline eight load_wide(kx_dtype dtype, const uint8_t *x)
{
    switch (dtype) {
    case KX_BF16:
        return widen_bf16(vreinterpretq_u16_u8(vld1q_u8(x)));
    case KX_F16:
        return widen_f16(vreinterpretq_u16_u8(vld1q_u8(x)));
    case KX_F8_E4M3:
        return widen_e4m3(vld1_u8(x));
    case KX_F8_E5M2:
        return widen_e5m2(vld1_u8(x));
    default:
        return (eight){vreinterpretq_f32_u8(vld1q_u8(x)), vreinterpretq_f32_u8(vld1q_u8(x + 16))};
    }
}

static inline __attribute__((always_inline)) void widen_loop(kx_dtype dtype, int64_t size, const uint8_t *x,
                                                             int64_t count, float scale, float *y)
{
    int64_t i = 0;
    for (; i + WIDE <= count; i += WIDE) {
        eight value = load_wide(dtype, x + i * size);
        vst1q_f32(y + i, vmulq_n_f32(value.low, scale));
        vst1q_f32(y + i + LANES, vmulq_n_f32(value.high, scale));
    }
    kx_widen_portable(dtype, x + i * size, count - i, scale, y + i);
}

void kx_widen_neon(kx_dtype dtype, const void *x, int64_t count, float scale, float *y)
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
