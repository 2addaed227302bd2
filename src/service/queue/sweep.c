/* Retention: what is too old leaves the store, then blobs that no record names leave the disk. */
#include "service/queue/queue_state.h"

#include <inttypes.h>

#define NS_PER_S        INT64_C(1000000000)
#define EVERY_S         600
#define YOUNGEST_BLOB_S 3600 /* a blob is put before the record that names it */

static void visit_blob(void *user, const char *hash, uint64_t age_s)
{
    kx_queue *queue = user;
    bool used = true;
    kx_error err = {0};
    if (age_s < YOUNGEST_BLOB_S || kx_queue_is_stopping(queue)) return;
    if (kx_store_blob_is_used(queue->parts.store, hash, &used, &err) != KX_OK || used) return;
    kx_blobs_remove_older(queue->parts.blobs, hash, YOUNGEST_BLOB_S);
}

static kx_status sweep(kx_queue *queue, int64_t now_ns, kx_error *err)
{
    kx_status status = KX_OK;
    uint64_t removed = 0;
    int64_t kept_ns = (int64_t)queue->parts.settings->retention_s * NS_PER_S;
    KX_TRY(kx_store_expire(queue->parts.store, now_ns - kept_ns, &removed, err));
    if (removed > 0) kx_queue_log(queue, "%" PRIu64 " records were past their time and are removed", removed);
    KX_TRY(kx_blobs_each(queue->parts.blobs, visit_blob, queue, err));
out:
    return status;
}

void *kx_sweep_main(void *argument)
{
    kx_queue *queue = argument;
    int64_t last_ns = INT64_MIN;
    while (!kx_queue_is_stopping(queue)) {
        int64_t now_ns = kx_clock_wall_ns(queue->parts.clock);
        /* Also when the clock was set back: the time of the last sweep means nothing then. */
        if (last_ns == INT64_MIN || now_ns < last_ns || now_ns - last_ns >= EVERY_S * NS_PER_S) {
            kx_error err = {0};
            if (sweep(queue, now_ns, &err) != KX_OK)
                kx_queue_log(queue, "the sweep stopped: %s", err.message);
            last_ns = now_ns;
        }
        kx_queue_pause(queue, kx_queue_clock_wait_ms(queue));
    }
    return NULL;
}
