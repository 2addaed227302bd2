/* Matrices and activations prepared for a product of lower precision, int8 or bf16.
 *
 * Both sides are cut along K into *planes* of 64 bytes (64 values of int8, 32 of bf16), and eight planes make
 * a *group*. In int8 a row of x has a scale for each group, and so has a row of W: the sum of a group is
 * exact in int32, and times both scales it is added to the f32 result, group after group. bf16 has no scales.
 * A last plane that is short is filled up with zeros. Groups of int8 hold rotated values: x and
 * W were multiplied with the same signs and Hadamard matrix (kx_driver_quantise_group), which leaves their
 * product as it is.
 *
 *     x (T,K)    [plane][row][64 bytes]             an operand (tensor.h, ops.h). int8: 128 is added to each
 *                                                   value, so a byte is 1 to 255, and 128 stands for 0
 *     W (N,K)    [N/16][plane][16][16][4 bytes]     rows of W, which are columns of y, in blocks of 16; for
 *                                                   each of the 16, four values of int8 or two of bf16 lie
 *                                                   together. N is filled up with zeros
 *
 * One layout serves every processor: a plane of a block is sixteen registers of 64 bytes for VNNI and bf16
 * dot products, and one tile for AMX; sixteen rows of a plane of x are a tile, wherever they begin.
 *
 * K may consist of two *parts* side by side (the second product of a single block takes attention and MLP
 * together). Each part begins with a plane and a group of its own, so that whoever produces the part of x can
 * scale it alone.
 */
#pragma once

#include "engine/tensor/dtype.h"

#include <kontext/kontext.h>

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
    const int32_t *sums; /* int8: the same: -128 times the sum of the group's weights, which takes back what
                            the 128 in x add; else NULL */
} kx_packed;

/* What W and x of a packed product are in a precision: KX_I8 and KX_U8, KX_BF16 both. KX_F32 where nothing is
 * packed (F32; AUTO). */
kx_dtype kx_packed_dtype(kx_precision precision);
kx_dtype kx_operand_dtype(kx_precision precision);
/* The precision that a W of this type is packed for; F32 for the types of weights in files. */
kx_precision kx_precision_of(kx_dtype packed);

/* Values of a plane and of a group of a KX_I8, KX_U8 or KX_BF16 matrix. */
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

/* Bytes of the three arrays of a matrix (rows, cols); 0 for those that bf16 does not have. */
typedef struct kx_packed_bytes {
    size_t data, scales, sums;
} kx_packed_bytes;
kx_packed_bytes kx_packed_size(kx_dtype dtype, int64_t rows, int64_t cols, int64_t split);
