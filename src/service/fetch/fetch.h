/* Every request that leaves this machine: input pictures and webhooks. http and https only; the address that
 * is connected to is checked (also after a redirect and whatever the name resolved to before); private,
 * loopback, link-local, multicast, metadata and otherwise special addresses are refused unless a network that
 * the operator allows holds them. Proxies of the environment are not used. Over libcurl. From any thread; a
 * call blocks. */
#pragma once

#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct kx_fetch kx_fetch;

typedef struct kx_fetch_options {
    const char *allow;  /* "127.0.0.0/8,::1/128"; NULL: none */
    uint64_t max_bytes; /* of a body */
    unsigned timeout_s; /* for all of one request, redirects included */
    unsigned redirects;
} kx_fetch_options;

kx_status kx_fetch_open(kx_fetch **fetch, const kx_fetch_options *options,
                        kx_error *err); /* KX_ERR_USAGE: a bad `allow` */
void kx_fetch_close(kx_fetch *fetch);

/* Is this an URL that could be fetched: http(s), a host, no user, no odd bytes, and, where the host is a
 * literal address in whatever spelling, one that is allowed? KX_ERR_INPUT says why not. Does not resolve
 * names. */
kx_status kx_fetch_check_url(const kx_fetch *fetch, const char *url, kx_error *err);

/* GET into `out`. KX_ERR_INPUT with a sentence fit for the client (no addresses of our network in it):
 * refused, not found, too large, too slow. KX_ERR_CANCELLED when `cancelled` (may be NULL) says so. */
kx_status kx_fetch_get(kx_fetch *fetch, const char *url, kx_bytes *out, int (*cancelled)(void *user),
                       void *user, kx_error *err);

typedef struct kx_fetch_header {
    const char *name, *value;
} kx_fetch_header;
/* POST; *http_status is 0 when no answer came (then also KX_ERR_INPUT). Redirects are not followed; the
 * answer's body is read up to 64 KiB and thrown away. */
kx_status kx_fetch_post(kx_fetch *fetch, const char *url, const kx_fetch_header *headers, size_t num_headers,
                        const void *body, size_t bytes, unsigned timeout_s, int *http_status,
                        int (*cancelled)(void *user), void *user, kx_error *err);
