/* HTTP/1.1 over epoll: connections, strict parsing, limits, bodies, keys, routing, waiting, events,
 * files.
 *
 * One thread moves bytes; handlers run on a few handler threads (or, when a route is quick and touches no
 * disk but reads, on the moving thread). A handler looks at its exchange and answers it in one of these ways,
 * once:
 *
 *   kx_answer_json, kx_answer_error, kx_answer_bytes, kx_answer_file   a whole answer
 *   kx_answer_wait     nothing yet: the function named there is called when the topic is notified or time is
 *                      up
 *   kx_answer_stream   server-sent events: `more` is called at once and after each notification of the topic
 *
 * Waiting clients hold no thread. A client that hangs up, waiting or not, ends its exchange;
 * kx_exchange_on_end tells whether the answer went out whole. An exchange that a handler leaves unanswered is
 * a 500.
 */
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "service/common/settings.h"
#include "service/http/counters.h"
#include "service/store/blobs.h"
#include "service/store/store.h"

#include <jansson.h>

typedef struct kx_http kx_http;
typedef struct kx_exchange kx_exchange;
typedef void kx_handler(kx_exchange *exchange, void *user);

typedef enum kx_access {
    KX_ACCESS_PUBLIC = 0,
    KX_ACCESS_READ, /* a key, of whatever role */
    KX_ACCESS_SUBMIT,
    KX_ACCESS_ADMIN,
    KX_ACCESS_METRICS, /* kx_exchange_is_operator */
} kx_access;

typedef enum kx_body {
    KX_BODY_NONE = 0,       /* a body is read and thrown away, up to 64 KiB */
    KX_BODY_JSON,           /* kept in memory, up to settings.max_body_bytes; parsed by kx_exchange_json */
    KX_BODY_JSON_OF_ANYONE, /* the same, but up to 64 KiB without a key */
    KX_BODY_RAW,  /* streamed into the blob store, up to settings.max_upload_bytes: kx_exchange_upload */
    KX_BODY_FORM, /* multipart/form-data, its file parts streamed likewise, its fields up to 64 KiB in all */
} kx_body;

typedef struct kx_route {
    const char *method; /* "GET" (HEAD comes with it), "POST", "PUT", "DELETE" */
    const char
        *path; /* "/api/v3/predictions/{id}/result"; "{model*}" at the end takes the rest, slashes and all */
    kx_access access;
    kx_body body;
    bool is_quick; /* on the moving thread: no disk writes, no waiting */
    kx_handler *handle;
} kx_route;

typedef struct kx_http_parts { /* borrowed */
    const kx_settings *settings;
    kx_clock *clock;
    kx_store *store; /* keys */
    kx_blobs *blobs; /* streamed bodies */
    const kx_route
        *routes; /* the first that fits counts; a path known with other methods is a 405 with Allow */
    size_t num_routes;
    /* Whether the body of a KX_BODY_RAW route that needs no key may come, asked before it is read: false when
     * it has answered. On the moving thread, as a quick route. NULL: it may. */
    bool (*admit)(kx_exchange *exchange, void *user);
    int log_fd; /* access log as JSON lines; -1: none */
    void *user; /* given to handlers */
} kx_http_parts;

kx_status kx_http_open(kx_http **http, const kx_http_parts *parts, kx_error *err);
kx_status kx_http_start(kx_http *http, kx_error *err);
/* The port listened on (useful with port 0). */
unsigned kx_http_port(const kx_http *http);
/* Accepts no more, wakes every waiting exchange with `is_stopping`, gives answers `grace_ms` to finish. */
void kx_http_stop(kx_http *http, unsigned grace_ms);
void kx_http_close(kx_http *http);

/* Wakes the exchanges that wait on `topic`. From any thread; never blocks. */
void kx_http_notify(kx_http *http, const char *topic);

/* ---- What was asked ---- */

const char *kx_exchange_method(const kx_exchange *exchange);
const char *kx_exchange_path(const kx_exchange *exchange);
const char *kx_exchange_parameter(const kx_exchange *exchange, const char *name); /* of the path; NULL */
const char *kx_exchange_query(const kx_exchange *exchange, const char *name);     /* decoded; NULL */
const char *kx_exchange_header(const kx_exchange *exchange, const char *name);    /* NULL */
const char *kx_exchange_request_id(const kx_exchange *exchange);
const char *kx_exchange_client(const kx_exchange *exchange); /* address, seen through trusted proxies */
/* "https://host/prefix": settings.public_url, or what the client used to reach us. */
const char *kx_exchange_base_url(const kx_exchange *exchange);
const kx_key *kx_exchange_key(const kx_exchange *exchange); /* NULL on public routes without one */
/* A client on this machine that asks under an address of its own, not through a proxy; or an admin key.
 * Others need not know of paths. */
bool kx_exchange_is_operator(const kx_exchange *exchange);
kx_arena *kx_exchange_arena(kx_exchange *exchange); /* lives as long as the exchange */
kx_http *kx_exchange_http(kx_exchange *exchange);
const char *kx_exchange_query_text(const kx_exchange *exchange); /* all of it, as it came; "" without one */
const char *kx_exchange_field(const kx_exchange *exchange, const char *name); /* of a form; NULL */
const void *kx_exchange_body(const kx_exchange *exchange, size_t *bytes);     /* gone once it has waited */
/* The body as a JSON object, with limits on depth and size. On an error it has been answered (400) and NULL
 * is returned. The exchange owns it, until it waits. An empty body is an error unless `may_be_empty`, which
 * then gives an empty object. */
json_t *kx_exchange_json(kx_exchange *exchange, bool may_be_empty);

typedef struct kx_upload {
    char blob[KX_SHA256_HEX];
    uint64_t bytes;
    const char *field, *filename, *content_type; /* as announced; "" where not */
    uint8_t head[64];                            /* its first bytes, for sniffing */
} kx_upload;
size_t kx_exchange_uploads(const kx_exchange *exchange, const kx_upload **uploads);

/* Called once, when the answer has left or the client is gone. */
void kx_exchange_on_end(kx_exchange *exchange, void (*ended)(void *argument, bool delivered), void *argument);
/* A word or two for the log line ("model", "wavespeed-ai/…"); prompts and keys only when
 * settings.log_prompts. */
void kx_exchange_log(kx_exchange *exchange, const char *name, const char *value);

/* ---- The answer ---- */

void kx_answer_header(kx_exchange *exchange, const char *name, const char *value); /* before the answer */
/* Takes ownership of `body`. */
void kx_answer_json(kx_exchange *exchange, int status, json_t *body);
/* {"code": status, "message": text, "error": text}, or with a code of its own inside kx_answer_json. */
__attribute__((format(printf, 3, 4))) void kx_answer_error(kx_exchange *exchange, int status,
                                                           const char *format, ...);
/* From a kx_error, by its status; an internal one is logged and told as such. */
void kx_answer_failure(kx_exchange *exchange, const kx_error *err);
void kx_answer_bytes(kx_exchange *exchange, int status, const char *content_type, const void *data,
                     size_t bytes); /* copied */

typedef struct kx_file_answer {
    int fd; /* taken over */
    uint64_t bytes;
    const char *content_type;
    const char *etag; /* without quotes; NULL */
    const char *cache_control;
    const char *filename; /* Content-Disposition: inline; NULL */
} kx_file_answer;
/* Ranges (one range; several are answered whole), If-None-Match, HEAD. */
void kx_answer_file(kx_exchange *exchange, const kx_file_answer *file);

typedef enum kx_wake { KX_WAKE_NOTIFIED = 0, KX_WAKE_TIME, KX_WAKE_STOPPING } kx_wake;
/* `again` is called on a handler thread; it answers or waits once more. `argument` is the caller's (arena).
 */
void kx_answer_wait(kx_exchange *exchange, const char *topic, int64_t until_monotonic_ms,
                    void (*again)(kx_exchange *exchange, void *argument, kx_wake why), void *argument);

/* Server-sent events. `more` appends whole events to `out` ("id: …\nevent: …\ndata: …\n\n") and returns false
 * when the stream ends after them. A comment is sent every 15 s to keep the line open. */
void kx_answer_stream(kx_exchange *exchange, const char *topic,
                      bool (*more)(kx_exchange *exchange, void *argument, kx_wake why, kx_bytes *out),
                      void *argument);
