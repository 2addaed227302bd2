/* Element types. Names are those of safetensors headers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kx_dtype {
    KX_F32 = 0,
    KX_BF16,
    KX_F16,
    KX_F8_E4M3, /* bias 7, no infinity, NaN = S.1111.111, largest 448 */
    KX_F8_E5M2, /* bias 15, IEEE-like */
    KX_F64,
    KX_I8,
    KX_U8,
    KX_I16,
    KX_U16,
    KX_I32,
    KX_U32,
    KX_I64,
    KX_U64,
    KX_BOOL,
    KX_DTYPE_COUNT,
} kx_dtype;

size_t kx_dtype_bytes(kx_dtype dtype);
const char *kx_dtype_name(kx_dtype dtype); /* "F32", "BF16", ... */
bool kx_dtype_parse(const char *name, kx_dtype *dtype);
/* Types that weights may have: F32, BF16, F16, F8_E4M3, F8_E5M2. */
bool kx_dtype_is_weight(kx_dtype dtype);

/* The value of element `index` of an array of a weight type, exactly, as f32. */
float kx_dtype_get(kx_dtype dtype, const void *data, size_t index);

/* Round to nearest even. */
uint16_t kx_bf16_from_f32(float value);
float kx_bf16_to_f32(uint16_t bits);
float kx_f16_to_f32(uint16_t bits);
float kx_f8_e4m3_to_f32(uint8_t bits);
float kx_f8_e5m2_to_f32(uint8_t bits);
