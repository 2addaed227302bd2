/* The moving thread: new connections, events, what came back from handlers, notifications, deadlines. */
#define _GNU_SOURCE /* accept4 */
#include "service/http/http_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 256,
    ACCEPTS_PER_TURN = 64,
    REFUSALS_AT_ONCE = 64, /* connections over the cap that are told so before they are closed */
    ACCEPT_PAUSE_MS = 100, /* when descriptors are out */
    SLEEP_MS_MAX = 60000,
};

static void set_options(kx_http *http, int fd)
{
    int on = 1;
    unsigned lost_ms = http->parts.settings->idle_timeout_s * 1000;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost_ms, sizeof lost_ms);
}

/* Of an IPv6 client its network counts, since a whole /64 belongs to one. */
static bool is_same_client(const kx_address *a, const kx_address *b)
{
    static const uint8_t zeros[8] = {0};
    bool is_v4 = memcmp(a->bytes, zeros, 8) == 0;
    return memcmp(a->bytes, b->bytes, is_v4 ? 16 : 8) == 0;
}

static size_t connections_of(const kx_http *http, const kx_address *peer)
{
    size_t count = 0;
    for (const kx_conn *conn = http->conns; conn != NULL; conn = conn->next)
        count += is_same_client(&conn->peer, peer);
    return count;
}

static void admit(kx_http *http, int fd, const kx_address *peer)
{
    static const kx_refusal full = {503, "the server has too many connections"};
    static const kx_refusal greedy = {503, "there are too many connections from this address"};
    const kx_settings *settings = http->parts.settings;
    bool is_full = http->num_conns >= settings->max_connections;
    bool is_greedy = !is_full && !kx_networks_hold(&http->trusted, peer) &&
                     connections_of(http, peer) >= settings->max_connections_per_address;
    if (is_full || is_greedy) atomic_fetch_add(&http->counts.refused_connections, 1);
    bool is_over = http->num_conns >= (size_t)settings->max_connections + REFUSALS_AT_ONCE;
    kx_conn *conn = is_over ? NULL : kx_conn_open(http, fd, peer);
    if (conn == NULL)
        close(fd);
    else if (is_full || is_greedy)
        kx_conn_refuse(conn, is_full ? &full : &greedy);
}

static void watch_listener(kx_http *http, bool is_watched)
{
    struct epoll_event event = {.events = is_watched ? EPOLLIN : 0, .data.ptr = &http->listen_fd};
    if (http->listen_fd >= 0) epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, http->listen_fd, &event);
}

static void accept_some(kx_http *http)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage from = {0};
        socklen_t bytes = sizeof from;
        kx_address peer;
        int fd = accept4(http->listen_fd, (struct sockaddr *)&from, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            http->accept_again_ms = kx_clock_monotonic_ms() + ACCEPT_PAUSE_MS;
            watch_listener(http, false);
        }
        if (fd < 0) return;
        set_options(http, fd);
        if (kx_address_from_socket(&peer, (const struct sockaddr *)&from))
            admit(http, fd, &peer);
        else
            close(fd);
    }
}

static void begin_stop(kx_http *http, unsigned grace_ms)
{
    http->is_stopping = true;
    http->stop_deadline_ms = kx_clock_monotonic_ms() + grace_ms;
    close(http->listen_fd);
    http->listen_fd = -1;
    for (kx_conn *conn = http->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        kx_conn_stop(conn);
    }
}

static void empty_inbox(kx_http *http)
{
    eventfd_t count;
    eventfd_read(http->wake_fd, &count);
    pthread_mutex_lock(&http->inbox_lock);
    kx_exchange *returned = http->returned;
    kx_http_topic *topics = http->topics;
    bool wake_all = http->wake_all;
    bool stop_asked = http->stop_asked;
    unsigned grace_ms = http->grace_ms;
    http->returned = NULL;
    http->topics = NULL;
    http->wake_all = false;
    pthread_mutex_unlock(&http->inbox_lock);
    while (returned != NULL) {
        kx_exchange *exchange = returned;
        returned = exchange->next;
        kx_conn_return(exchange);
    }
    while (topics != NULL) {
        kx_http_topic *topic = topics;
        topics = topic->next;
        kx_wait_notified(http, topic->text);
        free(topic);
    }
    if (wake_all) kx_wait_notified_all(http);
    if (stop_asked && !http->is_stopping) begin_stop(http, grace_ms);
}

void kx_http_note_deadline(kx_http *http, int64_t at_ms)
{
    if (at_ms > 0 && at_ms < http->next_deadline_ms) http->next_deadline_ms = at_ms;
}

static void run_deadlines(kx_http *http, int64_t now_ms)
{
    if (http->accept_again_ms != 0 && now_ms >= http->accept_again_ms) {
        http->accept_again_ms = 0;
        watch_listener(http, true);
    }
    if (now_ms < http->next_deadline_ms) return;
    http->next_deadline_ms = INT64_MAX;
    for (kx_conn *conn = http->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        kx_conn_deadline(conn, now_ms);
        if (conn->state == KX_CONN_CLOSED) continue;
        kx_http_note_deadline(http, conn->deadline_ms);
        if (conn->unconfirmed != NULL) kx_http_note_deadline(http, conn->confirm_ms);
    }
}

static void free_closed(kx_http *http)
{
    while (http->closed != NULL) {
        kx_conn *conn = http->closed;
        http->closed = conn->next;
        kx_conn_free(conn);
    }
}

static int sleep_ms(const kx_http *http, int64_t now_ms)
{
    int64_t until = http->next_deadline_ms;
    if (http->accept_again_ms != 0 && http->accept_again_ms < until) until = http->accept_again_ms;
    if (http->is_stopping && http->stop_deadline_ms > now_ms && http->stop_deadline_ms < until)
        until = http->stop_deadline_ms;
    if (until <= now_ms) return 0;
    return until - now_ms > SLEEP_MS_MAX ? SLEEP_MS_MAX : (int)(until - now_ms);
}

static void handle_event(kx_http *http, const struct epoll_event *event)
{
    if (event->data.ptr == &http->listen_fd) {
        if (http->listen_fd >= 0) accept_some(http);
    } else if (event->data.ptr == &http->wake_fd) {
        empty_inbox(http);
    } else {
        kx_conn_event(event->data.ptr, event->events);
    }
}

void *kx_http_move(void *argument)
{
    kx_http *http = argument;
    struct epoll_event events[EVENTS_PER_TURN];
    while (!http->is_stopping || http->num_conns > 0) {
        int count =
            epoll_wait(http->epoll_fd, events, EVENTS_PER_TURN, sleep_ms(http, kx_clock_monotonic_ms()));
        for (int i = 0; i < count; i++) handle_event(http, &events[i]);
        int64_t now_ms = kx_clock_monotonic_ms();
        run_deadlines(http, now_ms);
        if (http->is_stopping && now_ms >= http->stop_deadline_ms) {
            for (kx_conn *conn = http->conns, *next; conn != NULL; conn = next) {
                next = conn->next;
                kx_conn_close(conn);
            }
        }
        free_closed(http);
    }
    return NULL;
}
