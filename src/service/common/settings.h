/* Everything that an operator can set. The program's option table fills this struct from flags, environment
 * and the configuration file; the service only reads it. Strings are borrowed and outlive the service. Sizes
 * in bytes, times as their names say; 0 is never "unlimited" unless a comment says so. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct kx_settings {
    /* Where and what */
    const char *listen; /* "127.0.0.1:8080", "[::1]:8080" */
    const char
        *public_url; /* prefix of every absolute URL, without a trailing slash; NULL: from the request */
    const char *trusted_proxies; /* addresses or networks whose X-Forwarded-* are believed:
                                    "127.0.0.1,10.0.0.0/8"; NULL: none */
    const char *data;            /* the data folder */
    const char *model;           /* NULL: the demo model, or a synthetic one under the data folder */
    const char *tokenizers, *cpu;
    unsigned threads;
    const char *admin_key; /* first key's value instead of a random one; NULL */
    bool log_prompts;      /* prompts in the access log */

    /* HTTP */
    unsigned max_connections, max_connections_per_address;
    unsigned header_timeout_s; /* from accept to the end of the headers */
    unsigned body_timeout_s;   /* for a whole body, plus one second for each 64 KiB announced */
    unsigned idle_timeout_s;   /* keep-alive, and a reader that takes nothing */
    uint64_t max_body_bytes;   /* JSON bodies */
    uint64_t max_upload_bytes; /* one uploaded file */
    unsigned handler_threads;

    /* Requests */
    unsigned sync_window_ms;     /* at most 90000 */
    unsigned max_wait_s;         /* of ?wait= */
    unsigned submits_per_minute; /* for each key that has no rate of its own; 0: unlimited */
    unsigned concurrency;        /* jobs of one key at a time; more wait */
    unsigned max_queued;         /* jobs waiting in all; more are refused with 503 */
    uint64_t job_deadline_s;     /* a job that runs longer ends as "timeout" */
    unsigned job_attempts;       /* of a job that meets a transient fault */
    unsigned checkpoint_steps;   /* a checkpoint each so many steps */
    unsigned preview_steps;      /* a preview picture each so many steps; 0: none */
    uint64_t upload_quota_bytes; /* stored uploads of one key */
    uint64_t retention_s;        /* predictions, outputs, uploads: 7 days */

    /* Money, in micro-dollars (millionths of a US dollar) */
    int64_t initial_balance_micro;                                         /* of the first key */
    int64_t price_multi_micro, price_ultra_fast_micro, price_single_micro; /* for each output picture */

    /* Outgoing */
    const char *fetch_allow; /* networks that are reachable in spite of being private: "127.0.0.0/8,::1";
                                NULL: none */
    uint64_t fetch_max_bytes;
    unsigned fetch_timeout_s, fetch_redirects, fetch_threads;
    const char *webhook_backoff; /* seconds before each further try: "10,60,600" */
    unsigned webhook_timeout_s;

    /* Tests */
    const char *test_clock; /* see base/clock.h; NULL */
} kx_settings;

kx_settings kx_settings_default(void);
