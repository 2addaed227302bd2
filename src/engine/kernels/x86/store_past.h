/* kernels.h, store_past, for both widths of vectors. Include lanes_SET.h first. */
#pragma once

#include <stddef.h>

/* Such stores are ordered with what other threads do by nothing but a fence or a locked instruction; the pool
 * counts a finished chunk by one (base/pool.c). */
static inline void store_past_row(int64_t n, const float *r, const float *bias, float *y)
{
    const size_t aligned = LANES * sizeof *y;
    int64_t i = 0;
    for (; (uintptr_t)y % aligned == 0 && i + LANES <= n; i += LANES) {
        lanes value = lanes_load(r + i);
        lanes_store_past(y + i, bias == NULL ? value : lanes_add(value, lanes_load(bias + i)));
    }
    for (; i < n; i++) y[i] = bias == NULL ? r[i] : r[i] + bias[i];
}
