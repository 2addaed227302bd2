/* Everything that an operator can set. The program's option table fills this struct from flags, environment
 * and the configuration file; the service only reads it. Strings are borrowed and outlive the service. Sizes
 * in bytes, times as their names say; 0 is never "unlimited" unless a comment says so. Each comment begins
 * with the default; "none" is NULL. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct kx_settings {
    /* Where and what */
    const char *listen;          /* 127.0.0.1:8080; also "[::1]:8080" */
    const char *public_url;      /* none: from the request. Prefix of every absolute URL, no trailing slash */
    const char *trusted_proxies; /* none. Addresses or networks whose X-Forwarded-* are believed:
                                    "127.0.0.1,10.0.0.0/8" */
    const char *data;            /* kontext-data. The data folder */
    const char *model;           /* none: the demo model, or a synthetic one under the data folder */
    const char *tokenizers;      /* none: the model's own */
    const char *precision;       /* "auto", "f32", "bf16", "int8"; none: auto */
    const char *cpu;             /* none: the best kernel set of the processor */
    unsigned threads;            /* 0: one for each processor */
    uint64_t
        encoder_cache_bytes; /* 64 MiB. Text embeddings and reference latents kept for later jobs; 0: none */
    const char *admin_key;   /* none: random. The first key's value */
    const char *web;         /* none: embedded. A folder with the playground's files, while developing */
    bool log_prompts;        /* off. Prompts in the access log */

    /* HTTP */
    unsigned max_connections;             /* 2048 */
    unsigned max_connections_per_address; /* 1024: a proxy in front is one address */
    unsigned header_timeout_s;            /* 10. From accept to the end of the headers */
    unsigned body_timeout_s;   /* 30. For a whole body, plus one second for each 64 KiB announced */
    unsigned idle_timeout_s;   /* 60. Keep-alive, and a reader that takes nothing */
    uint64_t max_body_bytes;   /* 64 MiB. JSON bodies */
    uint64_t max_upload_bytes; /* 200 MiB. One uploaded file */
    unsigned handler_threads;  /* 8 */

    /* Requests */
    unsigned sync_window_ms;     /* 90000, which is also the most */
    unsigned max_wait_s;         /* 60. Of ?wait= */
    unsigned submits_per_minute; /* 600. For each key that has no rate of its own; 0: unlimited */
    unsigned concurrency;        /* 2. Jobs of one key at a time; more wait */
    unsigned max_queued;         /* 10000. Jobs waiting in all; more are refused with 503 */
    uint64_t job_deadline_s;     /* 6 hours. A job that runs longer ends as "timeout" */
    unsigned job_attempts;       /* 3. Of a job that meets a transient fault */
    const char *cache;           /* none: off. The step cache of every edit, as kx_cache_parse reads it */
    unsigned checkpoint_steps;   /* 4. A checkpoint each so many steps */
    unsigned preview_steps;      /* 4. A preview picture each so many steps; 0: none */
    uint64_t upload_quota_bytes; /* 10 GiB. Stored uploads of one key */
    uint64_t retention_s;        /* 7 days. Predictions, outputs, uploads */

    /* Money, in micro-dollars (millionths of a US dollar); prices are for each output picture */
    int64_t initial_balance_micro;  /* 1000 dollars. Of the first key */
    int64_t price_multi_micro;      /* 0.03 dollars */
    int64_t price_ultra_fast_micro; /* 0.025 dollars */
    int64_t price_single_micro;     /* 0.025 dollars */

    /* Outgoing */
    const char *fetch_allow;     /* none. Networks that are reachable in spite of being private:
                                    "127.0.0.0/8,::1" */
    uint64_t fetch_max_bytes;    /* 100 MiB */
    unsigned fetch_timeout_s;    /* 60 */
    unsigned fetch_redirects;    /* 5 */
    unsigned fetch_threads;      /* 4 */
    const char *webhook_backoff; /* 10,60,600,3600,14400. Seconds before each further try */
    unsigned webhook_timeout_s;  /* 30 */

    /* Tests */
    const char *test_clock; /* none. See base/clock.h */
} kx_settings;

kx_settings kx_settings_default(void);
