/* Times the compute pool: what an empty run costs when runs follow one another, and when the workers have
 * gone to sleep in between.
 *
 *     pool_time [THREADS]
 */
#include "base/pool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 9, RUNS = 10000, SLEEPS = 50 };

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void do_nothing(void *arguments, size_t chunk, size_t worker)
{
    (void)arguments, (void)chunk, (void)worker;
}

/* About 20 us, so that a run needs its workers. */
static void do_little(void *arguments, size_t chunk, size_t worker)
{
    (void)arguments, (void)worker;
    volatile double sum = 0;
    for (int i = 0; i < 5000; i++) sum = sum + (double)i * (double)chunk;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Median of the rounds of `runs` runs, each after `pause_us`, in ns a run. */
static double time_runs(kx_pool *pool, size_t chunks, kx_pool_work *work, int runs, long pause_us)
{
    uint64_t rounds[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        rounds[round] = 0;
        for (int i = 0; i < runs; i++) {
            if (pause_us > 0) nanosleep(&(struct timespec){0, pause_us * 1000}, NULL);
            uint64_t start = now_ns();
            kx_pool_run(pool, chunks, work, NULL);
            rounds[round] += now_ns() - start;
        }
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], by_value);
    return (double)rounds[ROUNDS / 2] / runs;
}

int main(int argc, char **argv)
{
    kx_error err = {0};
    kx_pool *pool = NULL;
    if (kx_pool_create(&pool, argc > 1 ? strtoul(argv[1], NULL, 10) : 0, &err) != KX_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    size_t threads = kx_pool_threads(pool);
    printf("%zu threads\n", threads);
    printf("empty runs, one after the other      %10.0f ns\n", time_runs(pool, threads, do_nothing, RUNS, 0));
    printf("8 chunks of little, one after other  %10.0f ns\n", time_runs(pool, 8, do_little, RUNS / 20, 0));
    printf("empty run after 2 ms of sleep        %10.0f ns\n",
           time_runs(pool, threads, do_nothing, SLEEPS, 2000));
    kx_pool_destroy(pool);
    return 0;
}
