/* What a step cache needs: how far a tensor is from an earlier one, and the difference itself. Both are bound
 * by memory and run a few times a step, so they are plain C on every machine; the sums have one order
 * everywhere. */
#include "engine/kernels/driver.h"

#include <math.h>

enum { CHUNK_ELEMENTS = 64 * 1024, LANES = 8 };

typedef struct change_work {
    kx_guard guard;
    const kx_tensor *x, *base, *y; /* base may be NULL */
    double *sums;                  /* (rows, 2), of kx_op_sum_change */
    int64_t rows_per_chunk;
    void (*row)(struct change_work *work, int64_t index);
} change_work;

static const float *row_of(const kx_tensor *tensor, int64_t index)
{
    return kx_tensor_f32(tensor) + index * tensor->stride;
}

static void run_chunk(void *arguments, size_t chunk, size_t worker)
{
    change_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t first = (int64_t)chunk * work->rows_per_chunk;
    int64_t end = kx_min(work->y->rows, first + work->rows_per_chunk);
    for (int64_t index = first; index < end; index++) work->row(work, index);
}

static void run(kx_ops *ops, change_work *work, const char *kind)
{
    kx_profile_rows(ops, kind, work->x, work->y, work->base != NULL ? 3 : 2);
    work->guard.ops = ops;
    work->rows_per_chunk = kx_max(1, CHUNK_ELEMENTS / kx_max(1, work->y->cols));
    kx_guard_run(&work->guard, kx_ceil_div(work->y->rows, work->rows_per_chunk), run_chunk, work);
    kx_profile_end(ops);
}

/* Element c goes to lane c mod LANES, the lanes are added in order: the same sum for every vector length. */
static void sum_row(change_work *work, int64_t index)
{
    const float *now = row_of(work->x, index), *earlier = row_of(work->y, index);
    const float *base = work->base != NULL ? row_of(work->base, index) : NULL;
    double change[LANES] = {0}, size[LANES] = {0};
    for (int64_t c = 0; c < work->y->cols; c++) {
        float value = base != NULL ? now[c] - base[c] : now[c];
        change[c % LANES] += fabs((double)value - (double)earlier[c]);
        size[c % LANES] += fabs((double)earlier[c]);
    }
    double *sums = work->sums + 2 * index;
    sums[0] = sums[1] = 0;
    for (int lane = 0; lane < LANES; lane++) {
        sums[0] += change[lane];
        sums[1] += size[lane];
    }
}

void kx_op_sum_change(kx_ops *ops, const kx_tensor *now, const kx_tensor *base, const kx_tensor *earlier,
                      double sums[2])
{
    assert(now->rows == earlier->rows && now->cols == earlier->cols);
    assert(base == NULL || (base->rows == now->rows && base->cols == now->cols));
    kx_scratch_mark mark = kx_ops_mark(ops);
    change_work work = {.x = now, .base = base, .y = earlier, .row = sum_row};
    work.sums = kx_driver_take(ops, "change: sums", earlier->rows * 2 * (int64_t)sizeof(double));
    if (!kx_ops_idle(ops)) {
        run(ops, &work, "change");
        for (int64_t row = 0; row < earlier->rows && !kx_driver_failed(ops); row++) {
            sums[0] += work.sums[2 * row];
            sums[1] += work.sums[2 * row + 1];
        }
    }
    kx_ops_release(ops, mark);
}

static void subtract_row(change_work *work, int64_t index)
{
    const float *x = row_of(work->x, index);
    float *y = kx_tensor_f32(work->y) + index * work->y->stride;
    for (int64_t c = 0; c < work->y->cols; c++) y[c] = x[c] - y[c];
}

void kx_op_subtract_from(kx_ops *ops, const kx_tensor *x, kx_tensor *y)
{
    assert(x->rows == y->rows && x->cols == y->cols);
    change_work work = {.x = x, .y = y, .row = subtract_row};
    if (!kx_ops_idle(ops)) run(ops, &work, "subtract");
}
