/* Measurements (`kontext bench`): how one is made, shared by those of the ops (kernels/bench_ops.c), of the
 * machine's peaks (bench_peak.c) and of models (pipeline/bench_models.c).
 *
 * A case is a function over kx_ops that takes its operands from the scratch and then has a call timed:
 *
 *     static void run_add(kx_ops *ops, const void *what, kx_bench_timer *timer)
 *     {
 *         kx_tensor x = kx_bench_take_random(ops, "x", 512, 512), ...;
 *         kx_bench_rounds(ops, call_add, &operands, timer);
 *     }
 *     KX_TRY(kx_bench_case(bench, "add 512x512", KX_PRECISION_F32, run_add, NULL, err));
 *
 * Run dry it tells how much memory to open, run for real it fills the operands with random values and is
 * timed. */
#pragma once

#include "engine/kernels/kernels.h"

#include <kontext/kontext.h>

enum { KX_BENCH_PRECISIONS = KX_PRECISION_INT8 + 1 };

/* A loop that stays in registers (below), and how long a burst of it is. */
typedef struct kx_bench_peak {
    const struct kx_peak_loop *loop; /* NULL: there is none */
    int64_t iterations;              /* some milliseconds */
} kx_bench_peak;

typedef struct kx_bench {
    const kx_bench_options *options;
    const kx_kernels *kernels;
    kx_pool *pool;
    const kx_callbacks *callbacks; /* may be NULL */
    void (*row)(void *user, const kx_bench_row *row);
    void *user;
    size_t *counts; /* not NULL: rows that the suite asks for are counted here, and not measured */
    kx_bench_peak peaks[KX_BENCH_PRECISIONS]; /* by precision */
} kx_bench;

/* A case while it is timed. */
typedef struct kx_bench_timer {
    const kx_bench *bench;
    const kx_bench_peak *peak; /* of the precision */
    kx_bench_row row;
} kx_bench_timer;

typedef void kx_bench_call(kx_ops *ops, void *operands);
typedef void kx_bench_setup(kx_ops *ops, const void *what, kx_bench_timer *timer);

double kx_bench_now(void); /* seconds, monotonic */

/* Whether the suite asks for a row of this name. Rows that take minutes are measured only where a suite is
 * given. */
bool kx_bench_wants(const kx_bench *bench, const char *name, bool takes_minutes);
/* Times `call`: the best of several rounds after one that does not count; of what takes over ten seconds, two
 * rounds. Behind rounds, ten times a second at the most, stand bursts of the peak's loop, because clocks and
 * neighbours change from one second to the next: the share is the best round's of the best burst. Fills
 * seconds, gflops and that share; nothing when dry. */
void kx_bench_rounds(kx_ops *ops, kx_bench_call *call, void *operands, kx_bench_timer *timer);
/* Runs a case and tells the row, with its memory. Errors: those of the ops. */
kx_status kx_bench_case(const kx_bench *bench, const char *name, kx_precision precision,
                        kx_bench_setup *setup, const void *what, kx_error *err);
/* (rows, cols) of values in [-1, 1) from the scratch. */
kx_tensor kx_bench_take_random(kx_ops *ops, const char *name, int64_t rows, int64_t cols);

/* The ops at the sizes of an edit. */
kx_status kx_bench_ops(const kx_bench *bench, kx_error *err);
/* Chooses bench->peaks, measures a quarter of a second each, and tells those that the suite asks for. */
void kx_bench_peaks(kx_bench *bench);
/* 10^9 operations a second in a burst of the loop; 0 where there is none. */
double kx_bench_burst(const kx_bench *bench, const kx_bench_peak *peak);

/* ---- Loops that stay in registers ---- */

/* `iterations` times the same multiply-adds, with enough sums to hide their latency. The result is returned
 * so that no compiler drops the work. */
typedef double kx_peak_run(int64_t iterations);

typedef struct kx_peak_loop {
    kx_precision precision;  /* of the arithmetic */
    const char *set;         /* the plainest kernel set that may use these instructions */
    const char *instruction; /* "vpdpbusd, 512 bits" */
    kx_peak_run *run;
    int64_t operations; /* of one iteration; a multiply-add counts as two */
} kx_peak_loop;

/* Of this architecture; of one precision the better follow the plainer. */
extern const kx_peak_loop kx_peak_loops[];
extern const size_t kx_peak_loop_count;
