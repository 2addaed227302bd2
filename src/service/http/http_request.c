/* From a whole head to a handler: identity, address, route, key, body. */
#include "service/http/http_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool refuse(kx_exchange *exchange, int status, const char *sentence)
{
    kx_answer_error(exchange, status, "%s", sentence);
    return false;
}

static bool has_forwarding_header(const kx_head *head)
{
    for (size_t i = 0; i < head->num_headers; i++) {
        const char *name = head->headers[i].name;
        if (strncasecmp(name, "X-Forwarded-", 12) == 0 || strcasecmp(name, "X-Real-IP") == 0 ||
            strcasecmp(name, "Forwarded") == 0 || strcasecmp(name, "Via") == 0)
            return true;
    }
    return false;
}

static bool set_base_url(kx_exchange *exchange, const char *proto, const char *prefix)
{
    kx_http *http = exchange->http;
    kx_error err = {0};
    char text[1024];
    if (http->parts.settings->public_url != NULL) {
        exchange->base_url = http->parts.settings->public_url;
        return true;
    }
    const char *host = exchange->head.host[0] != '\0' ? exchange->head.host : http->address;
    char *copy = NULL;
    snprintf(text, sizeof text, "%s://%s%s", proto, host, prefix);
    if (kx_arena_copy_text(&exchange->arena, text, strlen(text), &copy, &err) != KX_OK)
        return refuse(exchange, 503, "out of memory");
    exchange->base_url = copy;
    return true;
}

/* Who asks, and under which address it knows us. */
static bool identify(kx_exchange *exchange)
{
    kx_conn *conn = exchange->conn;
    kx_head *head = &exchange->head;
    kx_arena *arena = &exchange->arena;
    exchange->is_proxied = has_forwarding_header(head);
    if (exchange->target.authority != NULL) head->host = exchange->target.authority;
    if (!conn->peer_is_proxy) return set_base_url(exchange, "http", "");
    kx_address client;
    kx_forwarded_client(head, &conn->http->trusted, &conn->peer, &client);
    kx_address_format(&client, exchange->client);
    const char *id = kx_head_find(head, "X-Request-Id");
    if (id != NULL && kx_forwarded_id_is_plain(id)) snprintf(exchange->id, sizeof exchange->id, "%s", id);
    const char *host = kx_forwarded_host(head, arena);
    const char *proto = kx_forwarded_proto(head, arena);
    const char *prefix = kx_forwarded_prefix(head, arena);
    if (host != NULL) head->host = host;
    return set_base_url(exchange, proto == NULL ? "http" : proto, prefix == NULL ? "" : prefix);
}

/* A question of a browser about another origin's request, or of somebody about what is allowed. */
static void answer_options(kx_exchange *exchange)
{
    bool is_contract = strncmp(exchange->target.path, "/api/", 5) == 0;
    if (is_contract) {
        kx_answer_header(exchange, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
        kx_answer_header(
            exchange, "Access-Control-Allow-Headers",
            "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, Range, X-Client-Name, "
            "X-Client-Version, X-Client-OS, X-Request-Id");
        kx_answer_header(exchange, "Access-Control-Max-Age", "86400");
    }
    const char *allowed = exchange->match.allowed;
    kx_answer_header(exchange, "Allow", *allowed == '\0' ? "OPTIONS" : allowed);
    kx_answer_bytes(exchange, 204, "", "", 0);
}

static bool find_route(kx_exchange *exchange)
{
    kx_http *http = exchange->http;
    kx_route_match *match = &exchange->match;
    const char *method = exchange->head.method;
    bool is_options = strcmp(method, "OPTIONS") == 0;
    if (!kx_routes_match(match, http->parts.routes, http->parts.num_routes, method, &exchange->target,
                         &exchange->arena))
        return refuse(exchange, 503, "out of memory");
    if (is_options && match->route == NULL &&
        (match->path_is_known || strncmp(exchange->target.path, "/api/", 5) == 0 ||
         strcmp(exchange->target.path, "*") == 0)) {
        answer_options(exchange);
        return false;
    }
    if (match->route != NULL) return true;
    if (!match->path_is_known) return refuse(exchange, 404, "there is nothing at this address");
    kx_answer_header(exchange, "Allow", match->allowed);
    return refuse(exchange, 405, "this address knows other methods: see the Allow header");
}

/* The key of "Authorization: Bearer KEY"; NULL when the header is absent or of another kind. */
static const char *bearer_of(const kx_exchange *exchange)
{
    const char *value = kx_head_find(&exchange->head, "Authorization");
    if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0) return NULL;
    value += 7 + strspn(value + 7, " ");
    return *value == '\0' || strlen(value) > 256 ? NULL : value;
}

static bool find_key(kx_exchange *exchange, bool *found)
{
    kx_error err = {0};
    const char *value = bearer_of(exchange);
    *found = false;
    if (value == NULL) return true;
    if (kx_store_key_find(exchange->http->parts.store, value, &exchange->arena, &exchange->key, found,
                          &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return false;
    }
    exchange->has_key = *found;
    return true;
}

/* No page whose name, "1.example" say, was turned to 127.0.0.1. */
static bool is_local(const kx_exchange *exchange)
{
    const char *host = exchange->head.host;
    kx_address address;
    bool is_named = host[0] == '\0' || strcmp(host, "localhost") == 0 || strncmp(host, "localhost:", 10) == 0;
    return !exchange->is_proxied && kx_address_is_loopback(&exchange->conn->peer) &&
           (is_named || kx_http_address_parse(host, strlen(host), &address));
}

bool kx_exchange_is_operator(const kx_exchange *exchange)
{
    return is_local(exchange) || (exchange->has_key && exchange->key.role >= KX_ROLE_ADMIN);
}

static bool check_access(kx_exchange *exchange)
{
    static const kx_role needed[] = {
        [KX_ACCESS_READ] = KX_ROLE_READ,
        [KX_ACCESS_SUBMIT] = KX_ROLE_SUBMIT,
        [KX_ACCESS_ADMIN] = KX_ROLE_ADMIN,
        [KX_ACCESS_METRICS] = KX_ROLE_ADMIN,
    };
    kx_access access = exchange->match.route->access;
    bool found;
    if (!find_key(exchange, &found)) return false;
    if (access == KX_ACCESS_PUBLIC) return true;
    if (access == KX_ACCESS_METRICS && kx_exchange_is_operator(exchange)) return true;
    if (!found) {
        kx_answer_header(exchange, "WWW-Authenticate", "Bearer");
        return refuse(exchange, 401, "Invalid API key");
    }
    if (exchange->key.role >= needed[access]) return true;
    kx_answer_error(exchange, 403, "this API key may not do that: the role %s is needed, it has the role %s",
                    kx_role_name(needed[access]), kx_role_name(exchange->key.role));
    return false;
}

static uint64_t cap_of(const kx_exchange *exchange)
{
    const kx_settings *settings = exchange->http->parts.settings;
    switch (exchange->match.route->body) {
    case KX_BODY_JSON:
        return settings->max_body_bytes;
    case KX_BODY_JSON_OF_ANYONE:
        return exchange->has_key || settings->max_body_bytes < KX_HTTP_SMALL_BODY_BYTES
                   ? settings->max_body_bytes
                   : KX_HTTP_SMALL_BODY_BYTES;
    case KX_BODY_RAW:
        return settings->max_upload_bytes;
    case KX_BODY_FORM:
        return settings->max_upload_bytes +
               2 * KX_HTTP_SMALL_BODY_BYTES; /* fields and the form's own lines */
    default:
        return KX_HTTP_SMALL_BODY_BYTES;
    }
}

/* Without a key somebody else must know whether the bytes are wanted, before they fill the disk. */
static bool admit_body(kx_exchange *exchange)
{
    const kx_http_parts *parts = &exchange->http->parts;
    const kx_route *route = exchange->match.route;
    bool is_asked = route->access == KX_ACCESS_PUBLIC && route->body == KX_BODY_RAW && parts->admit != NULL;
    return !is_asked || parts->admit(exchange, parts->user);
}

static bool plan_body(kx_exchange *exchange)
{
    kx_refusal refusal;
    kx_body body = exchange->match.route->body;
    exchange->body_cap = cap_of(exchange);
    bool is_json = body == KX_BODY_JSON || body == KX_BODY_JSON_OF_ANYONE;
    exchange->body.cap = is_json ? (size_t)exchange->body_cap : 2 * KX_HTTP_SINK_BYTES;
    if (exchange->head.length > exchange->body_cap) {
        kx_answer_error(exchange, 413, "the body is %llu bytes, the limit here is %llu",
                        (unsigned long long)exchange->head.length, (unsigned long long)exchange->body_cap);
        return false;
    }
    if ((body != KX_BODY_RAW && body != KX_BODY_FORM) || kx_sink_open(exchange, &refusal)) return true;
    kx_answer_refusal(exchange, &refusal);
    return false;
}

bool kx_request_has_body(const kx_exchange *exchange)
{
    return exchange->head.is_chunked || exchange->head.length > 0;
}

bool kx_request_begin(kx_exchange *exchange, const char *head, size_t bytes)
{
    kx_error err = {0};
    kx_refusal refusal = {503, "out of memory"};
    char *copy = NULL;
    bool good = kx_arena_copy_text(&exchange->arena, head, bytes, &copy, &err) == KX_OK &&
                kx_head_parse(&exchange->head, copy, bytes, &refusal) &&
                kx_target_parse(&exchange->target, exchange->head.target, &exchange->arena, &refusal);
    if (!good) {
        /* What follows such a head cannot be told from a body. */
        exchange->conn->close_after = true;
        kx_answer_refusal(exchange, &refusal);
        return false;
    }
    if (!exchange->head.keep_alive || exchange->http->is_stopping) exchange->conn->close_after = true;
    return identify(exchange) && find_route(exchange) && check_access(exchange) && admit_body(exchange) &&
           plan_body(exchange);
}

void kx_request_handle(kx_exchange *exchange)
{
    exchange->seen = atomic_load(&exchange->http->notified);
    exchange->match.route->handle(exchange, exchange->http->parts.user);
    if (exchange->answer.kind == KX_ANSWER_NONE)
        kx_answer_error(exchange, 500, "the request was left without an answer");
}
