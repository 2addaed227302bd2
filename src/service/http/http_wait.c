/* Exchanges that wait for a topic, in buckets by the topic's hash. */
#include "service/http/http_internal.h"

#include "base/hash64.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

static uint64_t hash_of(const char *text)
{
    uint64_t hash = kx_hash64_add_text(KX_HASH64_START, text);
    return hash ^ (hash >> 32);
}

static _Atomic uint64_t *slot_of(kx_http *http, const char *topic)
{
    return &http->topic_notified[hash_of(topic) % KX_HTTP_TOPIC_SLOTS];
}

void kx_http_notify(kx_http *http, const char *topic)
{
    uint64_t number = atomic_fetch_add(&http->notified, 1) + 1;
    _Atomic uint64_t *slot = slot_of(http, topic);
    uint64_t before = atomic_load(slot);
    while (before < number && !atomic_compare_exchange_weak(slot, &before, number)) continue;
    size_t bytes = strlen(topic) + 1;
    kx_http_topic *note = malloc(sizeof *note + bytes);
    if (note != NULL) memcpy(note->text, topic, bytes);
    pthread_mutex_lock(&http->inbox_lock);
    if (note != NULL) {
        note->next = http->topics;
        http->topics = note;
    } else {
        http->wake_all = true;
    }
    pthread_mutex_unlock(&http->inbox_lock);
    eventfd_write(http->wake_fd, 1);
}

void kx_wait_leave(kx_exchange *exchange)
{
    kx_http *http = exchange->http;
    if (!exchange->is_waiting) return;
    exchange->is_waiting = false;
    if (exchange->wait_previous != NULL)
        exchange->wait_previous->wait_next = exchange->wait_next;
    else
        http->waiting[hash_of(exchange->topic) % KX_HTTP_WAIT_BUCKETS] = exchange->wait_next;
    if (exchange->wait_next != NULL) exchange->wait_next->wait_previous = exchange->wait_previous;
    bool is_stream = exchange->answer.kind == KX_ANSWER_STREAM;
    atomic_fetch_sub(is_stream ? &http->counts.streams : &http->counts.waiting, 1);
}

static void again_job(kx_exchange *exchange)
{
    exchange->answer.kind = KX_ANSWER_NONE;
    exchange->seen = atomic_load(&exchange->http->notified);
    exchange->again(exchange, exchange->argument, exchange->why);
    if (exchange->answer.kind == KX_ANSWER_NONE)
        kx_answer_error(exchange, 500, "the request was left without an answer");
    if (exchange->answer.kind == KX_ANSWER_WAIT && exchange->why == KX_WAKE_STOPPING)
        kx_answer_error(exchange, 503, "the server is stopping");
}

static void more_job(kx_exchange *exchange)
{
    kx_answer *answer = &exchange->answer;
    answer->payload.size = 0;
    exchange->seen = atomic_load(&exchange->http->notified);
    bool goes_on = exchange->more(exchange, exchange->argument, exchange->why, &answer->payload);
    answer->stream_ends = !goes_on || exchange->why == KX_WAKE_STOPPING;
}

void kx_wait_wake(kx_exchange *exchange, kx_wake why)
{
    bool is_stream = exchange->answer.kind == KX_ANSWER_STREAM;
    kx_wait_leave(exchange);
    exchange->why = why;
    exchange->conn->state = KX_CONN_BUSY;
    kx_conn_set_deadline(exchange->conn, 0);
    kx_http_work(exchange, is_stream ? more_job : again_job, true);
}

void kx_wait_park(kx_exchange *exchange)
{
    kx_http *http = exchange->http;
    kx_conn *conn = exchange->conn;
    bool is_stream = exchange->answer.kind == KX_ANSWER_STREAM;
    bool is_first = is_stream && !exchange->has_waited;
    exchange->has_waited = true;
    kx_exchange_drop_body(exchange); /* pictures in a body need not be held as long as their job runs */
    if (http->is_stopping) {
        kx_wait_wake(exchange, KX_WAKE_STOPPING);
        return;
    }
    if (is_first || atomic_load(slot_of(http, exchange->topic)) > exchange->seen) {
        kx_wait_wake(exchange, KX_WAKE_NOTIFIED);
        return;
    }
    kx_exchange **bucket = &http->waiting[hash_of(exchange->topic) % KX_HTTP_WAIT_BUCKETS];
    exchange->wait_previous = NULL;
    exchange->wait_next = *bucket;
    if (*bucket != NULL) (*bucket)->wait_previous = exchange;
    *bucket = exchange;
    exchange->is_waiting = true;
    atomic_fetch_add(is_stream ? &http->counts.streams : &http->counts.waiting, 1);
    conn->state = KX_CONN_PARKED;
    kx_conn_set_deadline(conn, is_stream ? kx_clock_monotonic_ms() + KX_HTTP_COMMENT_MS : exchange->until_ms);
    kx_conn_arm(conn);
}

void kx_wait_notified(kx_http *http, const char *topic)
{
    kx_exchange *next = http->waiting[hash_of(topic) % KX_HTTP_WAIT_BUCKETS];
    while (next != NULL) {
        kx_exchange *exchange = next;
        next = exchange->wait_next;
        if (strcmp(exchange->topic, topic) == 0) kx_wait_wake(exchange, KX_WAKE_NOTIFIED);
    }
}

void kx_wait_notified_all(kx_http *http)
{
    for (size_t i = 0; i < KX_HTTP_WAIT_BUCKETS; i++) {
        while (http->waiting[i] != NULL) kx_wait_wake(http->waiting[i], KX_WAKE_NOTIFIED);
    }
}

void kx_answer_wait(kx_exchange *exchange, const char *topic, int64_t until_monotonic_ms,
                    void (*again)(kx_exchange *exchange, void *argument, kx_wake why), void *argument)
{
    kx_error err = {0};
    char *copy = NULL;
    bool is_same = exchange->topic != NULL && strcmp(exchange->topic, topic) == 0;
    if (!is_same && kx_arena_copy_text(&exchange->arena, topic, strlen(topic), &copy, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    if (!is_same) exchange->topic = copy;
    exchange->answer.kind = KX_ANSWER_WAIT;
    exchange->until_ms = until_monotonic_ms > 0 ? until_monotonic_ms : 1;
    exchange->again = again;
    exchange->argument = argument;
}

void kx_answer_stream(kx_exchange *exchange, const char *topic,
                      bool (*more)(kx_exchange *exchange, void *argument, kx_wake why, kx_bytes *out),
                      void *argument)
{
    kx_error err = {0};
    char *copy = NULL;
    if (kx_arena_copy_text(&exchange->arena, topic, strlen(topic), &copy, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    exchange->topic = copy;
    exchange->answer.kind = KX_ANSWER_STREAM;
    exchange->answer.status = 200;
    exchange->answer.content_type = "text/event-stream";
    exchange->more = more;
    exchange->argument = argument;
    exchange->has_waited = false;
}
