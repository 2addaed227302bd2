#include "service/common/settings.h"

#include <stddef.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

kx_settings kx_settings_default(void)
{
    return (kx_settings){
        .listen = "127.0.0.1:8080",
        .data = "kontext-data",
        .encoder_cache_bytes = 64 * MIB,

        .max_connections = 2048,
        .max_connections_per_address = 1024,
        .header_timeout_s = 10,
        .body_timeout_s = 30,
        .idle_timeout_s = 60,
        .max_body_bytes = 64 * MIB,
        .max_upload_bytes = 200 * MIB,
        .handler_threads = 8,

        .sync_window_ms = 90000,
        .max_wait_s = 60,
        .submits_per_minute = 600,
        .concurrency = 2,
        .max_queued = 10000,
        .job_deadline_s = 6 * 3600,
        .job_attempts = 3,
        .checkpoint_steps = 4,
        .preview_steps = 4,
        .upload_quota_bytes = 10 * GIB,
        .retention_s = 7 * 86400,

        .initial_balance_micro = 1000 * INT64_C(1000000),
        .price_multi_micro = 30000,
        .price_ultra_fast_micro = 25000,
        .price_single_micro = 25000,

        .fetch_max_bytes = 100 * MIB,
        .fetch_timeout_s = 60,
        .fetch_redirects = 5,
        .fetch_threads = 4,
        .webhook_backoff = "10,60,600,3600,14400",
        .webhook_timeout_s = 30,
    };
}
