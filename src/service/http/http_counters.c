#include "service/http/http_internal.h"

void kx_http_metrics_read(kx_http *http, kx_http_metrics *metrics)
{
    kx_http_counts *counts = &http->counts;
    *metrics = (kx_http_metrics){0};
    for (int code = 100; code < 600; code++) metrics->by_code[code] = atomic_load(&counts->by_code[code]);
    metrics->refused_connections = atomic_load(&counts->refused_connections);
    metrics->bad_requests = atomic_load(&counts->bad_requests);
    metrics->connections = atomic_load(&counts->connections);
    metrics->waiting = atomic_load(&counts->waiting);
    metrics->streams = atomic_load(&counts->streams);
    metrics->bytes_in = atomic_load(&counts->bytes_in);
    metrics->bytes_out = atomic_load(&counts->bytes_out);
    pthread_mutex_lock(&counts->latency_lock);
    metrics->submit_seconds = counts->submit_seconds;
    metrics->poll_seconds = counts->poll_seconds;
    pthread_mutex_unlock(&counts->latency_lock);
}
