/* The compute pool: a fixed set of threads that share out numbered chunks of one loop at a time.
 *
 *     kx_pool_run(pool, chunks, work, &arguments);      // calls work(&arguments, chunk, worker) for 0 <=
 * chunk < chunks
 *
 * The caller is worker 0 and takes part; run returns when every chunk is done. Chunks are taken from an
 * atomic counter, so a result must depend on the chunk number only, never on the worker or on the number of
 * threads (that is what keeps the bytes equal for any number of threads). `worker` (0 <= worker <
 * kx_pool_threads) selects per-thread scratch. One run at a time; runs do not nest. A pool of one thread
 * starts none.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

typedef struct kx_pool kx_pool;
typedef void kx_pool_work(void *arguments, size_t chunk, size_t worker);

/* threads: 0 = one for each processor that this process may use (processors.h). */
kx_status kx_pool_create(kx_pool **pool, size_t threads, kx_error *err);
void kx_pool_destroy(kx_pool *pool);
size_t kx_pool_threads(const kx_pool *pool);
void kx_pool_run(kx_pool *pool, size_t chunks, kx_pool_work *work, void *arguments);
