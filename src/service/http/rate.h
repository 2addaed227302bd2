/* A token bucket for each key: submits a minute. Refills evenly; a full bucket holds one minute's worth. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct kx_rate kx_rate;

kx_rate *kx_rate_open(void); /* NULL when memory is out */
void kx_rate_close(kx_rate *rate);
/* Takes one of `per_minute`; false when there is none, and then *retry_after_s is when there will be. 0 =
 * unlimited. */
bool kx_rate_take(kx_rate *rate, int64_t key_id, unsigned per_minute, int64_t now_ms,
                  unsigned *retry_after_s);
