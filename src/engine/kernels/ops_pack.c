/* Packing a matrix for products of lower precision (layout: tensor/packed.h).
 *
 * A chunk is one block of 16 rows of W. Group after group, each of them is widened to f32 and quantised (or
 * rounded) as a row of activations is; then the sixteen are joined to columns of the block.
 *
 *     worker: a row's group in f32 | the planes of the sixteen, one row after the other
 */
#include "engine/kernels/driver.h"

enum { PIECES = KX_PLANE_BYTES / 4, BLOCK_PLANE = KX_PACKED_COLUMNS * KX_PLANE_BYTES };

typedef struct pack_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_weight *weight;
    const kx_packed *packed;
    float *scales; /* packed->scales and sums, to be written */
    int32_t *sums;
    uint8_t *scratch;
    int64_t piece;
} pack_work;

int32_t kx_driver_make_signed(int64_t n, uint8_t *bytes)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        bytes[i] ^= KX_OPERAND_OFFSET;
        sum += (int8_t)bytes[i];
    }
    return sum;
}

void kx_driver_join_columns(const kx_kernels *kernels, int64_t planes, const uint8_t *columns, uint8_t *block)
{
    /* Pieces of four bytes change places as floats would. */
    int64_t pieces = planes * PIECES;
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n += kernels->lanes)
        kernels->transpose(kernels->lanes, pieces,
                           (const float *)(const void *)(columns + n * planes * KX_PLANE_BYTES), pieces,
                           (float *)(void *)block + n, KX_PACKED_COLUMNS);
}

static int64_t wide_bytes(kx_dtype dtype)
{
    return kx_group_values(dtype) * (int64_t)sizeof(float);
}

/* One group of a row -> its planes, and for int8 its scale and sum. */
static void pack_row(const pack_work *work, int64_t row, int64_t group, const kx_packed_group *at,
                     float *wide, uint8_t *to)
{
    const kx_packed *packed = work->packed;
    kx_dtype dtype;
    float scale;
    const uint8_t *from = kx_weight_row(work->weight, row, &dtype, &scale);
    work->kernels->widen(dtype, from + at->col * (int64_t)kx_dtype_bytes(dtype), at->cols, scale, wide);
    if (packed->dtype == KX_BF16) {
        work->kernels->narrow(at->cols, wide, (uint16_t *)(void *)to, KX_PLANE_BYTES);
        return;
    }
    int64_t entry = group * kx_packed_rows(packed->rows) + row;
    kx_driver_quantise_group(work->kernels, at->cols, wide, to, KX_PLANE_BYTES, &work->scales[entry]);
    work->scales[entry] /= (float)kx_hadamard_size(at->cols);
    work->sums[entry] = -KX_OPERAND_OFFSET * kx_driver_make_signed(at->planes * KX_PLANE_BYTES, to);
}

/* A column that pads the last block: zeros, so that it never matters. */
static void pack_nothing(const pack_work *work, int64_t row, int64_t group, const kx_packed_group *at,
                         uint8_t *to)
{
    memset(to, 0, (size_t)(at->planes * KX_PLANE_BYTES));
    if (work->packed->dtype != KX_I8) return;
    int64_t entry = group * kx_packed_rows(work->packed->rows) + row;
    work->scales[entry] = 0;
    work->sums[entry] = 0;
}

static void pack_chunk(void *arguments, size_t chunk, size_t worker)
{
    pack_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    const kx_packed *packed = work->packed;
    int64_t planes = kx_packed_planes(packed->dtype, packed->cols, packed->split),
            first = (int64_t)chunk * KX_PACKED_COLUMNS;
    float *wide = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    uint8_t *columns = (uint8_t *)wide + wide_bytes(packed->dtype);
    uint8_t *block = (uint8_t *)(uintptr_t)packed->data + (int64_t)chunk * planes * BLOCK_PLANE;
    for (int64_t group = 0; group < kx_packed_groups(packed->dtype, packed->cols, packed->split); group++) {
        kx_packed_group at = kx_packed_group_at(packed->dtype, packed->cols, packed->split, group);
        for (int64_t row = first; row < first + KX_PACKED_COLUMNS; row++) {
            uint8_t *to = columns + (row - first) * at.planes * KX_PLANE_BYTES;
            if (row < packed->rows)
                pack_row(work, row, group, &at, wide, to);
            else
                pack_nothing(work, row, group, &at, to);
        }
        kx_driver_join_columns(work->kernels, at.planes, columns, block + at.plane * BLOCK_PLANE);
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
                      .scales = (float *)(uintptr_t)packed->scales,
                      .sums = (int32_t *)(uintptr_t)packed->sums};
    work.piece = kx_driver_piece(wide_bytes(packed->dtype) + KX_GROUP_PLANES * BLOCK_PLANE);
    work.scratch = kx_driver_take_workers(ops, "pack: groups of the workers", work.piece);
    if (!kx_ops_idle(ops))
        kx_guard_run(&work.guard, kx_packed_rows(packed->rows) / KX_PACKED_COLUMNS, pack_chunk, &work);
    kx_ops_release(ops, mark);
}
