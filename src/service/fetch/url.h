/* URLs that clients give, parsed by a stricter rule than any library's, so that nothing downstream can read
 * another host into them: http or https, no user, a host that is a plain name or a canonical address, a port
 * from 1 to 65535, no control bytes, spaces or backslashes. */
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "service/common/networks.h"

#define KX_URL_BYTES_MAX  8192
#define KX_HOST_BYTES_MAX 253

typedef struct kx_url {
    bool is_https;
    char host[KX_HOST_BYTES_MAX + 1]; /* lower case; an IPv6 address without its brackets */
    unsigned port;
    bool is_address; /* then `address` is what `host` says */
    kx_address address;
    const char *target; /* path and query, borrowed from the text */
    size_t target_bytes;
} kx_url;

/* KX_ERR_INPUT with a sentence that says what is wrong and repeats nothing of the text. */
kx_status kx_url_parse(kx_url *url, const char *text, kx_error *err);
/* The URL as it goes to the transfer library: rebuilt from the parts, without a fragment, everything but
 * plain printable ASCII percent-encoded, zero-terminated. Appends to `out`. */
kx_status kx_url_write(const kx_url *url, kx_bytes *out, kx_error *err);
