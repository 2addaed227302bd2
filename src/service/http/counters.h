/* What the HTTP side counts, for /metrics. */
#pragma once

#include "service/common/histogram.h"

#include <stdint.h>

typedef struct kx_http_metrics {
    uint64_t by_code[600];
    uint64_t refused_connections;
    uint64_t bad_requests;                  /* whose head or address is broken: no route was looked for */
    uint64_t connections, waiting, streams; /* now */
    uint64_t bytes_in, bytes_out;
    /* Answered submits and polls that did not wait, and the time that they took. */
    kx_histogram submit_seconds, poll_seconds;
} kx_http_metrics;

struct kx_http;
void kx_http_metrics_read(struct kx_http *http, kx_http_metrics *metrics);
