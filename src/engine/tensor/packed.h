/* Matrices and activations prepared for a product of lower precision.
 *
 * Both sides are cut along K into *planes* of 64 bytes (64 values of int8, 32 of bf16) and eight planes make
 * a *group*. The sum of a group is exact in int8 (int32), and is added to the f32 result with the scale of
 * the activations' row times that of the weights' column, group after group. What is short is filled with
 * zeros.
 *
 *     activations   [plane][row][64 bytes]             an operand tensor (ops.h); int8 is stored with 128
 * added weights       [N/16][plane][16][16 x 4 bytes]    columns of y in blocks of 16; four values of K
 * together
 *
 * One layout serves every processor: a block is sixteen 64-byte rows for VNNI and bf16 dot products, and one
 * tile for AMX; activations are AMX tiles at any row.
 *
 * A matrix may consist of two *parts* side by side (the second product of a single block takes attention and
 * MLP together). Each part begins with a plane and a group of its own, so that whoever produces the part of
 * the activations can scale it alone.
 */
#pragma once

#include "engine/tensor/dtype.h"

enum {
    KX_PLANE_BYTES = 64,
    KX_GROUP_PLANES = 8,
    KX_PACKED_COLUMNS = 16,  /* of y in a block */
    KX_OPERAND_OFFSET = 128, /* added to int8 activations, so that they are unsigned */
};

typedef struct kx_packed {
    kx_dtype dtype;      /* KX_I8 or KX_BF16 */
    int64_t rows, cols;  /* N, K */
    int64_t split;       /* columns of the first part; 0: there is one part */
    const void *data;    /* N rounded up to blocks */
    const float *scales; /* int8: [group][N rounded up]; else NULL */
    const int32_t
        *sums; /* int8: [group][N rounded up]: -128 times the sum of the group's weights; else NULL */
} kx_packed;

/* Values of a plane and of a group. */
static inline int64_t kx_plane_values(kx_dtype dtype)
{
    return KX_PLANE_BYTES / (int64_t)kx_dtype_bytes(dtype);
}

static inline int64_t kx_group_values(kx_dtype dtype)
{
    return KX_GROUP_PLANES * kx_plane_values(dtype);
}

/* Planes and groups of `cols` columns that lie in one part. */
static inline int64_t kx_planes_of(kx_dtype dtype, int64_t cols)
{
    return (cols + kx_plane_values(dtype) - 1) / kx_plane_values(dtype);
}

static inline int64_t kx_groups_of(kx_dtype dtype, int64_t cols)
{
    return (cols + kx_group_values(dtype) - 1) / kx_group_values(dtype);
}

/* The same for K columns whose first part has `split` of them. */
static inline int64_t kx_packed_planes(kx_dtype dtype, int64_t cols, int64_t split)
{
    return kx_planes_of(dtype, split) + kx_planes_of(dtype, cols - split);
}

static inline int64_t kx_packed_groups(kx_dtype dtype, int64_t cols, int64_t split)
{
    return kx_groups_of(dtype, split) + kx_groups_of(dtype, cols - split);
}

/* N rounded up to whole blocks. */
static inline int64_t kx_packed_rows(int64_t rows)
{
    return (rows + KX_PACKED_COLUMNS - 1) / KX_PACKED_COLUMNS * KX_PACKED_COLUMNS;
}

/* Where a group lies: its first plane, its first column and how many columns it has. */
typedef struct kx_packed_group {
    int64_t plane, planes;
    int64_t col, cols;
} kx_packed_group;
kx_packed_group kx_packed_group_at(kx_dtype dtype, int64_t cols, int64_t split, int64_t group);

/* Bytes of the three arrays of a matrix (rows, cols). */
typedef struct kx_packed_bytes {
    size_t data, scales, sums;
} kx_packed_bytes;
kx_packed_bytes kx_packed_size(kx_dtype dtype, int64_t rows, int64_t cols, int64_t split);
