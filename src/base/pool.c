#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "base/pool.h"

#include "base/limits.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* A run is announced under the mutex by a new generation number; workers that slept or spun see it, take
 * chunks until none is left, and count themselves out. The caller waits until all have left, so `work` and
 * `arguments` are never read after kx_pool_run returned. */
struct kx_pool {
    size_t threads; /* with the caller */
    pthread_t *handles;
    pthread_mutex_t mutex;
    pthread_cond_t announced;
    pthread_cond_t finished;
    unsigned generation; /* guarded by mutex; read without it while spinning */
    atomic_uint generation_hint;
    size_t working; /* workers that have not left the present run; guarded by mutex */
    bool stopping;  /* guarded by mutex */
    kx_pool_work *work;
    void *arguments;
    size_t chunks;
    atomic_size_t next_chunk;
    size_t started; /* threads to join */
};

typedef struct worker_start {
    kx_pool *pool;
    size_t worker;
} worker_start;

enum { SPIN_ROUNDS = 2000 };

static void take_chunks(kx_pool *pool, size_t worker)
{
    for (;;) {
        size_t chunk = atomic_fetch_add_explicit(&pool->next_chunk, 1, memory_order_relaxed);
        if (chunk >= pool->chunks) return;
        pool->work(pool->arguments, chunk, worker);
    }
}

static void *worker_main(void *argument)
{
    worker_start start = *(worker_start *)argument;
    free(argument);
    kx_pool *pool = start.pool;
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < SPIN_ROUNDS; i++) {
            if (atomic_load_explicit(&pool->generation_hint, memory_order_relaxed) != seen) break;
            sched_yield();
        }
        pthread_mutex_lock(&pool->mutex);
        while (pool->generation == seen && !pool->stopping) pthread_cond_wait(&pool->announced, &pool->mutex);
        bool stopping = pool->stopping;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->mutex);
        if (stopping) return NULL;
        take_chunks(pool, start.worker);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->working == 0) pthread_cond_signal(&pool->finished);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static size_t usable_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return (size_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}

kx_status kx_pool_create(kx_pool **out, size_t threads, kx_error *err)
{
    kx_status status = KX_OK;
    kx_pool *pool = NULL;
    KX_FAIL_IF(threads > KX_LIMIT_THREADS, err, KX_ERR_INPUT, "%zu threads are asked for, the limit is %d",
               threads, KX_LIMIT_THREADS);
    if (threads == 0) threads = usable_processors();
    if (threads > KX_LIMIT_THREADS) threads = KX_LIMIT_THREADS;
    pool = calloc(1, sizeof *pool);
    KX_FAIL_IF(pool == NULL, err, KX_ERR_MEMORY, "out of memory");
    pool->threads = threads;
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
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->announced);
    pthread_mutex_unlock(&pool->mutex);
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

void kx_pool_run(kx_pool *pool, size_t chunks, kx_pool_work *work, void *arguments)
{
    if (chunks <= 1 || pool->threads == 1) {
        for (size_t chunk = 0; chunk < chunks; chunk++) work(arguments, chunk, 0);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->work = work;
    pool->arguments = arguments;
    pool->chunks = chunks;
    atomic_store_explicit(&pool->next_chunk, 0, memory_order_relaxed);
    pool->working = pool->threads - 1;
    pool->generation++;
    atomic_store_explicit(&pool->generation_hint, pool->generation, memory_order_relaxed);
    pthread_cond_broadcast(&pool->announced);
    pthread_mutex_unlock(&pool->mutex);
    take_chunks(pool, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->working != 0) pthread_cond_wait(&pool->finished, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}
