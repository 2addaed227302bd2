#include "service/fetch/transfer.h"

#include "base/clock.h"
#include "service/fetch/reachable.h"

#include <curl/curl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_BYTES_MAX (64u << 10) /* all header lines of one answer together */
#define CONNECT_MS_MAX   10000
#define SLOW_BYTES_PER_S 256L /* below this for SLOW_SECONDS a transfer has stalled */
#define SLOW_SECONDS     20L

/* ---- Callbacks of libcurl ---- */

/* The one place where a socket comes from: what is refused here is never connected to, whatever name, DNS
 * answer or redirect led to it. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *target)
{
    const kx_transfer *transfer = user;
    kx_address address;
    if (purpose != CURLSOCKTYPE_IPCXN || !kx_address_from_socket(&address, &target->addr) ||
        !kx_fetch_address_is_reachable(&address, transfer->allowed))
        return CURL_SOCKET_BAD;
    return socket(target->family, target->socktype | SOCK_CLOEXEC, target->protocol);
}

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    kx_transfer *transfer = user;
    size_t bytes = size * count;
    kx_error ignored = {0};
    transfer->body_seen += bytes;
    transfer->is_too_large = transfer->body_seen > transfer->max_bytes;
    if (transfer->is_too_large) return 0;
    if (transfer->out == NULL || bytes == 0) return bytes;
    transfer->is_out_of_memory = kx_bytes_append(transfer->out, data, bytes, &ignored) != KX_OK;
    return transfer->is_out_of_memory ? 0 : bytes;
}

static size_t take_header(char *data, size_t size, size_t count, void *user)
{
    kx_transfer *transfer = user;
    (void)data;
    transfer->header_seen += size * count;
    return transfer->header_seen > HEADER_BYTES_MAX ? 0 : size * count;
}

static int tick(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    kx_transfer *transfer = user;
    (void)down_total, (void)down, (void)up_total, (void)up;
    transfer->was_cancelled = transfer->cancelled != NULL && transfer->cancelled(transfer->user) != 0;
    return transfer->was_cancelled;
}

/* ---- What is asked ---- */

static long left_ms(const kx_transfer *transfer)
{
    int64_t left = transfer->until_ms - kx_clock_monotonic_ms();
    return left < 1 ? 1 : left > LONG_MAX / 2 ? LONG_MAX / 2 : (long)left;
}

/* Nothing of the environment takes part: no proxy, no cookies, no .netrc, no decoding (a small answer must
 * not grow after it was counted). */
static void set_rules(CURL *curl, kx_transfer *transfer)
{
    long left = left_ms(transfer);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* a stuck resolver must not hold us */
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kontext/" KX_VERSION);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, left < CONNECT_MS_MAX ? left : (long)CONNECT_MS_MAX);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES_PER_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, tick);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
}

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer != NULL) *list = longer;
    return longer != NULL;
}

static kx_status set_body(CURL *curl, const kx_transfer *transfer, struct curl_slist **list, kx_error *err)
{
    kx_status status = KX_OK;
    bool is_done = true;
    if (transfer->body == NULL) goto out;
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, transfer->body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->body_bytes);
    is_done = add_header(list, "Expect:"); /* no waiting for "100 Continue" */
    for (size_t i = 0; i < transfer->num_headers && is_done; i++) {
        char line[512];
        int length =
            snprintf(line, sizeof line, "%s: %s", transfer->headers[i].name, transfer->headers[i].value);
        KX_FAIL_IF(length < 0 || (size_t)length >= sizeof line, err, KX_ERR_INTERNAL,
                   "the header %s is %d bytes, the limit is %zu", transfer->headers[i].name, length,
                   sizeof line);
        is_done = add_header(list, line);
    }
    KX_FAIL_IF(!is_done, err, KX_ERR_MEMORY, "out of memory for the headers of a request");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *list);
out:
    return status;
}

/* ---- What is told ---- */

/* Words for clients. A name that leads into our network reads like one that leads nowhere, so that nobody can
 * map the network by asking. Old clients retry on certain words (see docs/internals/fetch.md); none is used.
 */
static const char *sentence_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return "the server could not be reached";
    case CURLE_OPERATION_TIMEDOUT:
        return "the server did not answer in time";
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2_STREAM:
        return "the server stopped in the middle of its answer";
    case CURLE_GOT_NOTHING:
        return "the server gave no answer";
    case CURLE_SSL_CONNECT_ERROR:
        return "the server and this one have no encryption in common";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "the server's certificate is not valid";
    default:
        return "the server's answer could not be read";
    }
}

static kx_status tell_failure(const kx_transfer *transfer, CURLcode code, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(transfer->was_cancelled, err, KX_ERR_CANCELLED, "cancelled");
    KX_FAIL_IF(code == CURLE_OUT_OF_MEMORY || transfer->is_out_of_memory, err, KX_ERR_MEMORY,
               "out of memory for the answer of a server");
    KX_FAIL_IF(transfer->is_too_large || code == CURLE_FILESIZE_EXCEEDED, err, KX_ERR_INPUT,
               "it is larger than %llu bytes", (unsigned long long)transfer->max_bytes);
    KX_FAIL_IF(transfer->header_seen > HEADER_BYTES_MAX, err, KX_ERR_INPUT,
               "the server's header is too long");
    KX_FAIL(err, KX_ERR_INPUT, "%s", sentence_of(code));
out:
    return status;
}

static kx_status take_redirect(CURL *curl, kx_transfer *transfer, kx_error *err)
{
    kx_status status = KX_OK;
    const char *url = NULL;
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &url);
    if (transfer->http_status < 300 || transfer->http_status > 399 || url == NULL) goto out;
    transfer->redirect.cap = KX_URL_BYTES_MAX + 1;
    KX_FAIL_IF(strlen(url) > KX_URL_BYTES_MAX, err, KX_ERR_INPUT,
               "the server sent us on to an URL that is too long");
    KX_TRY(kx_bytes_append(&transfer->redirect, url, strlen(url) + 1, err));
out:
    return status;
}

kx_status kx_transfer_run(kx_transfer *transfer, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes text = {.cap = 4 * KX_URL_BYTES_MAX};
    struct curl_slist *headers = NULL;
    long http_status = 0;
    CURL *curl = curl_easy_init();
    KX_FAIL_IF(curl == NULL, err, KX_ERR_MEMORY, "out of memory for a request");
    KX_TRY(kx_url_write(transfer->url, &text, err));
    set_rules(curl, transfer);
    KX_TRY(set_body(curl, transfer, &headers, err));
    if (transfer->max_bytes < INT64_MAX && transfer->out != NULL)
        curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->max_bytes);
    curl_easy_setopt(curl, CURLOPT_URL, (const char *)text.data);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http_status);
    transfer->http_status = (int)http_status;
    /* Whoever throws the body away has all that matters once the status is there. */
    bool is_enough = code == CURLE_OK || (transfer->out == NULL && transfer->is_too_large);
    if (!is_enough) KX_TRY(tell_failure(transfer, code, err));
    KX_TRY(take_redirect(curl, transfer, err));
out:
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    kx_bytes_free(&text);
    return status;
}
