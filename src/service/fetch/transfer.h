/* One hop of a request over libcurl: no redirects followed, every address checked as its socket is opened. */
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "service/common/networks.h"
#include "service/fetch/fetch.h"
#include "service/fetch/url.h"

typedef struct kx_transfer {
    /* Asked for */
    const kx_url *url;
    const kx_networks *allowed;
    int64_t until_ms;   /* monotonic */
    uint64_t max_bytes; /* of the answer's body */
    kx_bytes *out;      /* where it goes; NULL: thrown away */
    const void *body;   /* of a POST; NULL: a GET */
    size_t body_bytes;
    const kx_fetch_header *headers;
    size_t num_headers;
    int (*cancelled)(void *user);
    void *user;
    /* Found */
    int http_status;   /* 0: no answer */
    kx_bytes redirect; /* an absolute URL, zero-terminated; empty unless the answer is a redirect */
    /* Its own */
    uint64_t body_seen, header_seen;
    bool is_too_large, is_out_of_memory, was_cancelled;
} kx_transfer;

/* KX_ERR_INPUT with words fit for a client when no whole answer came; an answer of whatever status is KX_OK.
 * Free `redirect` with kx_bytes_free. */
kx_status kx_transfer_run(kx_transfer *transfer, kx_error *err);
