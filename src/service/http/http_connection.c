/* A connection on the moving thread: reading heads and bodies, handing exchanges over, sending, ending.
 *
 *     HEAD -> BODY -> BUSY <-> PARKED -> WRITE -> HEAD (keep-alive) or LINGER -> closed
 *
 * Quick routes skip BUSY. Uploads go BODY -> BUSY -> BODY, a piece at a time. Streams go WRITE -> PARKED ->
 * BUSY -> WRITE. Functions named take_... and push return false when the connection has to wait for an event,
 * or is closed.
 */
#define _GNU_SOURCE /* EPOLLRDHUP */
#include "service/http/http_internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024, OUT_BYTES_MAX = 1 << 30, DISCARD_BYTES = 64 * 1024 };

static void advance(kx_conn *conn);

static int64_t seconds_ms(unsigned seconds)
{
    return (int64_t)seconds * 1000;
}

void kx_conn_set_deadline(kx_conn *conn, int64_t at_ms)
{
    conn->deadline_ms = at_ms;
    kx_http_note_deadline(conn->http, at_ms);
}

kx_conn *kx_conn_open(kx_http *http, int fd, const kx_address *peer)
{
    kx_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) return NULL;
    conn->http = http;
    conn->fd = fd;
    conn->file = -1;
    conn->peer = *peer;
    conn->peer_is_proxy = kx_networks_hold(&http->trusted, peer);
    conn->is_fresh = true;
    conn->in.cap = KX_HTTP_HEAD_BYTES + READ_BYTES;
    conn->out.cap = OUT_BYTES_MAX;
    conn->next = http->conns;
    if (http->conns != NULL) http->conns->previous = conn;
    http->conns = conn;
    http->num_conns++;
    atomic_fetch_add(&http->counts.connections, 1);
    kx_conn_set_deadline(conn, kx_clock_monotonic_ms() + seconds_ms(http->parts.settings->header_timeout_s));
    kx_conn_arm(conn);
    return conn;
}

void kx_conn_free(kx_conn *conn)
{
    kx_bytes_free(&conn->in);
    kx_bytes_free(&conn->out);
    free(conn);
}

static void confirm(kx_conn *conn, bool delivered)
{
    kx_exchange *exchange = conn->unconfirmed;
    conn->unconfirmed = NULL;
    if (exchange != NULL) kx_exchange_finish(exchange, delivered);
}

/* Bytes that the client's side has not acknowledged. */
static bool is_acknowledged(const kx_conn *conn)
{
    int pending = 0;
    return ioctl(conn->fd, SIOCOUTQ, &pending) == 0 && pending == 0;
}

void kx_conn_close(kx_conn *conn)
{
    kx_http *http = conn->http;
    if (conn->state == KX_CONN_CLOSED) return;
    if (conn->exchange != NULL && conn->state == KX_CONN_BUSY) {
        conn->gone = conn->dead = true; /* it ends when its exchange is back */
        kx_conn_arm(conn);
        return;
    }
    if (conn->exchange != NULL) kx_exchange_finish(conn->exchange, false);
    conn->exchange = NULL;
    confirm(conn, !conn->dead && is_acknowledged(conn));
    if (conn->file >= 0) close(conn->file);
    close(conn->fd); /* leaves epoll by itself */
    conn->state = KX_CONN_CLOSED;
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        http->conns = conn->next;
    if (conn->next != NULL) conn->next->previous = conn->previous;
    conn->next = http->closed;
    http->closed = conn;
    http->num_conns--;
    atomic_fetch_sub(&http->counts.connections, 1);
}

static uint32_t wanted(const kx_conn *conn)
{
    if (conn->dead) return 0;
    uint32_t ends = conn->gone ? 0 : EPOLLRDHUP;
    switch (conn->state) {
    case KX_CONN_HEAD:
    case KX_CONN_BODY:
    case KX_CONN_LINGER:
        return EPOLLIN;
    case KX_CONN_WRITE:
        return EPOLLOUT | ends;
    default:
        return EPOLLHUP | ends; /* told in any case; not 0, which means to leave epoll */
    }
}

void kx_conn_arm(kx_conn *conn)
{
    uint32_t interest = wanted(conn);
    if (interest == conn->interest) return;
    int what = interest == 0 ? EPOLL_CTL_DEL : conn->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = interest, .data.ptr = conn};
    conn->interest = interest;
    if (epoll_ctl(conn->http->epoll_fd, what, conn->fd, &event) == 0 || interest == 0) return;
    /* Out of memory for the watch: without one the connection ends by its deadline. */
    conn->interest = 0;
}

/* ---- Answering ---- */

static void next_request(kx_conn *conn)
{
    const kx_settings *settings = conn->http->parts.settings;
    if (conn->close_after || conn->gone) {
        shutdown(conn->fd, SHUT_WR);
        conn->state = KX_CONN_LINGER;
        kx_conn_set_deadline(conn, kx_clock_monotonic_ms() + KX_HTTP_LINGER_MS);
        return;
    }
    conn->state = KX_CONN_HEAD;
    conn->is_fresh = conn->head_began = false;
    conn->scanned = 0;
    kx_conn_set_deadline(conn, kx_clock_monotonic_ms() + seconds_ms(settings->idle_timeout_s));
}

/* The last byte is with the kernel. When somebody wants to know, the client's acknowledgement is awaited. */
static void end_exchange(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    if (conn->gone || conn->dead || exchange->ended == NULL) {
        kx_exchange_finish(exchange, !conn->gone && !conn->dead);
    } else {
        conn->unconfirmed = exchange;
        int64_t now = kx_clock_monotonic_ms();
        conn->confirm_until_ms = now + KX_HTTP_CONFIRM_MS;
        conn->confirm_ms = now + 1;
        if (is_acknowledged(conn))
            confirm(conn, true);
        else
            kx_http_note_deadline(conn->http, conn->confirm_ms);
    }
    next_request(conn);
}

static void look_for_confirmation(kx_conn *conn, int64_t now_ms)
{
    if (conn->unconfirmed == NULL || now_ms < conn->confirm_ms) return;
    if (is_acknowledged(conn)) {
        confirm(conn, true);
    } else if (now_ms >= conn->confirm_until_ms) {
        confirm(conn, false);
    } else {
        int64_t waited = now_ms - (conn->confirm_until_ms - KX_HTTP_CONFIRM_MS);
        conn->confirm_ms = now_ms + (waited < 10 ? 2 : waited / 4);
        kx_http_note_deadline(conn->http, conn->confirm_ms);
    }
}

static void begin_write(kx_conn *conn)
{
    conn->state = KX_CONN_WRITE;
    kx_conn_set_deadline(conn,
                         kx_clock_monotonic_ms() + seconds_ms(conn->http->parts.settings->idle_timeout_s));
}

/* The body of a refused request is not read; what comes behind it cannot be told from it. */
static bool has_unread_body(const kx_exchange *exchange)
{
    return kx_request_has_body(exchange) && !exchange->body_is_whole;
}

/* Turns the exchange's answer into the connection's next state. */
void kx_conn_answer(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    kx_answer *said = &exchange->answer;
    if (kx_conn_has_hung_up(conn)) conn->gone = true;
    bool waits = said->kind == KX_ANSWER_WAIT || said->kind == KX_ANSWER_STREAM;
    if (conn->dead || (conn->gone && waits)) {
        conn->state = KX_CONN_WRITE;
        kx_conn_close(conn);
        return;
    }
    if (said->kind == KX_ANSWER_WAIT) {
        kx_wait_park(exchange);
        return;
    }
    if (has_unread_body(exchange) || conn->http->is_stopping) conn->close_after = true;
    bool good = said->kind != KX_ANSWER_STREAM || !said->head_is_out ? kx_conn_render(conn) : true;
    if (said->kind == KX_ANSWER_STREAM) {
        if (said->head_is_out) good = kx_conn_render_events(conn, &said->payload, said->stream_ends);
        said->head_is_out = true;
        if (strcmp(exchange->head.method, "HEAD") == 0) said->stream_ends = true;
    }
    begin_write(conn);
    if (!good) kx_conn_close(conn);
}

/* False: the socket takes no more now. */
static bool push(kx_conn *conn)
{
    switch (kx_conn_send(conn)) {
    case KX_SEND_MORE:
        kx_conn_arm(conn);
        return false;
    case KX_SEND_FAILED:
        conn->dead = conn->gone = true;
        kx_conn_close(conn);
        return false;
    case KX_SEND_ALL:
        break;
    }
    kx_answer *said = &conn->exchange->answer;
    if (said->kind == KX_ANSWER_STREAM && !said->stream_ends)
        kx_wait_park(conn->exchange);
    else
        end_exchange(conn);
    return true;
}

/* ---- Reading ---- */

void kx_conn_refuse_now(kx_conn *conn, const kx_refusal *refusal)
{
    conn->close_after = true;
    if (conn->exchange == NULL) conn->exchange = kx_exchange_open(conn->http, conn);
    if (conn->exchange == NULL) {
        kx_conn_close(conn);
        return;
    }
    kx_answer_refusal(conn->exchange, refusal);
    kx_conn_answer(conn);
}

void kx_conn_refuse(kx_conn *conn, const kx_refusal *refusal)
{
    kx_conn_refuse_now(conn, refusal);
    advance(conn);
}

void kx_conn_drop_taken(kx_conn *conn)
{
    if (conn->in_at < conn->in.size) {
        memmove(conn->in.data, conn->in.data + conn->in_at, conn->in.size - conn->in_at);
        conn->in.size -= conn->in_at;
    } else {
        conn->in.size = 0;
    }
    conn->in_at = 0;
}

static void hand_over(kx_conn *conn, void (*job)(kx_exchange *exchange))
{
    conn->state = KX_CONN_BUSY;
    kx_conn_set_deadline(conn, 0);
    kx_http_work(conn->exchange, job, true);
    kx_conn_arm(conn);
}

void kx_conn_dispatch(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    kx_conn_drop_taken(conn);
    if (exchange->sink != NULL) {
        hand_over(conn, kx_sink_job);
    } else if (exchange->match.route->is_quick) {
        kx_request_handle(exchange);
        kx_conn_answer(conn);
    } else {
        hand_over(conn, kx_request_handle);
    }
}

static void begin_request(kx_conn *conn, size_t head_bytes)
{
    conn->exchange = kx_exchange_open(conn->http, conn);
    if (conn->exchange == NULL) {
        kx_conn_close(conn);
        return;
    }
    /* Another request from the client: it has read the answer before. */
    confirm(conn, true);
    bool good = kx_request_begin(conn->exchange, (const char *)conn->in.data + conn->in_at, head_bytes);
    conn->in_at += head_bytes;
    conn->is_fresh = false;
    if (!good) {
        kx_conn_drop_taken(conn);
        kx_conn_answer(conn);
    } else if (kx_request_has_body(conn->exchange)) {
        kx_body_begin(conn);
    } else {
        conn->exchange->body_is_whole = true;
        kx_conn_dispatch(conn);
    }
}

static bool take_head(kx_conn *conn)
{
    kx_refusal refusal;
    size_t end = 0;
    if (conn->in_at > 0) kx_conn_drop_taken(conn);
    if (conn->in.size >= 2 && conn->scanned == 0 && memcmp(conn->in.data, "\r\n", 2) == 0 &&
        !conn->head_began) {
        conn->in_at = 2; /* one empty line in front is put up with */
        kx_conn_drop_taken(conn);
        conn->head_began = true;
    }
    bool is_lone_cr = conn->in.size == 1 && conn->in.data[0] == '\r';
    if (conn->in.size == 0 || is_lone_cr) {
        if (conn->http->is_stopping && conn->in.size == 0)
            kx_conn_close(conn);
        else
            kx_conn_arm(conn);
        return false;
    }
    if (conn->scanned == 0 && !conn->is_fresh)
        kx_conn_set_deadline(conn, kx_clock_monotonic_ms() +
                                       seconds_ms(conn->http->parts.settings->header_timeout_s));
    switch (kx_head_look((const char *)conn->in.data, conn->in.size, &conn->scanned, &end, &refusal)) {
    case KX_HEAD_MORE:
        kx_conn_arm(conn);
        return false;
    case KX_HEAD_BROKEN:
        kx_conn_refuse_now(conn, &refusal);
        return true;
    case KX_HEAD_WHOLE:
        begin_request(conn, end);
        return true;
    }
    return false;
}

static void advance(kx_conn *conn)
{
    for (bool goes_on = true; goes_on;) {
        switch (conn->state) {
        case KX_CONN_HEAD:
            goes_on = take_head(conn);
            break;
        case KX_CONN_BODY:
            goes_on = kx_body_take(conn);
            break;
        case KX_CONN_WRITE:
            goes_on = push(conn);
            break;
        case KX_CONN_CLOSED:
            return;
        default:
            kx_conn_arm(conn);
            return;
        }
    }
}

/* ---- Events ---- */

static void read_some(kx_conn *conn)
{
    kx_error err = {0};
    uint8_t *where;
    size_t room = conn->in.cap - conn->in.size;
    size_t most = conn->state == KX_CONN_HEAD && conn->in.size == 0 ? 4096 : READ_BYTES;
    if (most > room) most = room;
    if (kx_bytes_grow(&conn->in, most, &where, &err) != KX_OK) {
        kx_conn_close(conn);
        return;
    }
    ssize_t got = recv(conn->fd, where, most, MSG_DONTWAIT);
    conn->in.size -= most - (got > 0 ? (size_t)got : 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) {
        atomic_fetch_add(&conn->http->counts.bytes_in, (uint64_t)got);
        advance(conn);
        return;
    }
    conn->gone = true;
    if (got < 0) conn->dead = true;
    kx_conn_close(conn);
}

static void discard_some(kx_conn *conn)
{
    uint8_t scrap[DISCARD_BYTES];
    for (int turn = 0; turn < 4; turn++) {
        ssize_t got = recv(conn->fd, scrap, sizeof scrap, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got > 0) continue;
        if (got < 0) conn->dead = true;
        kx_conn_close(conn);
        return;
    }
}

static void client_went(kx_conn *conn, uint32_t events)
{
    conn->gone = true;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) conn->dead = true;
    /* One that waits is done with. A handler at work is let finish, and an answer on its way goes on: the
     * client may have closed only its sending side. */
    if (conn->state == KX_CONN_PARKED || (conn->dead && conn->state != KX_CONN_BUSY))
        kx_conn_close(conn);
    else
        kx_conn_arm(conn);
}

void kx_conn_event(kx_conn *conn, uint32_t events)
{
    if (conn->state == KX_CONN_CLOSED) return;
    if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && conn->state != KX_CONN_LINGER)) {
        client_went(conn, events);
        return;
    }
    switch (conn->state) {
    case KX_CONN_HEAD:
    case KX_CONN_BODY:
        read_some(conn);
        return;
    case KX_CONN_LINGER:
        discard_some(conn);
        return;
    case KX_CONN_WRITE:
        if ((events & EPOLLRDHUP) != 0) client_went(conn, events);
        if ((events & EPOLLOUT) != 0) advance(conn);
        return;
    default:
        if ((events & EPOLLRDHUP) != 0) client_went(conn, events);
        return;
    }
}

static void on_time_up(kx_conn *conn)
{
    static const kx_refusal slow_head = {408, "the head of the request took too long"};
    static const kx_refusal slow_body = {408, "the body of the request took too long"};
    static const kx_bytes comment = {.data = (uint8_t *)": still here\n\n", .size = 14};
    switch (conn->state) {
    case KX_CONN_HEAD:
        if (conn->in.size == 0) break;
        kx_conn_refuse_now(conn, &slow_head);
        advance(conn);
        return;
    case KX_CONN_BODY:
        kx_conn_refuse_now(conn, &slow_body);
        advance(conn);
        return;
    case KX_CONN_PARKED:
        if (conn->exchange->answer.kind == KX_ANSWER_WAIT) {
            kx_wait_wake(conn->exchange, KX_WAKE_TIME);
            return;
        }
        kx_wait_leave(conn->exchange);
        if (!kx_conn_render_events(conn, &comment, false)) break;
        begin_write(conn);
        advance(conn);
        return;
    case KX_CONN_WRITE:
        conn->dead = true; /* a reader that takes nothing */
        break;
    default:
        break;
    }
    kx_conn_close(conn);
}

void kx_conn_deadline(kx_conn *conn, int64_t now_ms)
{
    look_for_confirmation(conn, now_ms);
    if (conn->state == KX_CONN_CLOSED || conn->deadline_ms == 0 || now_ms < conn->deadline_ms) return;
    conn->deadline_ms = 0;
    on_time_up(conn);
}

void kx_conn_return(kx_exchange *exchange)
{
    kx_conn *conn = exchange->conn;
    if (exchange->answer.kind == KX_ANSWER_NONE) { /* a piece of an upload was taken */
        conn->state = KX_CONN_BODY;
        if (conn->gone || conn->dead) {
            kx_conn_close(conn);
            return;
        }
        kx_body_set_deadline(conn);
    } else {
        kx_conn_answer(conn);
    }
    advance(conn);
}

void kx_conn_stop(kx_conn *conn)
{
    if (conn->state == KX_CONN_HEAD && conn->in.size == 0)
        kx_conn_close(conn);
    else if (conn->state == KX_CONN_PARKED)
        kx_wait_wake(conn->exchange, KX_WAKE_STOPPING);
}
