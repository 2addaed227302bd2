/* Ops that treat each row by itself, the norms over a row, and the sums that a step cache decides by. */
#include "engine/kernels/driver.h"

#include <math.h>

enum { CHUNK_ELEMENTS = 64 * 1024, CHANGE_LANES = 8 };

typedef struct row_work row_work;
struct row_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const char *kind; /* for the profiler */
    int passes;       /* over x and y together, for the profiler: 0 counts as 2 */
    void (*row)(row_work *work, int64_t index, float *y);
    const kx_tensor *x, *y;
    const float *mul, *add; /* (cols) each, or NULL */
    float mul_offset, eps;
    const kx_tensor *cosines, *sines;
    int64_t head_dim;
    const kx_weight *table;
    const int32_t *ids;
    const kx_tensor *base; /* of sum_change, or NULL */
    double *sums;          /* of sum_change: (rows, 2) */
    int64_t rows_per_chunk;
    uint8_t *scratch; /* a row of f32 for each worker, when y is an operand; else NULL */
    int64_t piece;
    atomic_bool bad; /* check_finite found something */
};

static const float *x_row(const row_work *work, int64_t index)
{
    return kx_tensor_f32(work->x) + index * work->x->stride;
}

static float *y_row(const row_work *work, int64_t index)
{
    return kx_tensor_f32(work->y) + index * work->y->stride;
}

static void row_chunk(void *arguments, size_t chunk, size_t worker)
{
    row_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t first = (int64_t)chunk * work->rows_per_chunk;
    int64_t end = kx_min(work->y->rows, first + work->rows_per_chunk);
    if (work->scratch == NULL) {
        for (int64_t index = first; index < end; index++) work->row(work, index, y_row(work, index));
        return;
    }
    float *y = (float *)(void *)(work->scratch + (int64_t)worker * work->piece);
    for (int64_t index = first; index < end; index++) {
        work->row(work, index, y);
        kx_driver_store_operand(work->kernels, y, work->y->cols, work->y, index, 0);
    }
}

static void run_rows(kx_ops *ops, row_work *work)
{
    assert(work->x == NULL || work->x->dtype == KX_F32);
    if (kx_driver_failed(ops)) return;
    kx_scratch_mark mark = kx_ops_mark(ops);
    if (kx_tensor_is_operand(work->y)) {
        work->piece = kx_driver_piece(work->y->cols * (int64_t)sizeof(float));
        work->scratch = kx_driver_take_workers(ops, "rows of the workers", work->piece);
    } else {
        assert(work->y->dtype == KX_F32);
    }
    work->guard.ops = ops;
    work->kernels = ops->kernels;
    work->rows_per_chunk = kx_max(1, CHUNK_ELEMENTS / kx_max(1, work->y->cols));
    if (!kx_ops_idle(ops) && work->y->rows > 0) {
        kx_profile_rows(ops, work->kind, work->x, work->y, work->passes > 0 ? work->passes : 2);
        kx_guard_run(&work->guard, kx_ceil_div(work->y->rows, work->rows_per_chunk), row_chunk, work);
        kx_profile_end(ops);
    }
    kx_ops_release(ops, mark);
}

static bool same_shape(const kx_tensor *x, const kx_tensor *y)
{
    return x->rows == y->rows && x->cols == y->cols;
}

static void layer_norm_row(row_work *work, int64_t index, float *y)
{
    work->kernels->layer_norm(work->x->cols, x_row(work, index), work->eps, work->mul, work->mul_offset,
                              work->add, y);
}

void kx_op_norm_modulate(kx_ops *ops, const kx_tensor *x, const float *shift, const float *scale, float eps,
                         kx_tensor *y)
{
    assert(same_shape(x, y));
    row_work work = {.kind = "norm and modulate",
                     .row = layer_norm_row,
                     .x = x,
                     .y = y,
                     .mul = scale,
                     .mul_offset = 1,
                     .add = shift,
                     .eps = eps};
    run_rows(ops, &work);
}

void kx_op_layer_norm(kx_ops *ops, const kx_tensor *x, const float *weight, const float *bias, float eps,
                      kx_tensor *y)
{
    assert(same_shape(x, y));
    row_work work = {
        .kind = "layer norm", .row = layer_norm_row, .x = x, .y = y, .mul = weight, .add = bias, .eps = eps};
    run_rows(ops, &work);
}

static void rms_norm_row(row_work *work, int64_t index, float *y)
{
    work->kernels->rms_norm(work->x->cols, x_row(work, index), work->eps, work->mul, y);
}

void kx_op_rms_norm(kx_ops *ops, const kx_tensor *x, const float *weight, float eps, kx_tensor *y)
{
    assert(same_shape(x, y));
    row_work work = {.kind = "rms norm", .row = rms_norm_row, .x = x, .y = y, .mul = weight, .eps = eps};
    run_rows(ops, &work);
}

static void head_norm_rope_row(row_work *work, int64_t index, float *y)
{
    const float *cosines = kx_tensor_f32(work->cosines) + index * work->cosines->stride;
    const float *sines = kx_tensor_f32(work->sines) + index * work->sines->stride;
    for (int64_t c = 0; c < work->y->cols; c += work->head_dim)
        work->kernels->head_norm_rope(work->head_dim, y + c, work->eps, work->mul, cosines, sines);
}

void kx_op_head_norm_rope(kx_ops *ops, kx_tensor *x, int64_t head_dim, const float *scale, float eps,
                          const kx_tensor *cosines, const kx_tensor *sines)
{
    assert(head_dim > 0 && head_dim % 2 == 0 && x->cols % head_dim == 0);
    assert(cosines->rows == x->rows && cosines->cols == head_dim / 2 && same_shape(cosines, sines));
    row_work work = {.kind = "head norm and rope",
                     .row = head_norm_rope_row,
                     .y = x,
                     .mul = scale,
                     .eps = eps,
                     .cosines = cosines,
                     .sines = sines,
                     .head_dim = head_dim};
    run_rows(ops, &work);
}

static void embed_row(row_work *work, int64_t index, float *y)
{
    kx_dtype dtype;
    float scale;
    const void *row = kx_weight_row(work->table, work->ids[index], &dtype, &scale);
    work->kernels->widen(dtype, row, work->y->cols, scale, y);
}

void kx_op_embed(kx_ops *ops, const kx_weight *table, const int32_t *ids, kx_tensor *y)
{
    assert(kx_weight_cols(table) == y->cols);
    if (!ops->dry && !kx_driver_failed(ops))
        for (int64_t t = 0; t < y->rows; t++) assert(ids[t] >= 0 && ids[t] < kx_weight_rows(table));
    row_work work = {.kind = "embed", .row = embed_row, .y = y, .table = table, .ids = ids};
    run_rows(ops, &work);
}

static void add_row(row_work *work, int64_t index, float *y)
{
    work->kernels->epilogue(KX_EPILOGUE_ADD, work->x->cols, x_row(work, index), NULL, NULL, y);
}

void kx_op_add(kx_ops *ops, const kx_tensor *x, kx_tensor *y)
{
    assert(same_shape(x, y));
    row_work work = {.kind = "add", .passes = 3, .row = add_row, .x = x, .y = y};
    run_rows(ops, &work);
}

static void subtract_row(row_work *work, int64_t index, float *y)
{
    work->kernels->blend(work->x->cols, x_row(work, index), 1, -1, y);
}

void kx_op_subtract_from(kx_ops *ops, const kx_tensor *x, kx_tensor *y)
{
    assert(same_shape(x, y));
    row_work work = {.kind = "subtract", .passes = 3, .row = subtract_row, .x = x, .y = y};
    run_rows(ops, &work);
}

/* Element c goes to lane c mod CHANGE_LANES and the lanes are added in order: plain C, with the same sums on
 * every kernel set. */
static void change_row(row_work *work, int64_t index, float *earlier)
{
    const float *now = x_row(work, index);
    const float *base = work->base != NULL ? kx_tensor_f32(work->base) + index * work->base->stride : NULL;
    double change[CHANGE_LANES] = {0}, size[CHANGE_LANES] = {0};
    for (int64_t c = 0; c < work->y->cols; c++) {
        float value = base != NULL ? now[c] - base[c] : now[c];
        change[c % CHANGE_LANES] += fabs((double)value - (double)earlier[c]);
        size[c % CHANGE_LANES] += fabs((double)earlier[c]);
    }
    double *sums = work->sums + 2 * index;
    sums[0] = sums[1] = 0;
    for (int lane = 0; lane < CHANGE_LANES; lane++) {
        sums[0] += change[lane];
        sums[1] += size[lane];
    }
}

void kx_op_sum_change(kx_ops *ops, const kx_tensor *now, const kx_tensor *base, const kx_tensor *earlier,
                      double sums[2])
{
    assert(same_shape(now, earlier) && (base == NULL || same_shape(base, now)));
    kx_scratch_mark mark = kx_ops_mark(ops);
    row_work work = {.kind = "change",
                     .passes = base != NULL ? 3 : 2,
                     .row = change_row,
                     .x = now,
                     .base = base,
                     .y = earlier};
    work.sums = kx_driver_take(ops, "change: sums", earlier->rows * 2 * (int64_t)sizeof(double));
    run_rows(ops, &work);
    if (!kx_ops_idle(ops))
        for (int64_t row = 0; row < earlier->rows; row++) {
            sums[0] += work.sums[2 * row];
            sums[1] += work.sums[2 * row + 1];
        }
    kx_ops_release(ops, mark);
}

static void silu_row(row_work *work, int64_t index, float *y)
{
    work->kernels->epilogue(KX_EPILOGUE_SILU, work->x->cols, x_row(work, index), NULL, NULL, y);
}

void kx_op_silu(kx_ops *ops, const kx_tensor *x, kx_tensor *y)
{
    assert(same_shape(x, y));
    row_work work = {.kind = "silu", .row = silu_row, .x = x, .y = y};
    run_rows(ops, &work);
}

void kx_driver_quantise_group(const kx_kernels *kernels, int64_t cols, const float *x, uint8_t *y,
                              int64_t y_plane, float *scale)
{
    float rotated[KX_HADAMARD_MAX];
    int64_t size = kx_hadamard_size(cols);
    for (int64_t c = 0; c < cols; c += size) kernels->hadamard(size, x + c, rotated + c);
    kernels->quantise(cols, rotated, y, y_plane, scale);
}

void kx_driver_store_operand(const kx_kernels *kernels, const float *x, int64_t cols, const kx_tensor *y,
                             int64_t row, int64_t first)
{
    uint8_t *to = (uint8_t *)y->data + kx_planes_of(y->dtype, first) * y->plane_bytes + row * KX_PLANE_BYTES;
    int64_t values = kx_group_values(y->dtype), group = kx_groups_of(y->dtype, first);
    for (int64_t c = 0; c < cols; c += values, group++, to += KX_GROUP_PLANES * y->plane_bytes) {
        int64_t count = kx_min(values, cols - c);
        if (y->dtype == KX_U8)
            kx_driver_quantise_group(kernels, count, x + c, to, y->plane_bytes,
                                     y->scales + group * y->scale_stride + row);
        else
            kernels->narrow(count, x + c, (uint16_t *)(void *)to, y->plane_bytes);
    }
}

static void copy_row(row_work *work, int64_t index, float *y)
{
    memcpy(y, x_row(work, index), (size_t)work->x->cols * sizeof(float));
}

void kx_op_copy(kx_ops *ops, const kx_tensor *x, kx_tensor *y)
{
    assert(same_shape(x, y));
    row_work work = {.kind = "copy", .row = copy_row, .x = x, .y = y};
    run_rows(ops, &work);
}

void kx_op_quantise(kx_ops *ops, const kx_tensor *x, kx_tensor *y)
{
    assert(same_shape(x, y) && kx_tensor_is_operand(y));
    row_work work = {.kind = "quantise", .row = copy_row, .x = x, .y = y};
    run_rows(ops, &work);
}

static void affine_row(row_work *work, int64_t index, float *y)
{
    work->kernels->affine(work->x->cols, x_row(work, index), work->mul, work->add, false, y);
}

void kx_op_affine(kx_ops *ops, const kx_tensor *x, const kx_tensor *scale, const kx_tensor *shift,
                  kx_tensor *y)
{
    assert(same_shape(x, y) && scale->cols == x->cols && shift->cols == x->cols);
    row_work work = {.kind = "affine",
                     .row = affine_row,
                     .x = x,
                     .y = y,
                     .mul = kx_tensor_f32(scale),
                     .add = kx_tensor_f32(shift)};
    run_rows(ops, &work);
}

static void finite_row(row_work *work, int64_t index, float *y)
{
    (void)index;
    if (work->kernels->all_finite(work->y->cols, y)) return;
    atomic_store_explicit(&work->bad, true, memory_order_relaxed);
}

void kx_op_check_finite(kx_ops *ops, const kx_tensor *x, const char *what)
{
    row_work work = {.kind = "check finite", .passes = 1, .row = finite_row, .y = x};
    run_rows(ops, &work);
    if (atomic_load(&work.bad))
        kx_error_set(&ops->error, KX_ERR_MODEL, __FILE__, __LINE__, "%s is not finite", what);
}
