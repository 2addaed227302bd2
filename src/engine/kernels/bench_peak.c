/* What the machine can do at most: loops of multiply-adds that never leave the registers, on all threads at
 * once. A row of the same run is compared with it, because clocks and neighbours change from run to run. */
#include "engine/kernels/bench.h"
#include "engine/kernels/driver.h"

#include <stdio.h>

static const double seconds_wanted = 0.25;
enum { CALIBRATION = 1 << 16, ROUNDS = 5, BURSTS = 4 /* of a round */ };

typedef struct peak_work {
    const kx_peak_loop *loop;
    int64_t iterations;
    _Atomic double sink; /* no result is dropped */
} peak_work;

static void run_chunk(void *arguments, size_t chunk, size_t worker)
{
    (void)chunk;
    (void)worker;
    peak_work *work = arguments;
    work->sink = work->loop->run(work->iterations);
}

/* A chunk for each thread; every thread stays in its loop long enough to get one. */
static double seconds_of(const kx_bench *bench, peak_work *work)
{
    double start = kx_bench_now();
    kx_pool_run(bench->pool, kx_pool_threads(bench->pool), run_chunk, work);
    return kx_bench_now() - start;
}

/* The best, because a neighbour that takes a processor away makes a round longer, never shorter. */
static double best_of(const kx_bench *bench, peak_work *work)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double seconds = seconds_of(bench, work);
        if (round == 0 || seconds < best) best = seconds;
    }
    return best;
}

/* 10^9 operations a second. */
static double rate_of(const kx_bench *bench, const peak_work *work, double seconds)
{
    double operations = (double)work->loop->operations * (double)work->iterations;
    return 1e-9 * operations * (double)kx_pool_threads(bench->pool) / seconds;
}

static void measure(const kx_bench *bench, kx_bench_peak *peak, kx_bench_row *row)
{
    peak_work work = {.loop = peak->loop, .iterations = CALIBRATION};
    double best = best_of(bench, &work);
    work.iterations = (int64_t)(CALIBRATION * seconds_wanted / ROUNDS / (best > 1e-6 ? best : 1e-6)) + 1;
    row->seconds = best_of(bench, &work);
    row->gflops = rate_of(bench, &work, row->seconds);
    row->peak_share = 1;
    peak->iterations = work.iterations / BURSTS + 1;
}

double kx_bench_burst(const kx_bench *bench, const kx_bench_peak *peak)
{
    if (peak->loop == NULL) return 0;
    peak_work work = {.loop = peak->loop, .iterations = peak->iterations};
    return rate_of(bench, &work, seconds_of(bench, &work));
}

/* Place of the set among those of this architecture, the plainest first. */
static size_t rank_of(const char *set)
{
    size_t i = 0;
    while (i < kx_kernel_set_count && strcmp(kx_kernel_sets[i].kernels->name, set) != 0) i++;
    return i;
}

/* A set that stands before the one in use is not always supported with it (AVX-VNNI and AVX-512). */
static const kx_peak_loop *best_loop(const kx_bench *bench, kx_precision precision)
{
    const kx_peak_loop *best = NULL;
    for (size_t i = 0; i < kx_peak_loop_count; i++) {
        const kx_peak_loop *loop = &kx_peak_loops[i];
        size_t rank = rank_of(loop->set);
        if (loop->precision == precision && rank <= rank_of(bench->kernels->name) &&
            kx_kernel_sets[rank].supported())
            best = loop;
    }
    return best;
}

void kx_bench_peaks(kx_bench *bench)
{
    for (int i = 0; i < KX_BENCH_PRECISIONS; i++) {
        kx_bench_peak *peak = &bench->peaks[i];
        peak->loop = best_loop(bench, (kx_precision)i);
        if (peak->loop == NULL) continue;
        const char *precision = kx_precision_name(peak->loop->precision);
        char name[96];
        snprintf(name, sizeof name, "peak %s, %s", precision, peak->loop->instruction);
        kx_bench_row row = {.name = name, .precision = precision};
        measure(bench, peak, &row);
        if (kx_bench_wants(bench, name, false)) bench->row(bench->user, &row);
    }
}
