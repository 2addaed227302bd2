/* One number holds what is left to do: a `ticket` of the run's generation (high half) and of the chunks that
 * nobody has taken yet (low half). Who lowers it by one owns a chunk, and only then reads the run's
 * arguments: they stay until the chunk is counted as done, for the caller waits for that. So a worker that
 * wakes up late finds nothing left and is waited for by nobody; on a busy machine a run takes as long as its
 * chunks, not as long as the slowest wake-up.
 *
 * Waiting, for a run or for the last chunk, is spinning at first: between two operations of an edit there are
 * microseconds, and to sleep and be woken costs tens of them. After SPIN_NS the waiter sleeps. It announces
 * that (sleepers, caller_sleeps) before it looks for the last time, and the other side changes what is waited
 * for before it looks whether someone sleeps; both in sequentially consistent order, so one of the two sees
 * the other. A pool of more threads than processors does not spin: a spinning thread would hold the processor
 * that the others need.
 *
 * Threads are not pinned to processors: it gained nothing, and two pools would share a core while others idle
 * (docs/SPEED.md, "The pool"). */
#include "base/pool.h"

#include "base/limits.h"
#include "base/processors.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { CACHE_LINE = 64, SPIN_NS = 50000, PAUSES_PER_LOOK = 32 };

struct kx_pool {
    size_t threads; /* with the caller */
    uint64_t spin_ns;
    pthread_t *handles;
    size_t started;        /* threads to join */
    pthread_mutex_t mutex; /* for sleeping alone */
    pthread_cond_t announced;
    pthread_cond_t finished;
    atomic_uint sleepers; /* workers */
    atomic_bool caller_sleeps;
    atomic_bool stopping;

    /* Of the present run: written before its ticket, read by owners of a chunk. */
    kx_pool_work *work;
    void *arguments;
    uint32_t chunks;

    _Alignas(CACHE_LINE) atomic_uint_fast64_t ticket;
    _Alignas(CACHE_LINE) atomic_uint_fast32_t done;
};

typedef struct worker_start {
    kx_pool *pool;
    size_t worker;
} worker_start;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Tells the processor that this is a waiting loop. */
static void pause_processor(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

static uint32_t generation_of(uint64_t ticket)
{
    return (uint32_t)(ticket >> 32);
}

static uint32_t left_of(uint64_t ticket)
{
    return (uint32_t)ticket;
}

static bool run_is_announced(kx_pool *pool, uint32_t seen)
{
    return generation_of(atomic_load(&pool->ticket)) != seen;
}

static bool run_is_done(kx_pool *pool, uint32_t chunks)
{
    return atomic_load(&pool->done) == chunks;
}

/* Waits at most pool->spin_ns for `arrived`; whether it came. */
static bool spin(kx_pool *pool, bool (*arrived)(kx_pool *pool, uint32_t value), uint32_t value)
{
    if (arrived(pool, value)) return true;
    if (pool->spin_ns == 0) return false;
    for (uint64_t end = now_ns() + pool->spin_ns; now_ns() < end;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (arrived(pool, value)) return true;
            pause_processor();
        }
    }
    return false;
}

/* ---- Chunks -------------------------------------------------------------------------------------------- */

static void finish_chunk(kx_pool *pool, uint32_t chunks)
{
    if (atomic_fetch_add(&pool->done, 1) + 1 != chunks || !atomic_load(&pool->caller_sleeps)) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_signal(&pool->finished);
    pthread_mutex_unlock(&pool->mutex);
}

/* Works until no chunk is left; the generation at which that was so. */
static uint32_t take_chunks(kx_pool *pool, size_t worker)
{
    uint64_t ticket = atomic_load(&pool->ticket);
    while (left_of(ticket) > 0) {
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1)) continue;
        uint32_t chunks = pool->chunks;
        pool->work(pool->arguments, chunks - left_of(ticket), worker);
        finish_chunk(pool, chunks);
        ticket = atomic_load(&pool->ticket);
    }
    return generation_of(ticket);
}

static void await_run(kx_pool *pool, uint32_t seen)
{
    if (spin(pool, run_is_announced, seen)) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!run_is_announced(pool, seen)) pthread_cond_wait(&pool->announced, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument)
{
    worker_start start = *(worker_start *)argument;
    free(argument);
    kx_pool *pool = start.pool;
    /* The end is announced like a run, after `stopping` is set: who has seen its generation sees that, too.
     */
    for (uint32_t seen = 0; !atomic_load(&pool->stopping);) {
        await_run(pool, seen);
        seen = take_chunks(pool, start.worker);
    }
    return NULL;
}

/* ---- The caller's side --------------------------------------------------------------------------------- */

static void announce(kx_pool *pool, uint32_t chunks)
{
    uint32_t generation = generation_of(atomic_load(&pool->ticket)) + 1;
    atomic_store(&pool->ticket, (uint64_t)generation << 32 | chunks);
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->announced);
    pthread_mutex_unlock(&pool->mutex);
}

static void await_done(kx_pool *pool, uint32_t chunks)
{
    if (spin(pool, run_is_done, chunks)) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, true);
    while (!run_is_done(pool, chunks)) pthread_cond_wait(&pool->finished, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}

void kx_pool_run(kx_pool *pool, size_t chunks, kx_pool_work *work, void *arguments)
{
    assert(chunks <= UINT32_MAX);
    if (chunks <= 1 || pool->threads == 1) {
        for (size_t chunk = 0; chunk < chunks; chunk++) work(arguments, chunk, 0);
        return;
    }
    pool->work = work;
    pool->arguments = arguments;
    pool->chunks = (uint32_t)chunks;
    atomic_store(&pool->done, 0);
    announce(pool, (uint32_t)chunks);
    take_chunks(pool, 0);
    await_done(pool, (uint32_t)chunks);
}

kx_status kx_pool_create(kx_pool **out, size_t threads, kx_error *err)
{
    kx_status status = KX_OK;
    kx_pool *pool = NULL;
    KX_FAIL_IF(threads > KX_LIMIT_THREADS, err, KX_ERR_INPUT, "%zu threads are asked for, the limit is %d",
               threads, KX_LIMIT_THREADS);
    size_t usable = kx_processors_usable();
    if (threads == 0) threads = usable;
    if (threads > KX_LIMIT_THREADS) threads = KX_LIMIT_THREADS;
    void *memory = NULL;
    KX_FAIL_IF(posix_memalign(&memory, CACHE_LINE, sizeof *pool) != 0, err, KX_ERR_MEMORY, "out of memory");
    pool = memory;
    *pool = (kx_pool){.threads = threads, .spin_ns = threads <= usable ? SPIN_NS : 0};
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->announced, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->handles = calloc(threads, sizeof *pool->handles);
    KX_FAIL_IF(pool->handles == NULL, err, KX_ERR_MEMORY, "out of memory");
    for (size_t worker = 1; worker < threads; worker++) {
        worker_start *start = malloc(sizeof *start);
        KX_FAIL_IF(start == NULL, err, KX_ERR_MEMORY, "out of memory");
        *start = (worker_start){pool, worker};
        if (pthread_create(&pool->handles[worker], NULL, worker_main, start) != 0) {
            free(start);
            KX_FAIL(err, KX_ERR_MEMORY, "cannot start thread %zu of %zu", worker + 1, threads);
        }
        pool->started = worker;
    }
    *out = pool;
    pool = NULL;
out:
    kx_pool_destroy(pool);
    return status;
}

void kx_pool_destroy(kx_pool *pool)
{
    if (pool == NULL) return;
    atomic_store(&pool->stopping, true);
    announce(pool, 0);
    for (size_t worker = 1; worker <= pool->started; worker++) pthread_join(pool->handles[worker], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->announced);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->handles);
    free(pool);
}

size_t kx_pool_threads(const kx_pool *pool)
{
    return pool->threads;
}
