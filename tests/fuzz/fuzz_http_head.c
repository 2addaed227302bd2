/* The bytes are what a client sends first: refused with a status, or a head whose parts hold what they
 * promise. How the bytes are cut into pieces makes no difference. */
#include "service/http/http_head.h"
#include "service/http/http_target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f) return false;
    }
    return true;
}

static void check_head(const kx_head *head)
{
    if (head->num_headers > KX_HTTP_HEADERS_MAX || !kx_http_is_token(head->method)) abort();
    if (head->is_chunked && head->has_length) abort();
    if (!head->is_http10 && head->host == NULL) abort();
    for (size_t i = 0; i < head->num_headers; i++) {
        if (!kx_http_is_token(head->headers[i].name) || !is_clean(head->headers[i].value)) abort();
    }
}

static void check_target(const kx_target *target)
{
    if (target->num_segments > KX_HTTP_SEGMENTS_MAX || target->num_queries > KX_HTTP_QUERIES_MAX) abort();
    for (size_t i = 0; i < target->num_segments; i++) {
        const char *segment = target->segments[i];
        if (strpbrk(segment, "/\\") != NULL || !is_clean(segment)) abort();
        if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0) abort();
    }
}

static void check_refusal(const kx_refusal *refusal)
{
    if (refusal->status < 400 || refusal->status > 599 || refusal->sentence[0] == '\0') abort();
}

static void parse(const uint8_t *data, size_t bytes)
{
    static kx_head head;
    static kx_target target;
    kx_arena arena = {0};
    kx_refusal refusal;
    char *copy = malloc(bytes + 1);
    if (copy == NULL) return;
    memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    if (!kx_head_parse(&head, copy, bytes, &refusal)) {
        check_refusal(&refusal);
    } else {
        check_head(&head);
        if (kx_target_parse(&target, head.target, &arena, &refusal))
            check_target(&target);
        else
            check_refusal(&refusal);
    }
    kx_arena_free(&arena);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kx_refusal refusal = {0};
    size_t scanned = 0, end = 0, pieces_scanned = 0, pieces_end = 0;
    const char *text = (const char *)data;
    kx_head_scan whole = kx_head_look(text, size, &scanned, &end, &refusal);
    if (whole == KX_HEAD_BROKEN) check_refusal(&refusal);
    kx_head_scan pieces = KX_HEAD_MORE;
    for (size_t have = 1; have <= size && pieces == KX_HEAD_MORE && size < 20000; have++)
        pieces = kx_head_look(text, have, &pieces_scanned, &pieces_end, &refusal);
    if (size > 0 && size < 8000 && (pieces != whole || pieces_end != end)) abort();
    if (whole == KX_HEAD_WHOLE) parse(data, end);
    return 0;
}
