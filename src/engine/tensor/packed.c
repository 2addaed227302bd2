#include "engine/tensor/packed.h"

/* What there is of each precision. */
static const struct {
    const char *name;
    kx_dtype packed, operand;
} precision_rows[] = {
    [KX_PRECISION_AUTO] = {"auto", KX_F32, KX_F32},
    [KX_PRECISION_F32] = {"f32", KX_F32, KX_F32},
    [KX_PRECISION_BF16] = {"bf16", KX_BF16, KX_BF16},
    [KX_PRECISION_INT8] = {"int8", KX_I8, KX_U8},
};

const char *kx_precision_name(kx_precision precision)
{
    bool known = (size_t)precision < sizeof precision_rows / sizeof precision_rows[0];
    return known ? precision_rows[precision].name : "unknown";
}

kx_dtype kx_packed_dtype(kx_precision precision)
{
    return precision_rows[precision].packed;
}

kx_dtype kx_operand_dtype(kx_precision precision)
{
    return precision_rows[precision].operand;
}

kx_precision kx_precision_of(kx_dtype packed)
{
    if (packed == KX_I8) return KX_PRECISION_INT8;
    return packed == KX_BF16 ? KX_PRECISION_BF16 : KX_PRECISION_F32;
}

kx_packed_group kx_packed_group_at(kx_dtype dtype, int64_t cols, int64_t split, int64_t group)
{
    int64_t first_groups = kx_groups_of(dtype, split), values = kx_group_values(dtype);
    bool second = group >= first_groups;
    int64_t part_cols = second ? cols - split : split, within = second ? group - first_groups : group;
    int64_t left = part_cols - within * values;
    int64_t count = left < values ? left : values;
    return (kx_packed_group){
        .plane = (second ? kx_planes_of(dtype, split) : 0) + within * KX_GROUP_PLANES,
        .planes = kx_planes_of(dtype, count),
        .col = (second ? split : 0) + within * values,
        .cols = count,
    };
}

kx_packed_bytes kx_packed_size(kx_dtype dtype, int64_t rows, int64_t cols, int64_t split)
{
    size_t padded = (size_t)kx_packed_rows(rows);
    size_t entries = dtype == KX_I8 ? (size_t)kx_packed_groups(dtype, cols, split) * padded : 0;
    return (kx_packed_bytes){
        .data = padded * (size_t)kx_packed_planes(dtype, cols, split) * KX_PLANE_BYTES,
        .scales = entries * sizeof(float),
        .sums = entries * sizeof(int32_t),
    };
}
