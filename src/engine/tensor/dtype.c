#include "engine/tensor/dtype.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtype_rows[KX_DTYPE_COUNT] = {
    [KX_F32] = {"F32", 4},         [KX_BF16] = {"BF16", 2}, [KX_F16] = {"F16", 2}, [KX_F8_E4M3] = {"F8_E4M3", 1},
    [KX_F8_E5M2] = {"F8_E5M2", 1}, [KX_F64] = {"F64", 8},   [KX_I8] = {"I8", 1},   [KX_U8] = {"U8", 1},
    [KX_I16] = {"I16", 2},         [KX_U16] = {"U16", 2},   [KX_I32] = {"I32", 4}, [KX_U32] = {"U32", 4},
    [KX_I64] = {"I64", 8},         [KX_U64] = {"U64", 8},   [KX_BOOL] = {"BOOL", 1},
};

size_t kx_dtype_bytes(kx_dtype dtype)
{
    return dtype_rows[dtype].bytes;
}

const char *kx_dtype_name(kx_dtype dtype)
{
    return dtype_rows[dtype].name;
}

bool kx_dtype_parse(const char *name, kx_dtype *dtype)
{
    for (int i = 0; i < KX_DTYPE_COUNT; i++) {
        if (strcmp(dtype_rows[i].name, name) != 0) continue;
        *dtype = (kx_dtype)i;
        return true;
    }
    return false;
}

bool kx_dtype_is_weight(kx_dtype dtype)
{
    return dtype == KX_F32 || dtype == KX_BF16 || dtype == KX_F16 || dtype == KX_F8_E4M3 || dtype == KX_F8_E5M2;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t kx_bf16_from_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u); /* stays a NaN */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float kx_bf16_to_f32(uint16_t bits)
{
    return float_of_bits((uint32_t)bits << 16);
}

/* A small binary float with `mantissa` bits below an exponent field of `exponent` bits. `finite_top`: the top
 * exponent holds numbers too, except for the all-ones pattern, which is the NaN (E4M3FN). */
static float small_float(uint32_t bits, int exponent, int mantissa, bool finite_top)
{
    int bias = (1 << (exponent - 1)) - 1;
    uint32_t sign = bits >> (exponent + mantissa) & 1u;
    int e = (int)(bits >> mantissa & ((1u << exponent) - 1u));
    uint32_t m = bits & ((1u << mantissa) - 1u);
    int top = (1 << exponent) - 1;
    float value;
    if (finite_top && e == top && m == (1u << mantissa) - 1u) {
        value = NAN;
    } else if (!finite_top && e == top) {
        value = m == 0 ? INFINITY : NAN;
    } else if (e == 0) {
        value = ldexpf((float)m, 1 - bias - mantissa);
    } else {
        value = ldexpf((float)(m | 1u << mantissa), e - bias - mantissa);
    }
    return sign ? -value : value;
}

float kx_f16_to_f32(uint16_t bits)
{
    return small_float(bits, 5, 10, false);
}

float kx_f8_e4m3_to_f32(uint8_t bits)
{
    return small_float(bits, 4, 3, true);
}

float kx_f8_e5m2_to_f32(uint8_t bits)
{
    return small_float(bits, 5, 2, false);
}

static uint16_t read_u16(const void *data, size_t index)
{
    uint16_t bits;
    memcpy(&bits, (const uint8_t *)data + 2 * index, sizeof bits);
    return bits;
}

float kx_dtype_get(kx_dtype dtype, const void *data, size_t index)
{
    float value;
    switch (dtype) {
    case KX_BF16:
        return kx_bf16_to_f32(read_u16(data, index));
    case KX_F16:
        return kx_f16_to_f32(read_u16(data, index));
    case KX_F8_E4M3:
        return kx_f8_e4m3_to_f32(((const uint8_t *)data)[index]);
    case KX_F8_E5M2:
        return kx_f8_e5m2_to_f32(((const uint8_t *)data)[index]);
    case KX_F32:
        memcpy(&value, (const uint8_t *)data + 4 * index, sizeof value);
        return value;
    default:
        return NAN;
    }
}
