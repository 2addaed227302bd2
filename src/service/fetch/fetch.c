#include "service/fetch/fetch.h"

#include "base/clock.h"
#include "service/fetch/reachable.h"
#include "service/fetch/transfer.h"
#include "service/fetch/url.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#define THROWN_AWAY_BYTES_MAX (64u << 10) /* of a webhook's answer */

struct kx_fetch {
    kx_fetch_options options;
    kx_networks allowed;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static CURLcode library_state = CURLE_FAILED_INIT;

static void start_library(void)
{
    library_state = curl_global_init(CURL_GLOBAL_DEFAULT);
}

kx_status kx_fetch_open(kx_fetch **fetch, const kx_fetch_options *options, kx_error *err)
{
    kx_status status = KX_OK;
    kx_fetch *made = NULL;
    *fetch = NULL;
    pthread_once(&library_once, start_library);
    KX_FAIL_IF(library_state != CURLE_OK, err, KX_ERR_INTERNAL, "libcurl does not start: %s",
               curl_easy_strerror(library_state));
    made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory for outgoing requests");
    made->options = *options;
    made->options.allow = NULL; /* borrowed for this call only */
    KX_TRY(kx_networks_parse(&made->allowed, options->allow, err));
    *fetch = made;
    made = NULL;
out:
    kx_fetch_close(made);
    return status;
}

void kx_fetch_close(kx_fetch *fetch)
{
    if (fetch == NULL) return;
    kx_networks_free(&fetch->allowed);
    free(fetch);
}

static kx_status parse_allowed(const kx_fetch *fetch, kx_url *url, const char *text, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_url_parse(url, text, err));
    KX_FAIL_IF(url->is_address && !kx_fetch_address_is_reachable(&url->address, &fetch->allowed), err,
               KX_ERR_INPUT, "the URL's host is an address that is not public");
out:
    return status;
}

kx_status kx_fetch_check_url(const kx_fetch *fetch, const char *url, kx_error *err)
{
    kx_url parsed;
    return parse_allowed(fetch, &parsed, url, err);
}

static kx_status check_status(int http_status, kx_error *err)
{
    kx_status status = KX_OK;
    if (http_status >= 200 && http_status <= 299) goto out;
    /* The number itself is a word on which old clients retry. */
    KX_FAIL_IF(http_status == 429, err, KX_ERR_INPUT, "the server asked to come back later");
    KX_FAIL_IF(http_status == 404 || http_status == 410, err, KX_ERR_INPUT,
               "the server does not have it (status %d)", http_status);
    KX_FAIL_IF(http_status == 401 || http_status == 403, err, KX_ERR_INPUT,
               "the server does not give it to us (status %d)", http_status);
    KX_FAIL(err, KX_ERR_INPUT, "the server answered with the status %d", http_status);
out:
    return status;
}

/* One hop; *next becomes the URL that it leads on to, or stays empty when the answer is the last. */
static kx_status get_hop(const kx_fetch *fetch, const char *text, kx_transfer *transfer, kx_bytes *next,
                         kx_error *err)
{
    kx_status status = KX_OK;
    kx_url url;
    KX_TRY(parse_allowed(fetch, &url, text, err));
    transfer->url = &url;
    transfer->http_status = 0;
    transfer->body_seen = transfer->header_seen = 0;
    transfer->redirect = (kx_bytes){0};
    KX_TRY(kx_transfer_run(transfer, err));
    *next = transfer->redirect;
    transfer->redirect = (kx_bytes){0};
    if (next->data == NULL) KX_TRY(check_status(transfer->http_status, err));
out:
    kx_bytes_free(&transfer->redirect);
    return status;
}

kx_status kx_fetch_get(kx_fetch *fetch, const char *url, kx_bytes *out, int (*cancelled)(void *user),
                       void *user, kx_error *err)
{
    kx_status status = KX_OK;
    size_t began = out->size;
    kx_bytes at = {0}, next = {0};
    kx_transfer transfer = {.allowed = &fetch->allowed,
                            .until_ms = kx_clock_monotonic_ms() + 1000 * (int64_t)fetch->options.timeout_s,
                            .max_bytes = fetch->options.max_bytes,
                            .out = out,
                            .cancelled = cancelled,
                            .user = user};
    KX_TRY(get_hop(fetch, url, &transfer, &next, err));
    for (unsigned hop = 0; next.data != NULL; hop++) {
        KX_FAIL_IF(hop >= fetch->options.redirects, err, KX_ERR_INPUT,
                   "the server sent us on more than %u times", fetch->options.redirects);
        KX_FAIL_IF(kx_clock_monotonic_ms() >= transfer.until_ms, err, KX_ERR_INPUT,
                   "the server did not answer in time");
        kx_bytes_free(&at);
        at = next;
        next = (kx_bytes){0};
        out->size = began; /* the body of a redirect is nobody's */
        kx_error inner = {0};
        status = get_hop(fetch, (const char *)at.data, &transfer, &next, &inner);
        if (status == KX_OK) continue;
        if (status == KX_ERR_INPUT) kx_error_prefix(&inner, "after being sent on");
        *err = inner;
        goto out;
    }
out:
    if (status != KX_OK) out->size = began;
    kx_bytes_free(&at);
    kx_bytes_free(&next);
    return status;
}

kx_status kx_fetch_post(kx_fetch *fetch, const char *url, const kx_fetch_header *headers, size_t num_headers,
                        const void *body, size_t bytes, unsigned timeout_s, int *http_status,
                        int (*cancelled)(void *user), void *user, kx_error *err)
{
    kx_status status = KX_OK;
    kx_url parsed;
    kx_transfer transfer = {.url = &parsed,
                            .allowed = &fetch->allowed,
                            .until_ms = kx_clock_monotonic_ms() + 1000 * (int64_t)timeout_s,
                            .max_bytes = THROWN_AWAY_BYTES_MAX,
                            .body = body,
                            .body_bytes = bytes,
                            .headers = headers,
                            .num_headers = num_headers,
                            .cancelled = cancelled,
                            .user = user};
    *http_status = 0;
    KX_TRY(parse_allowed(fetch, &parsed, url, err));
    KX_TRY(kx_transfer_run(&transfer, err));
    *http_status = transfer.http_status;
out:
    kx_bytes_free(&transfer.redirect);
    return status;
}
