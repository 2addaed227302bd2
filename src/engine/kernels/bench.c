#include "engine/kernels/bench.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_LEAST = 3, ROUNDS_MOST = 200 };
static const double seconds_wanted = 2.0;  /* of one case, if that gives fewer than ROUNDS_MOST */
static const double seconds_long = 10.0;   /* a case of such rounds gets two */
static const double seconds_between = 0.1; /* bursts of the peak's loop, at the least */

double kx_bench_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

bool kx_bench_wants(const kx_bench *bench, const char *name, bool takes_minutes)
{
    const char *suite = bench->options->suite;
    return suite == NULL ? !takes_minutes : strstr(name, suite) != NULL;
}

static int rounds_for(const kx_bench_row *row)
{
    if (row->seconds > seconds_long) return 2;
    return ROUNDS_LEAST;
}

void kx_bench_rounds(kx_ops *ops, kx_bench_call *call, void *operands, kx_bench_timer *timer)
{
    kx_bench_row *row = &timer->row;
    double began = kx_bench_now(), peak = 0, next_burst = 0;
    for (int round = -1; round < ROUNDS_MOST; round++) {
        uint64_t flops_before = ops->flops;
        double start = kx_bench_now();
        call(ops, operands);
        double seconds = kx_bench_now() - start;
        if (ops->dry || ops->error.status != KX_OK) return;
        if (kx_bench_now() >= next_burst) {
            peak = fmax(peak, kx_bench_burst(timer->bench, timer->peak));
            next_burst = kx_bench_now() + seconds_between;
        }
        if (round < 0) { /* touched fresh pages */
            began = kx_bench_now();
            continue;
        }
        if (round == 0 || seconds < row->seconds) row->seconds = seconds;
        row->gflops = 1e-9 * (double)(ops->flops - flops_before) / row->seconds;
        if (peak > 0) row->peak_share = row->gflops / peak;
        if (round + 1 >= rounds_for(row) && kx_bench_now() - began > seconds_wanted) return;
    }
}

kx_status kx_bench_case(const kx_bench *bench, const char *name, kx_precision precision,
                        kx_bench_setup *setup, const void *what, kx_error *err)
{
    if (bench->counts != NULL) {
        ++*bench->counts;
        return KX_OK;
    }
    kx_status status = KX_OK;
    kx_bench_timer timer = {.bench = bench,
                            .peak = &bench->peaks[precision],
                            .row = {.name = name, .precision = kx_precision_name(precision)}};
    kx_scratch measure, scratch = {0};
    kx_scratch_measure(&measure);
    kx_ops dry = {.kernels = bench->kernels,
                  .pool = bench->pool,
                  .scratch = &measure,
                  .precision = precision,
                  .dry = true};
    setup(&dry, what, &timer);
    KX_TRY(kx_ops_status(&dry, err));
    KX_TRY(kx_scratch_open(&scratch, measure.peak, err));
    kx_ops ops = {
        .kernels = bench->kernels, .pool = bench->pool, .scratch = &scratch, .precision = precision};
    if (bench->callbacks != NULL) {
        ops.cancelled = bench->callbacks->cancelled;
        ops.cancelled_user = bench->callbacks->user;
    }
    setup(&ops, what, &timer);
    KX_TRY(kx_ops_status(&ops, err));
    timer.row.scratch_bytes = (uint64_t)measure.peak;
    bench->row(bench->user, &timer.row);
out:
    kx_scratch_close(&scratch);
    return status;
}

kx_tensor kx_bench_take_random(kx_ops *ops, const char *name, int64_t rows, int64_t cols)
{
    kx_tensor tensor = kx_ops_take(ops, name, rows, cols);
    if (ops->dry || ops->error.status != KX_OK) return tensor;
    uint32_t state = (uint32_t)(rows + cols);
    for (int64_t i = 0; i < rows * cols; i++) {
        state = state * 1664525u + 1013904223u;
        kx_tensor_f32(&tensor)[i] = (float)(state >> 9) / 4194304.0f - 1.0f;
    }
    return tensor;
}
