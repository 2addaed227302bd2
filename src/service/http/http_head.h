/* The head of a request: request line and header lines, taken apart strictly. Pure functions over bytes.
 *
 * What two HTTP programs could understand differently is refused: a line that ends in anything but CR LF,
 * folded lines, NUL and other control bytes, white space before a colon, repeated Host, Content-Length,
 * Transfer-Encoding, Content-Type or Authorization, Content-Length beside Transfer-Encoding, any coding but
 * chunked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KX_HTTP_HEAD_BYTES   (32u << 10)
#define KX_HTTP_TARGET_BYTES 8192u
#define KX_HTTP_HEADERS_MAX  100

typedef struct kx_refusal {
    int status;
    const char *sentence; /* static */
} kx_refusal;

typedef struct kx_http_header {
    const char *name, *value;
} kx_http_header;

typedef struct kx_head {
    const char *method, *target, *host; /* host "" where an HTTP/1.0 request has none */
    bool is_http10, keep_alive, expects_continue;
    bool has_length, is_chunked;
    uint64_t length;
    kx_http_header headers[KX_HTTP_HEADERS_MAX];
    size_t num_headers;
} kx_head;

typedef enum kx_head_scan { KX_HEAD_MORE = 0, KX_HEAD_WHOLE, KX_HEAD_BROKEN } kx_head_scan;

/* Looks at the bytes from *scanned on, as they arrive, so that a broken head is refused at once. WHOLE: *end
 * bytes are the head. The caller has dropped an empty line in front. */
kx_head_scan kx_head_look(const char *bytes, size_t size, size_t *scanned, size_t *end, kx_refusal *refusal);

/* `text` is a whole head (ends in an empty line); it is cut into terminated strings in place. */
bool kx_head_parse(kx_head *head, char *text, size_t bytes, kx_refusal *refusal);

const char *kx_head_find(const kx_head *head, const char *name); /* the first; NULL */
bool kx_http_is_token(const char *text);
/* Whether `list`, separated by commas, names `word`; letter case does not count. */
bool kx_http_list_has(const char *list, const char *word);
/* "name", "name:port", "[v6]:port" and nothing else. */
bool kx_http_is_host(const char *text);
