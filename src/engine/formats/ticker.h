/* Progress and cancel of a long walk over bytes: reports to kx_callbacks and asks whether to stop. */
#pragma once

#include "base/error.h"

typedef struct kx_ticker {
    const kx_callbacks *callbacks; /* may be NULL */
    const char *stage;
    uint64_t total;
    uint64_t done;
    double start;
} kx_ticker;

void kx_ticker_start(kx_ticker *ticker, const kx_callbacks *callbacks, const char *stage, uint64_t total);
/* `bytes` more are done. Errors: KX_ERR_CANCELLED. */
kx_status kx_ticker_advance(kx_ticker *ticker, uint64_t bytes, kx_error *err);
