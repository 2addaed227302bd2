/* Any bytes as an URL: refused with words of our own, or rebuilt into an URL that means the same to the
 * strict parser and to libcurl's. */
#include "service/fetch/url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *part_of(CURLU *handle, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    return curl_url_get(handle, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static void check_libcurl_agrees(const kx_url *url, const char *text)
{
    CURLU *handle = curl_url();
    char expected[KX_HOST_BYTES_MAX + 3];
    if (handle == NULL) return;
    if (curl_url_set(handle, CURLUPART_URL, text, 0) != CURLUE_OK) abort();
    char *host = part_of(handle, CURLUPART_HOST, 0),
         *port = part_of(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    bool is_v6 = strchr(url->host, ':') != NULL;
    snprintf(expected, sizeof expected, "%s%s%s", is_v6 ? "[" : "", url->host, is_v6 ? "]" : "");
    if (host == NULL || port == NULL || strtoul(port, NULL, 10) != url->port) abort();
    /* libcurl writes an IPv6 address in its shortest form, which the tests of addresses cover. */
    if (!is_v6 && strcmp(host, expected) != 0) abort();
    if (part_of(handle, CURLUPART_USER, 0) != NULL || part_of(handle, CURLUPART_FRAGMENT, 0) != NULL) abort();
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(handle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kx_error err = {0};
    kx_url url, again;
    kx_bytes rebuilt = {.cap = 1 << 20};
    char *text = malloc(size + 1);
    if (text == NULL) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    kx_status status = kx_url_parse(&url, text, &err);
    if (status != KX_OK && strncmp(err.message, "the URL", 7) != 0) abort();
    if (status == KX_OK) {
        kx_error second = {0};
        if (kx_url_write(&url, &rebuilt, &second) != KX_OK) abort();
        /* A target full of bytes that need three each may have grown past the limit. */
        if (rebuilt.size <= KX_URL_BYTES_MAX) {
            if (kx_url_parse(&again, (const char *)rebuilt.data, &second) != KX_OK) abort();
            if (strcmp(again.host, url.host) != 0 || again.port != url.port) abort();
            if (again.is_address != url.is_address || again.is_https != url.is_https) abort();
        }
        check_libcurl_agrees(&url, (const char *)rebuilt.data);
    }
    kx_bytes_free(&rebuilt);
    free(text);
    return 0;
}
