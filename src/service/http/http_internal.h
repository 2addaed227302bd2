/* What the files of this folder share: the server, its connections and their exchanges.
 *
 * The moving thread owns every connection. An exchange is owned by the moving thread, or for the length of
 * one job by a handler thread; it goes over by the work queue and comes back by the inbox, whose locks order
 * the memory. No lock is held while a handler is called, and no thread holds two locks.
 *
 * Lost wake-ups: a job reads the notification counter before it looks at the world (`seen`). When its
 * exchange is parked and its topic was notified after that, the exchange is woken again at once.
 */
#pragma once

#include "service/http/http.h"
#include "service/http/http_chunks.h"
#include "service/http/http_forwarded.h"
#include "service/http/http_log.h"
#include "service/http/http_routes.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    KX_HTTP_UPLOADS_MAX = 16,
    KX_HTTP_TOPIC_SLOTS = 4096, /* powers of two */
    KX_HTTP_WAIT_BUCKETS = 1024,
    KX_HTTP_SINK_BYTES = 256 * 1024, /* of an upload, handed to a handler thread at a time */
    KX_HTTP_SMALL_BODY_BYTES = 64 * 1024,
    KX_HTTP_LINGER_MS = 2000,
    KX_HTTP_COMMENT_MS = 15000,
    KX_HTTP_CONFIRM_MS = 2000,
    KX_HTTP_BODIES_BYTES_MAX = 1 << 30, /* bodies in memory, of all connections */
    KX_HTTP_JSON_DEPTH = 64,
    KX_HTTP_JSON_VALUES = 20000,
};

typedef enum kx_conn_state {
    KX_CONN_HEAD = 0, /* reads a head, or idles before one */
    KX_CONN_BODY,
    KX_CONN_BUSY,   /* a handler thread has the exchange */
    KX_CONN_PARKED, /* the exchange waits for its topic */
    KX_CONN_WRITE,
    KX_CONN_LINGER, /* the answer is out: what the client still sends is thrown away, so that it reads it */
    KX_CONN_CLOSED, /* freed at the end of the turn */
} kx_conn_state;

typedef struct kx_conn {
    struct kx_conn *next, *previous;
    kx_http *http;
    int fd;
    kx_conn_state state;
    uint32_t interest; /* of epoll; 0: not in it */
    kx_address peer;
    bool peer_is_proxy;
    bool is_fresh;    /* no request yet */
    bool gone;        /* the client sends nothing more */
    bool dead;        /* nor does it take anything */
    bool close_after; /* the answer */
    bool head_began;
    kx_bytes in, out;
    size_t in_at, scanned, out_at;
    int file; /* -1: none */
    uint64_t file_at, file_left;
    int64_t deadline_ms; /* of the state; 0: none */
    int64_t body_began_ms;
    kx_exchange *exchange;
    /* The last answer, until the client's side has acknowledged it. */
    kx_exchange *unconfirmed;
    int64_t confirm_ms, confirm_until_ms;
} kx_conn;

typedef enum kx_answer_kind {
    KX_ANSWER_NONE = 0,
    KX_ANSWER_BYTES,
    KX_ANSWER_FILE,
    KX_ANSWER_WAIT,
    KX_ANSWER_STREAM,
} kx_answer_kind;

typedef struct kx_answer {
    kx_answer_kind kind;
    int status;
    const char *content_type;
    kx_bytes headers; /* "Name: value" lines */
    kx_bytes payload;
    kx_file_answer file;
    uint64_t file_first, file_count;
    bool head_is_out; /* of a stream */
    bool stream_ends;
} kx_answer;

typedef struct kx_sink kx_sink; /* http_uploads.c */

struct kx_exchange {
    kx_http *http;
    kx_conn *conn;
    kx_exchange *next; /* in the work queue or the inbox */
    void (*job)(kx_exchange *exchange);
    bool returns; /* to the moving thread, after the job */

    kx_arena arena;
    kx_head head;
    kx_target target;
    kx_route_match match;
    char id[65];
    char client[KX_ADDRESS_TEXT_BYTES];
    const char *base_url;
    bool is_proxied;
    kx_key key;
    bool has_key;

    kx_chunks chunks;
    uint64_t body_cap, body_bytes; /* seen */
    bool body_is_whole;
    kx_bytes body;
    uint64_t held_bytes; /* counted for it */
    json_t *json;
    kx_sink *sink;
    kx_upload uploads[KX_HTTP_UPLOADS_MAX];
    size_t num_uploads;
    kx_http_pair fields[KX_HTTP_QUERIES_MAX];
    size_t num_fields;

    kx_answer answer;
    uint64_t sent_bytes;

    const char *topic;
    int64_t until_ms;
    void (*again)(kx_exchange *exchange, void *argument, kx_wake why);
    bool (*more)(kx_exchange *exchange, void *argument, kx_wake why, kx_bytes *out);
    void *argument;
    kx_wake why;
    uint64_t seen;
    kx_exchange *wait_next, *wait_previous; /* in the bucket of the topic */
    bool is_waiting, has_waited;

    void (*ended)(void *argument, bool delivered);
    void *end_argument;
    bool delivered;
    kx_bytes log_words; /* ,"name":"value" */
    int64_t began_us;
};

typedef struct kx_http_topic {
    struct kx_http_topic *next;
    char text[];
} kx_http_topic;

typedef struct kx_http_counts {
    _Atomic uint64_t by_code[600];
    _Atomic uint64_t refused_connections, bad_requests;
    _Atomic uint64_t connections, waiting, streams, bytes_in, bytes_out;
    pthread_mutex_t latency_lock; /* last in the order: nothing is called while it is held */
    kx_histogram submit_seconds, poll_seconds;
} kx_http_counts;

struct kx_http {
    kx_http_parts parts;
    kx_networks trusted;
    char address[300]; /* "127.0.0.1:8080", where a request names no host */
    unsigned port;
    int listen_fd, epoll_fd, wake_fd;
    kx_http_log *log;
    kx_http_counts counts;
    char id_prefix[17];
    uint64_t ids;

    pthread_t mover;
    bool mover_runs;
    pthread_t *handlers;
    size_t num_handlers;

    pthread_mutex_t inbox_lock; /* guards the next six */
    kx_exchange *returned, *returned_last;
    kx_http_topic *topics;
    bool wake_all; /* a topic was lost to a lack of memory */
    bool stop_asked;
    unsigned grace_ms;

    pthread_mutex_t work_lock; /* guards the next three */
    pthread_cond_t work_there;
    kx_exchange *work, *work_last;
    bool work_ends;

    _Atomic uint64_t notified;
    _Atomic uint64_t held_bytes; /* of bodies, by the room that they take */
    _Atomic uint64_t topic_notified[KX_HTTP_TOPIC_SLOTS];

    /* The moving thread's own. */
    kx_conn *conns, *closed;
    size_t num_conns;
    kx_exchange *waiting[KX_HTTP_WAIT_BUCKETS];
    int64_t next_deadline_ms, stop_deadline_ms, accept_again_ms;
    bool is_stopping;
};

/* ---- http_server.c ---- */
int64_t kx_http_now_us(void);

/* ---- http_loop.c ---- */
void *kx_http_move(void *http); /* the moving thread */
void kx_http_note_deadline(kx_http *http,
                           int64_t at_ms); /* on it: wakes at that time at the latest; 0: none */

/* ---- http_work.c ---- */
void kx_http_work(kx_exchange *exchange, void (*job)(kx_exchange *exchange), bool returns);
void *kx_http_serve(void *http); /* a handler thread */
void kx_http_work_ends(kx_http *http);

/* ---- http_connection.c: on the moving thread ---- */
kx_conn *kx_conn_open(kx_http *http, int fd, const kx_address *peer);
void kx_conn_event(kx_conn *conn, uint32_t events);
void kx_conn_deadline(kx_conn *conn, int64_t now_ms);
/* Answers what is no request, and closes. */
void kx_conn_refuse(kx_conn *conn, const kx_refusal *refusal);
/* The exchange is back from a job. */
void kx_conn_return(kx_exchange *exchange);
void kx_conn_stop(kx_conn *conn);
void kx_conn_close(kx_conn *conn);
void kx_conn_free(kx_conn *conn);
void kx_conn_set_deadline(kx_conn *conn, int64_t at_ms); /* 0: none */
void kx_conn_arm(kx_conn *conn);

/* Steps that the files of the connection share; an advance follows. */
void kx_conn_answer(kx_conn *conn); /* turns the exchange's answer into the connection's next state */
void kx_conn_refuse_now(kx_conn *conn, const kx_refusal *refusal);
void kx_conn_dispatch(kx_conn *conn);   /* to the handler, or to the blob store */
void kx_conn_drop_taken(kx_conn *conn); /* input that is used up */

/* ---- http_body.c: on the moving thread ---- */
void kx_body_begin(kx_conn *conn);
bool kx_body_take(kx_conn *conn); /* false: it waits for more */
void kx_body_set_deadline(kx_conn *conn);

/* ---- http_send.c: on the moving thread ---- */
typedef enum kx_send { KX_SEND_ALL = 0, KX_SEND_MORE, KX_SEND_FAILED } kx_send;
kx_send kx_conn_send(kx_conn *conn);
/* Puts the answer's head and body into the connection's buffers. False: memory is out. */
bool kx_conn_render(kx_conn *conn);
bool kx_conn_render_events(kx_conn *conn, const kx_bytes *events, bool is_last);
/* Whether the client has closed its side. */
bool kx_conn_has_hung_up(const kx_conn *conn);

/* ---- http_wait.c: on the moving thread, but for kx_http_notify ---- */
void kx_wait_park(kx_exchange *exchange);
void kx_wait_leave(kx_exchange *exchange);
void kx_wait_wake(kx_exchange *exchange, kx_wake why);
void kx_wait_notified(kx_http *http, const char *topic);
void kx_wait_notified_all(kx_http *http);

/* ---- http_request.c ---- */
/* Takes a whole head: identity, route, key, body plan. False: it has been answered with an error. */
bool kx_request_begin(kx_exchange *exchange, const char *head, size_t bytes);
bool kx_request_has_body(const kx_exchange *exchange);
/* Runs the route's handler. */
void kx_request_handle(kx_exchange *exchange);

/* ---- http_exchange.c ---- */
kx_exchange *kx_exchange_open(kx_http *http, kx_conn *conn);
void kx_exchange_drop_body(kx_exchange *exchange); /* and what was parsed of it */
void kx_exchange_free(kx_exchange *exchange);
/* The answer has left, or never will: counts, logs, tells the handler, frees. */
void kx_exchange_finish(kx_exchange *exchange, bool delivered);

/* ---- http_answer.c ---- */
bool kx_answer_has_header(const kx_answer *answer, const char *name);
void kx_answer_refusal(kx_exchange *exchange, const kx_refusal *refusal);

/* ---- http_uploads.c ---- */
bool kx_sink_open(kx_exchange *exchange, kx_refusal *refusal);
void kx_sink_close(kx_sink *sink); /* removes what is not committed; may be NULL */
/* A job: takes exchange->body into the blob store; at the end of the body it commits and calls the handler.
 */
void kx_sink_job(kx_exchange *exchange);
