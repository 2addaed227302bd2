#include "engine/tensor/packed.h"

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
