/* Bytes on their way to the L2 cache while tiles multiply others: two runs of equal length, a share of them
 * at a time. What is asked for need not be there. */
#pragma once

#include "engine/kernels/kernels.h"

typedef struct tile_fetch {
    const uint8_t *first, *second;
    int64_t at, end, share; /* bytes of one run */
} tile_fetch;

/* The next share. */
static inline __attribute__((always_inline)) void fetch_some(tile_fetch *fetch)
{
    for (int64_t end = fetch->at + fetch->share; fetch->at < end && fetch->at < fetch->end;
         fetch->at += KX_PLANE_BYTES) {
        __builtin_prefetch(fetch->first + fetch->at, 0, 2);
        __builtin_prefetch(fetch->second + fetch->at, 0, 2);
    }
}
