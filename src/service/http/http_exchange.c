/* An exchange as the handlers see it, its beginning and its end. */
#include "service/http/http_internal.h"

#include "base/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { HEADERS_BYTES_MAX = 64 << 10, EVENTS_BYTES_MAX = 8 << 20, LOG_WORDS_BYTES = 4096 };

kx_exchange *kx_exchange_open(kx_http *http, kx_conn *conn)
{
    kx_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) return NULL;
    exchange->http = http;
    exchange->conn = conn;
    exchange->head = (kx_head){.method = "", .target = "", .host = ""};
    exchange->target.path = "";
    exchange->answer.headers.cap = HEADERS_BYTES_MAX;
    exchange->answer.payload.cap = SIZE_MAX / 4;
    exchange->answer.file.fd = -1;
    exchange->log_words.cap = LOG_WORDS_BYTES;
    exchange->began_us = kx_http_now_us();
    kx_address_format(&conn->peer, exchange->client);
    snprintf(exchange->id, sizeof exchange->id, "%s%016llx", http->id_prefix,
             (unsigned long long)++http->ids);
    return exchange;
}

void kx_exchange_drop_body(kx_exchange *exchange)
{
    json_decref(exchange->json);
    exchange->json = NULL;
    kx_bytes_free(&exchange->body);
    atomic_fetch_sub(&exchange->http->held_bytes, exchange->held_bytes);
    exchange->held_bytes = 0;
}

void kx_exchange_free(kx_exchange *exchange)
{
    if (exchange == NULL) return;
    kx_exchange_drop_body(exchange);
    kx_sink_close(exchange->sink);
    kx_bytes_free(&exchange->answer.headers);
    kx_bytes_free(&exchange->answer.payload);
    kx_bytes_free(&exchange->log_words);
    if (exchange->answer.file.fd >= 0) close(exchange->answer.file.fd);
    kx_arena_free(&exchange->arena);
    free(exchange);
}

/* ---- What was asked ---- */

const char *kx_exchange_method(const kx_exchange *exchange)
{
    return exchange->head.method;
}

const char *kx_exchange_path(const kx_exchange *exchange)
{
    return exchange->target.path;
}

static const char *find_pair(const kx_http_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i].name, name) == 0) return pairs[i].value;
    }
    return NULL;
}

const char *kx_exchange_parameter(const kx_exchange *exchange, const char *name)
{
    return find_pair(exchange->match.parameters, exchange->match.num_parameters, name);
}

const char *kx_exchange_query(const kx_exchange *exchange, const char *name)
{
    return find_pair(exchange->target.queries, exchange->target.num_queries, name);
}

const char *kx_exchange_query_text(const kx_exchange *exchange)
{
    return exchange->target.query == NULL ? "" : exchange->target.query;
}

const char *kx_exchange_field(const kx_exchange *exchange, const char *name)
{
    return find_pair(exchange->fields, exchange->num_fields, name);
}

const char *kx_exchange_header(const kx_exchange *exchange, const char *name)
{
    return kx_head_find(&exchange->head, name);
}

const char *kx_exchange_request_id(const kx_exchange *exchange)
{
    return exchange->id;
}

const char *kx_exchange_client(const kx_exchange *exchange)
{
    return exchange->client;
}

const char *kx_exchange_base_url(const kx_exchange *exchange)
{
    return exchange->base_url;
}

const kx_key *kx_exchange_key(const kx_exchange *exchange)
{
    return exchange->has_key ? &exchange->key : NULL;
}

kx_arena *kx_exchange_arena(kx_exchange *exchange)
{
    return &exchange->arena;
}

kx_http *kx_exchange_http(kx_exchange *exchange)
{
    return exchange->http;
}

const void *kx_exchange_body(const kx_exchange *exchange, size_t *bytes)
{
    *bytes = exchange->body.size;
    return exchange->body.data;
}

size_t kx_exchange_uploads(const kx_exchange *exchange, const kx_upload **uploads)
{
    *uploads = exchange->uploads;
    return exchange->num_uploads;
}

/* Depth and number of values, counted before anything is built of them. */
static const char *check_json_size(const uint8_t *text, size_t bytes)
{
    size_t depth = 0, values = 0;
    bool in_text = false;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = text[i];
        if (in_text && c == '\\')
            i++;
        else if (c == '"')
            in_text = !in_text;
        else if (!in_text && (c == '{' || c == '[')) {
            if (++depth > KX_HTTP_JSON_DEPTH) return "the body is nested deeper than 64 levels";
            values++;
        } else if (!in_text && (c == '}' || c == ']'))
            depth -= depth > 0;
        else if (!in_text && c == ',')
            values++;
        if (values > KX_HTTP_JSON_VALUES) return "the body has more than 20000 values";
    }
    return NULL;
}

json_t *kx_exchange_json(kx_exchange *exchange, bool may_be_empty)
{
    kx_error err = {0};
    const kx_bytes *body = &exchange->body;
    if (exchange->json != NULL) return exchange->json;
    if (body->size == 0 && may_be_empty) return exchange->json = json_object();
    if (body->size == 0) {
        kx_answer_error(exchange, 400, "the body is empty: a JSON object is expected");
        return NULL;
    }
    const char *sentence = check_json_size(body->data, body->size);
    if (sentence != NULL) {
        kx_answer_error(exchange, 400, "%s", sentence);
        return NULL;
    }
    json_t *json = NULL;
    if (kx_json_text_load(&json, (const char *)body->data, body->size, "body", KX_ERR_INPUT, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return NULL;
    }
    if (!json_is_object(json)) {
        kx_answer_error(exchange, 400, "the body is %s: a JSON object is expected", kx_json_kind(json));
        json_decref(json);
        return NULL;
    }
    return exchange->json = json;
}

/* ---- The end ---- */

void kx_exchange_on_end(kx_exchange *exchange, void (*ended)(void *argument, bool delivered), void *argument)
{
    exchange->ended = ended;
    exchange->end_argument = argument;
}

/* JSON text; bytes outside ASCII pass when the caller knows them to be UTF-8, "?" otherwise. */
static void put_text(kx_bytes *out, const char *text, bool is_utf8, size_t most)
{
    kx_error err = {0};
    for (; *text != '\0' && most > 0; text++, most--) {
        char form[8] = {*text};
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            snprintf(form, sizeof form, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            snprintf(form, sizeof form, "\\u%04x", c);
        else if (c >= 0x80 && !is_utf8)
            form[0] = '?';
        if (kx_bytes_append(out, form, strlen(form), &err) != KX_OK) return;
    }
}

static void put_pair(kx_bytes *out, const char *name, const char *value, bool is_utf8, size_t most)
{
    kx_error err = {0};
    kx_bytes_append(out, ",\"", 2, &err);
    put_text(out, name, false, 40);
    kx_bytes_append(out, "\":\"", 3, &err);
    put_text(out, value, is_utf8, most);
    kx_bytes_append(out, "\"", 1, &err);
}

void kx_exchange_log(kx_exchange *exchange, const char *name, const char *value)
{
    bool is_private = strstr(name, "prompt") != NULL || strcmp(name, "key") == 0;
    if (is_private && !exchange->http->parts.settings->log_prompts) return;
    size_t before = exchange->log_words.size;
    put_pair(&exchange->log_words, name, value, false, 1000);
    /* A pair that was cut off by the cap would break the line. */
    if (exchange->log_words.size == 0 || exchange->log_words.data[exchange->log_words.size - 1] != '"' ||
        exchange->log_words.size >= LOG_WORDS_BYTES - 1)
        exchange->log_words.size = before;
}

static void log_line(kx_exchange *exchange)
{
    kx_http *http = exchange->http;
    kx_bytes line = {.cap = 32 << 10};
    kx_error err = {0};
    char text[400], when[KX_CLOCK_TEXT_BYTES];
    kx_clock_format(kx_clock_wall_ns(http->parts.clock), when);
    double ms = (double)(kx_http_now_us() - exchange->began_us) / 1000;
    int length = snprintf(text, sizeof text,
                          "{\"time\":\"%s\",\"id\":\"%s\",\"client\":\"%s\",\"status\":%d,\"ms\":%.3f,"
                          "\"bytes_in\":%llu,\"bytes_out\":%llu,\"delivered\":%s",
                          when, exchange->id, exchange->client, exchange->answer.status, ms,
                          (unsigned long long)exchange->body_bytes, (unsigned long long)exchange->sent_bytes,
                          exchange->delivered ? "true" : "false");
    kx_bytes_append(&line, text, (size_t)length, &err);
    put_pair(&line, "method", exchange->head.method, false, 20);
    put_pair(&line, "path", exchange->target.path, true, KX_HTTP_TARGET_BYTES);
    if (exchange->has_key) put_pair(&line, "key_id", exchange->key.uuid, false, 64);
    const char *agent = kx_head_find(&exchange->head, "User-Agent");
    if (agent != NULL) put_pair(&line, "agent", agent, false, 200);
    kx_bytes_append(&line, exchange->log_words.data, exchange->log_words.size, &err);
    kx_bytes_append(&line, "}\n", 2, &err);
    if (err.status == KX_OK) kx_http_log_line(http->log, (const char *)line.data, line.size);
    kx_bytes_free(&line);
}

static void count(kx_exchange *exchange)
{
    kx_http_counts *counts = &exchange->http->counts;
    int status = exchange->answer.status;
    if (status > 0 && status < 600) atomic_fetch_add(&counts->by_code[status], 1);
    const kx_route *route = exchange->match.route;
    if (route == NULL && status == 400) atomic_fetch_add(&counts->bad_requests, 1);
    if (route == NULL || exchange->has_waited || status >= 400) return;
    kx_histogram *histogram = NULL;
    if (route->access == KX_ACCESS_SUBMIT && strcmp(route->method, "POST") == 0)
        histogram = &counts->submit_seconds;
    else if (route->access == KX_ACCESS_READ && strcmp(route->method, "GET") == 0)
        histogram = &counts->poll_seconds;
    if (histogram == NULL) return;
    pthread_mutex_lock(&counts->latency_lock);
    kx_histogram_add(histogram, (double)(kx_http_now_us() - exchange->began_us) / 1e6);
    pthread_mutex_unlock(&counts->latency_lock);
}

static void end_job(kx_exchange *exchange)
{
    if (exchange->ended != NULL) exchange->ended(exchange->end_argument, exchange->delivered);
    kx_exchange_free(exchange);
}

void kx_exchange_finish(kx_exchange *exchange, bool delivered)
{
    exchange->delivered = delivered;
    kx_wait_leave(exchange);
    count(exchange);
    if (exchange->http->log != NULL) log_line(exchange);
    exchange->conn = NULL;
    /* The handler's function may write to the store, and so may the removal of half an upload. */
    if (exchange->ended != NULL || exchange->sink != NULL)
        kx_http_work(exchange, end_job, false);
    else
        kx_exchange_free(exchange);
}
