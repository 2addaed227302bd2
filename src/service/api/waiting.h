/* Requests that wait for a job: sync submits, `Prefer: wait` and `?wait=` on a result. None holds a thread.
 */
#pragma once

#include "service/api/api.h"

typedef enum kx_waiting_for {
    KX_WAITING_LONG_POLL = 0, /* when time is up: the prediction as it is */
    KX_WAITING_SYNC,          /* when time is up: code 5004 and the contract's sentence */
} kx_waiting_for;

/* Answers when the prediction has ended or after `window_ms`. */
void kx_api_wait(kx_api *api, kx_exchange *exchange, const char *id, int64_t window_ms, kx_waiting_for what);
