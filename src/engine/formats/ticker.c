#include "engine/formats/ticker.h"

#include <time.h>

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void kx_ticker_start(kx_ticker *ticker, const kx_callbacks *callbacks, const char *stage, uint64_t total)
{
    *ticker = (kx_ticker){callbacks, stage, total, 0, seconds_now()};
}

kx_status kx_ticker_advance(kx_ticker *ticker, uint64_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_callbacks *callbacks = ticker->callbacks;
    ticker->done += bytes;
    if (callbacks == NULL) goto out;
    KX_FAIL_IF(callbacks->cancelled != NULL && callbacks->cancelled(callbacks->user), err, KX_ERR_CANCELLED,
               "cancelled");
    if (callbacks->progress != NULL) {
        kx_progress progress = {.stage = ticker->stage,
                                .done = ticker->done,
                                .total = ticker->total,
                                .num_images = 1,
                                .seconds = seconds_now() - ticker->start};
        callbacks->progress(callbacks->user, &progress);
    }
out:
    return status;
}
