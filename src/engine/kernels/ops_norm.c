/* Group norm as an affine map per channel.
 *
 * The rows are cut into chunks that fit in a core's cache, of a size that the channels alone decide. A chunk
 * is read twice: for the mean of each group within it, and for the squared distances from that. The chunks
 * are put together in order, with sums in double: mean = sum / count, squares = sum of (squares + count (mean
 * of the chunk - mean)^2) (Chan, Golub and LeVeque 1983). So the map is read from memory once, as exactly as
 * by two passes over all of it, and the bytes do not depend on the threads.
 */
#include "engine/kernels/driver.h"

#include <math.h>

enum { CHUNK_FLOATS = 64 * 1024 };

typedef struct group_work {
    kx_guard guard;
    const kx_kernels *kernels;
    const kx_tensor *x;
    int64_t groups, chunks, rows; /* rows of a chunk */
    double *sums, *squares;       /* [chunks][groups] */
    uint8_t *columns;             /* of each worker: sums (C) | means (C) */
    int64_t piece;
} group_work;

static int64_t rows_of(const group_work *work, int64_t chunk)
{
    return kx_min(work->rows, work->x->rows - chunk * work->rows);
}

/* Sums over rows of a chunk, columns of a group -> totals (groups); columns (C): scratch. mean may be NULL.
 */
static void sum_groups(const group_work *work, int64_t chunk, const double *mean, double *columns,
                       double *totals)
{
    int64_t C = work->x->cols, per_group = C / work->groups;
    memset(columns, 0, (size_t)C * sizeof(double));
    work->kernels->column_sums(rows_of(work, chunk), C,
                               kx_tensor_f32(work->x) + chunk * work->rows * work->x->stride, work->x->stride,
                               mean, columns);
    for (int64_t g = 0; g < work->groups; g++) {
        totals[g] = 0;
        for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) totals[g] += columns[c];
    }
}

static void group_chunk(void *arguments, size_t chunk, size_t worker)
{
    group_work *work = arguments;
    if (kx_guard_stopped(&work->guard, worker)) return;
    int64_t C = work->x->cols, per_group = C / work->groups, first = (int64_t)chunk * work->groups;
    double *columns = (double *)(void *)(work->columns + (int64_t)worker * work->piece), *mean = columns + C;
    double count = (double)rows_of(work, (int64_t)chunk) * (double)per_group;
    sum_groups(work, (int64_t)chunk, NULL, columns, work->sums + first);
    for (int64_t c = 0; c < C; c++) mean[c] = work->sums[first + c / per_group] / count;
    sum_groups(work, (int64_t)chunk, mean, columns, work->squares + first);
}

/* The mean of group g, and the mean of the squared distances from it. */
static double join_chunks(const group_work *work, int64_t g, double *variance)
{
    double per_group = (double)(work->x->cols / work->groups), sum = 0, squares = 0;
    double count = (double)work->x->rows * per_group;
    for (int64_t chunk = 0; chunk < work->chunks; chunk++) sum += work->sums[chunk * work->groups + g];
    double mean = sum / count;
    for (int64_t chunk = 0; chunk < work->chunks; chunk++) {
        double some = (double)rows_of(work, chunk) * per_group;
        double apart = work->sums[chunk * work->groups + g] / some - mean;
        squares += work->squares[chunk * work->groups + g] + some * apart * apart;
    }
    *variance = squares / count;
    return mean;
}

/* The same from what is known of its channels. */
static double join_channels(const kx_channel_stats *stats, int64_t g, int64_t per_group, double rows,
                            double *variance)
{
    double mean = 0, squares = 0;
    for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) mean += stats->mean[c] / (double)per_group;
    for (int64_t c = g * per_group; c < (g + 1) * per_group; c++)
        squares += stats->squares[c] + rows * (stats->mean[c] - mean) * (stats->mean[c] - mean);
    *variance = squares / (rows * (double)per_group);
    return mean;
}

static void compute_affine(group_work *work, const kx_channel_stats *stats, float eps, const float *weight,
                           const float *bias, float *scale, float *shift)
{
    int64_t per_group = work->x->cols / work->groups;
    if (stats == NULL) kx_guard_run(&work->guard, work->chunks, group_chunk, work);
    for (int64_t g = 0; g < work->groups; g++) {
        double variance, mean = stats == NULL
                                    ? join_chunks(work, g, &variance)
                                    : join_channels(stats, g, per_group, (double)work->x->rows, &variance);
        double inverse = 1.0 / sqrt(variance + (double)eps);
        for (int64_t c = g * per_group; c < (g + 1) * per_group; c++) {
            double factor = (double)weight[c] * inverse;
            scale[c] = (float)factor;
            shift[c] = (float)((double)bias[c] - mean * factor);
        }
    }
}

static void take_memory(kx_ops *ops, group_work *work)
{
    int64_t C = work->x->cols;
    work->rows = kx_max(1, CHUNK_FLOATS / C);
    work->chunks = kx_ceil_div(work->x->rows, work->rows);
    work->piece = kx_driver_piece(2 * C * (int64_t)sizeof(double));
    int64_t bytes = work->chunks * work->groups * (int64_t)sizeof(double);
    work->sums = kx_driver_take(ops, "group norm: sums", bytes);
    work->squares = kx_driver_take(ops, "group norm: squares", bytes);
    work->columns = kx_driver_take_workers(ops, "group norm: sums of the workers", work->piece);
}

void kx_op_group_norm_affine(kx_ops *ops, const kx_tensor *x, const kx_channel_stats *stats, int64_t groups,
                             float eps, const float *weight, const float *bias, kx_tensor *scale,
                             kx_tensor *shift)
{
    int64_t C = x->cols;
    assert(groups > 0 && C % groups == 0 && x->rows > 0 && x->dtype == KX_F32);
    assert(scale->cols * scale->rows == C && shift->cols * shift->rows == C);
    if (stats != NULL && !stats->known) stats = NULL;
    if (kx_driver_failed(ops)) return;
    if (stats == NULL) kx_profile_rows(ops, "group norm sums", NULL, x, 2);
    kx_scratch_mark mark = kx_ops_mark(ops);
    group_work work = {.guard = {.ops = ops}, .kernels = ops->kernels, .x = x, .groups = groups};
    if (stats == NULL) take_memory(ops, &work);
    if (!kx_ops_idle(ops))
        compute_affine(&work, stats, eps, weight, bias, kx_tensor_f32(scale), kx_tensor_f32(shift));
    kx_ops_release(ops, mark);
    if (stats == NULL) kx_profile_end(ops);
}
