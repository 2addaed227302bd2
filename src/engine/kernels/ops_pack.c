/* Packing a matrix for products of lower precision (layout: tensor/packed.h).
 *
 * A chunk is one block of 16 rows of W. Each row is widened to f32 and each of its groups quantised (or
 * rounded) as a row of activations is; then its 4-byte pieces (four values of int8, two of bf16) go to their
 * places, 64 bytes apart.
 */
#include "engine/kernels/driver.h"

typedef struct pack_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_weight *weight;
    const kx_packed *packed;
    int64_t planes, groups;
    uint8_t *scratch; /* of each worker: a row of f32 (cols), then a group's planes */
    int64_t piece;
} pack_work;

enum { GROUP_BYTES = KX_GROUP_PLANES * KX_PLANE_BYTES, PIECES = KX_PLANE_BYTES / 4 };

/* The planes of one row's group, 4 bytes each 64 bytes: `to` is the row's place in the first of them. */
static void scatter(const uint8_t *group, int64_t planes, uint32_t flip, uint8_t *to)
{
    for (int64_t i = 0; i < planes * PIECES; i++) {
        uint32_t piece;
        memcpy(&piece, group + 4 * i, sizeof piece);
        piece ^= flip;
        memcpy(to + i * KX_PLANE_BYTES, &piece, sizeof piece);
    }
}

/* -128 times the sum of a group of int8 with 128 added. */
static int32_t offset_sum(const uint8_t *group, int64_t planes)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < planes * KX_PLANE_BYTES; i++) sum += group[i] - KX_OPERAND_OFFSET;
    return -KX_OPERAND_OFFSET * sum;
}

static void pack_row(const pack_work *work, int64_t row, float *wide, uint8_t *group)
{
    const kx_packed *packed = work->packed;
    const kx_kernels *kernels = work->kernels;
    kx_dtype dtype;
    float scale;
    const void *from = kx_weight_row(work->weight, row, &dtype, &scale);
    kernels->widen(dtype, from, packed->cols, scale, wide);
    int64_t block_bytes = work->planes * KX_PACKED_COLUMNS * KX_PLANE_BYTES,
            padded = kx_packed_rows(packed->rows);
    uint8_t *block = (uint8_t *)(uintptr_t)packed->data + row / KX_PACKED_COLUMNS * block_bytes;
    for (int64_t g = 0; g < work->groups; g++) {
        kx_packed_group at = kx_packed_group_at(packed->dtype, packed->cols, packed->split, g);
        uint8_t *to = block + at.plane * KX_PACKED_COLUMNS * KX_PLANE_BYTES + row % KX_PACKED_COLUMNS * 4;
        if (packed->dtype == KX_I8) {
            float *scales = (float *)(uintptr_t)packed->scales + g * padded;
            int32_t *sums = (int32_t *)(uintptr_t)packed->sums + g * padded;
            kernels->quantise(at.cols, wide + at.col, group, KX_PLANE_BYTES, &scales[row]);
            sums[row] = offset_sum(group, at.planes);
            scatter(group, at.planes, 0x80808080u, to); /* x - 128 as a signed byte */
        } else {
            kernels->narrow(at.cols, wide + at.col, (uint16_t *)(void *)group, KX_PLANE_BYTES);
            scatter(group, at.planes, 0, to);
        }
    }
}

/* A column that pads the last block: zeros, so that it never matters. */
static void pack_nothing(const pack_work *work, int64_t row, uint8_t *group)
{
    const kx_packed *packed = work->packed;
    int64_t block_bytes = work->planes * KX_PACKED_COLUMNS * KX_PLANE_BYTES,
            padded = kx_packed_rows(packed->rows);
    uint8_t *block = (uint8_t *)(uintptr_t)packed->data + row / KX_PACKED_COLUMNS * block_bytes;
    memset(group, 0, GROUP_BYTES);
    for (int64_t p = 0; p < work->planes; p++)
        scatter(group, 1, 0, block + p * KX_PACKED_COLUMNS * KX_PLANE_BYTES + row % KX_PACKED_COLUMNS * 4);
    if (packed->dtype != KX_I8) return;
    for (int64_t g = 0; g < work->groups; g++) {
        ((float *)(uintptr_t)packed->scales)[g * padded + row] = 0;
        ((int32_t *)(uintptr_t)packed->sums)[g * padded + row] = 0;
    }
}

static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    pack_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    float *wide = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    uint8_t *group = (uint8_t *)(wide + work->packed->cols);
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
        int64_t row = (int64_t)chunk * KX_PACKED_COLUMNS + n;
        if (row < work->packed->rows)
            pack_row(work, row, wide, group);
        else
            pack_nothing(work, row, group);
    }
}

void kx_op_pack(kx_ops *ops, const kx_weight *weight, const kx_packed *packed)
{
    assert(kx_weight_rows(weight) == packed->rows && kx_weight_cols(weight) == packed->cols);
    assert(packed->dtype == KX_I8 || packed->dtype == KX_BF16);
    if (kx_driver_failed(ops)) return;
    kx_scratch_mark mark = kx_ops_mark(ops);
    pack_work work = {.guard = {.ops = ops},
                      .kernels = ops->kernels,
                      .weight = weight,
                      .packed = packed,
                      .planes = kx_packed_planes(packed->dtype, packed->cols, packed->split),
                      .groups = kx_packed_groups(packed->dtype, packed->cols, packed->split)};
    work.piece = kx_driver_piece(packed->cols * (int64_t)sizeof(float) + GROUP_BYTES);
    work.scratch = kx_driver_take_workers(ops, "pack: rows of the workers", work.piece);
    if (!kx_ops_idle(ops))
        kx_guard_run(&work.guard, kx_packed_rows(packed->rows) / KX_PACKED_COLUMNS, pack_chunk, &work);
    kx_ops_release(ops, mark);
}
