/* What a handler says: whole answers, errors, files. */
#include "service/http/http_internal.h"

#include "service/http/http_range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A later answer replaces an earlier one. */
static void begin(kx_exchange *exchange, kx_answer_kind kind, int status, const char *content_type)
{
    kx_answer *answer = &exchange->answer;
    if (answer->kind == KX_ANSWER_FILE && answer->file.fd >= 0) close(answer->file.fd);
    answer->file.fd = -1;
    answer->payload.size = 0;
    answer->kind = kind;
    answer->status = status;
    answer->content_type = content_type;
}

static bool name_is(const char *line, size_t length, const char *name)
{
    size_t wanted = strlen(name);
    return length > wanted && line[wanted] == ':' && strncasecmp(line, name, wanted) == 0;
}

bool kx_answer_has_header(const kx_answer *answer, const char *name)
{
    const char *line = (const char *)answer->headers.data;
    size_t left = answer->headers.size;
    while (left > 0) {
        const char *end = memchr(line, '\n', left);
        size_t length = end == NULL ? left : (size_t)(end - line) + 1;
        if (name_is(line, length, name)) return true;
        line += length;
        left -= length;
    }
    return false;
}

void kx_answer_header(kx_exchange *exchange, const char *name, const char *value)
{
    kx_bytes *headers = &exchange->answer.headers;
    size_t before = headers->size;
    kx_error err = {0};
    if (!kx_http_is_token(name) || strlen(value) > KX_HTTP_TARGET_BYTES) return;
    for (const char *c = value; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) return;
    }
    if (kx_bytes_append(headers, name, strlen(name), &err) != KX_OK ||
        kx_bytes_append(headers, ": ", 2, &err) != KX_OK ||
        kx_bytes_append(headers, value, strlen(value), &err) != KX_OK ||
        kx_bytes_append(headers, "\r\n", 2, &err) != KX_OK)
        headers->size = before;
}

void kx_answer_bytes(kx_exchange *exchange, int status, const char *content_type, const void *data,
                     size_t bytes)
{
    kx_error err = {0};
    char *type = NULL;
    begin(exchange, KX_ANSWER_BYTES, status, "application/octet-stream");
    if (kx_arena_copy_text(&exchange->arena, content_type, strlen(content_type), &type, &err) == KX_OK)
        exchange->answer.content_type = type;
    if (kx_bytes_append(&exchange->answer.payload, data, bytes, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
}

/* The last resort needs no memory beyond what the exchange has. */
static void answer_plain_error(kx_exchange *exchange, int status)
{
    static const char text[] = "{\"code\":503,\"message\":\"out of memory\",\"error\":\"out of memory\"}";
    kx_error err = {0};
    begin(exchange, KX_ANSWER_BYTES, status, "application/json");
    kx_bytes_append(&exchange->answer.payload, text, sizeof text - 1, &err);
}

static int dump_part(const char *text, size_t bytes, void *out)
{
    kx_error err = {0};
    return kx_bytes_append(out, text, bytes, &err) == KX_OK ? 0 : -1;
}

void kx_answer_json(kx_exchange *exchange, int status, json_t *body)
{
    begin(exchange, KX_ANSWER_BYTES, status, "application/json");
    bool good = body != NULL && json_dump_callback(body, dump_part, &exchange->answer.payload,
                                                   JSON_COMPACT | JSON_REAL_PRECISION(15)) == 0;
    json_decref(body);
    if (!good) answer_plain_error(exchange, 503);
}

static void answer_sentence(kx_exchange *exchange, int status, const char *sentence)
{
    json_t *body = json_pack("{s:i,s:s,s:s}", "code", status, "message", sentence, "error", sentence);
    kx_answer_json(exchange, status, body);
}

/* Bytes of the character that begins at `text`; 0: no whole character begins there. */
static size_t character_bytes(const char *text)
{
    unsigned char first = (unsigned char)text[0];
    size_t bytes = first < 0x80   ? 1
                   : first < 0xc2 ? 0
                   : first < 0xe0 ? 2
                   : first < 0xf0 ? 3
                   : first < 0xf5 ? 4
                                  : 0;
    for (size_t i = 1; i < bytes; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80) return 0;
    return bytes;
}

/* Values that sentences show are cut by bytes: half a character would make the answer no JSON. */
static void mend_characters(char *text)
{
    while (*text != '\0') {
        size_t bytes = character_bytes(text);
        if (bytes == 0) *text = '?';
        text += bytes == 0 ? 1 : bytes;
    }
}

void kx_answer_error(kx_exchange *exchange, int status, const char *format, ...)
{
    char sentence[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    mend_characters(sentence);
    answer_sentence(exchange, status, sentence);
}

void kx_answer_failure(kx_exchange *exchange, const kx_error *err)
{
    int status = kx_status_http(err->status);
    if (err->status == KX_ERR_INPUT || err->status == KX_ERR_USAGE) {
        kx_answer_error(exchange, status, "%s", err->message);
        return;
    }
    /* What went wrong inside is for the operator. */
    kx_exchange_log(exchange, "fault", err->message);
    if (kx_status_retryable(err->status)) kx_answer_header(exchange, "Retry-After", "5");
    if (err->status == KX_ERR_OUTPUT) {
        kx_answer_error(exchange, 503, "the server's storage does not work now, try again later (request %s)",
                        exchange->id);
        return;
    }
    kx_answer_error(exchange, status, "%s (request %s)", kx_status_sentence(err->status), exchange->id);
}

void kx_answer_refusal(kx_exchange *exchange, const kx_refusal *refusal)
{
    kx_answer_error(exchange, refusal->status, "%s", refusal->sentence);
}

/* A name in quotes: without quotes, backslashes and control bytes. */
static void put_disposition(kx_exchange *exchange, const char *filename)
{
    char value[300];
    int used = snprintf(value, sizeof value, "inline; filename=\"");
    for (const char *c = filename; *c != '\0' && (size_t)used + 2 < sizeof value; c++) {
        bool is_plain = (unsigned char)*c >= ' ' && (unsigned char)*c < 0x7f && *c != '"' && *c != '\\';
        value[used++] = *c;
        if (!is_plain) value[used - 1] = '_';
    }
    value[used++] = '"';
    value[used] = '\0';
    kx_answer_header(exchange, "Content-Disposition", value);
}

static void put_etag(kx_exchange *exchange, const char *etag)
{
    char value[200];
    int length = snprintf(value, sizeof value, "\"%s\"", etag);
    if (length > 0 && (size_t)length < sizeof value) kx_answer_header(exchange, "ETag", value);
}

static bool is_known_already(const kx_exchange *exchange, const char *etag)
{
    const char *list = kx_head_find(&exchange->head, "If-None-Match");
    return etag != NULL && list != NULL && kx_etag_matches(list, etag);
}

/* A range counts only for the version that If-Range names. */
static const char *range_of(const kx_exchange *exchange, const char *etag)
{
    const char *version = kx_head_find(&exchange->head, "If-Range");
    bool is_other = version != NULL && (etag == NULL || version[0] != '"' || !kx_etag_matches(version, etag));
    return is_other ? NULL : kx_head_find(&exchange->head, "Range");
}

static void cut_range(kx_exchange *exchange, const char *text, uint64_t bytes)
{
    char value[80];
    uint64_t first, last;
    kx_answer *answer = &exchange->answer;
    switch (kx_range_parse(text, bytes, &first, &last)) {
    case KX_RANGE_ONE:
        snprintf(value, sizeof value, "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)last, (unsigned long long)bytes);
        kx_answer_header(exchange, "Content-Range", value);
        answer->status = 206;
        answer->file_first = first;
        answer->file_count = last - first + 1;
        return;
    case KX_RANGE_OUTSIDE:
        snprintf(value, sizeof value, "bytes */%llu", (unsigned long long)bytes);
        kx_answer_header(exchange, "Content-Range", value);
        kx_answer_error(exchange, 416, "the file has %llu bytes", (unsigned long long)bytes);
        return;
    case KX_RANGE_NONE:
        return;
    }
}

void kx_answer_file(kx_exchange *exchange, const kx_file_answer *file)
{
    kx_error err = {0};
    char *type = NULL;
    begin(exchange, KX_ANSWER_FILE, 200, "application/octet-stream");
    kx_answer *answer = &exchange->answer;
    answer->file = *file;
    answer->file_first = 0;
    answer->file_count = file->bytes;
    if (kx_arena_copy_text(&exchange->arena, file->content_type, strlen(file->content_type), &type, &err) ==
        KX_OK)
        answer->content_type = type;
    if (file->etag != NULL) put_etag(exchange, file->etag);
    if (file->cache_control != NULL) kx_answer_header(exchange, "Cache-Control", file->cache_control);
    if (is_known_already(exchange, file->etag)) {
        answer->status = 304;
        return;
    }
    kx_answer_header(exchange, "Accept-Ranges", "bytes");
    if (file->filename != NULL) put_disposition(exchange, file->filename);
    cut_range(exchange, range_of(exchange, file->etag), file->bytes);
}
