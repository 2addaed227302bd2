/* Group norm as an affine map per channel.
 *
 * Two passes (means, then squared distances from them) with sums in double. The rows are cut into chunks of a
 * fixed number, each chunk leaves its sums by group in a table, and the table is added up in order: so the
 * bytes do not depend on the threads.
 */
#include "engine/kernels/driver.h"

#include <math.h>

enum { ROWS_PER_CHUNK = 1024 };

typedef struct group_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_tensor *x;
    int64_t groups, chunks;
    const double *mean; /* (C), NULL in the first pass */
    double *partial;    /* [chunks][groups] */
    uint8_t *columns;   /* of each worker: (C) */
    int64_t piece;
} group_work;

static void group_chunk(void *arguments, size_t chunk, size_t worker)
{
    group_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t C = work->x->cols, per_group = C / work->groups, first = (int64_t)chunk * ROWS_PER_CHUNK;
    double *columns = (double *)(void *)(work->columns + (int64_t)worker * work->piece);
    memset(columns, 0, (size_t)C * sizeof(double));
    work->kernels->column_sums(kx_min(ROWS_PER_CHUNK, work->x->rows - first), C,
                               kx_tensor_f32(work->x) + first * work->x->stride, work->x->stride, work->mean,
                               columns);
    for (int64_t g = 0; g < work->groups; g++) {
        double sum = 0;
        for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) sum += columns[c];
        work->partial[(int64_t)chunk * work->groups + g] = sum;
    }
}

/* The sum of group g over all chunks. */
static double group_total(const group_work *work, int64_t g)
{
    double total = 0;
    for (int64_t chunk = 0; chunk < work->chunks; chunk++) total += work->partial[chunk * work->groups + g];
    return total;
}

static void compute_affine(group_work *work, float eps, const float *weight, const float *bias, double *mean,
                           float *scale, float *shift)
{
    int64_t C = work->x->cols, per_group = C / work->groups;
    double count = (double)work->x->rows * (double)per_group;
    kx_guard_run(&work->guard, work->chunks, group_chunk, work);
    for (int64_t c = 0; c < C; c++) mean[c] = 0;
    for (int64_t g = 0; g < work->groups; g++) {
        double group_mean = group_total(work, g) / count;
        for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) mean[c] = group_mean;
    }
    work->mean = mean;
    kx_guard_run(&work->guard, work->chunks, group_chunk, work);
    for (int64_t g = 0; g < work->groups; g++) {
        double inverse = 1.0 / sqrt(group_total(work, g) / count + (double)eps);
        for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) {
            double factor = (double)weight[c] * inverse;
            scale[c] = (float)factor;
            shift[c] = (float)((double)bias[c] - mean[c] * factor);
        }
    }
}

void kx_op_group_norm_affine(kx_ops *ops, const kx_tensor *x, int64_t groups, float eps, const float *weight,
                             const float *bias, kx_tensor *scale, kx_tensor *shift)
{
    int64_t C = x->cols;
    assert(groups > 0 && C % groups == 0 && x->rows > 0 && x->dtype == KX_F32);
    assert(scale->cols * scale->rows == C && shift->cols * shift->rows == C);
    if (kx_driver_failed(ops)) return;
    kx_profile_rows(ops, "group norm sums", NULL, x, 2);
    kx_scratch_mark mark = kx_ops_mark(ops);
    group_work work = {.guard = {.ops = ops}, .kernels = ops->kernels, .x = x, .groups = groups};
    work.chunks = kx_ceil_div(x->rows, ROWS_PER_CHUNK);
    work.piece = kx_driver_piece(C * (int64_t)sizeof(double));
    double *mean = kx_driver_take(ops, "group norm: means", C * (int64_t)sizeof(double));
    work.partial = kx_driver_take(ops, "group norm: sums", work.chunks * groups * (int64_t)sizeof(double));
    work.columns = kx_driver_take_workers(ops, "group norm: sums of the workers", work.piece);
    if (!kx_ops_idle(ops))
        compute_affine(&work, eps, weight, bias, mean, kx_tensor_f32(scale), kx_tensor_f32(shift));
    kx_ops_release(ops, mark);
    kx_profile_end(ops);
}
