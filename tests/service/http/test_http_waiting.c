/* Clients that wait: long polls, event streams, hang-ups, time limits, caps, a graceful stop. */
#include "test_support.h"

#include "http_fixture.h"
#include "service/http/http_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static fixture server;

static int start(void **state)
{
    (void)state;
    fixture_settings(&server);
    fixture_start(&server);
    return 0;
}

/* Short limits. */
static int start_impatient(void **state)
{
    (void)state;
    fixture_settings(&server);
    server.settings.header_timeout_s = 1;
    server.settings.body_timeout_s = 1;
    server.settings.idle_timeout_s = 1;
    server.settings.max_connections_per_address = 4;
    fixture_start(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(&server);
    return 0;
}

static int ask(const char *request)
{
    int fd = client_open(&server);
    client_send(fd, request, strlen(request));
    return fd;
}

static void assert_closed(int fd)
{
    char rest[2000];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (;;) {
        assert_int_equal(poll(&ready, 1, 10000), 1);
        if (recv(fd, rest, sizeof rest, 0) <= 0) break;
    }
    close(fd);
}

#define WAIT   "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
#define EVENTS "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"

static void wakes_a_waiting_call(void **state)
{
    (void)state;
    int fd = ask(WAIT);
    assert_true(reaches(&server.waits, 1));
    kx_http_notify(server.http, "another topic");
    kx_http_notify(server.http, "topic"); /* nothing has changed: it waits on */
    fixture_set(&server, 7);
    char *answer = client_read(fd, NULL);
    assert_non_null(strstr(answer, "{\"why\":\"notified\",\"value\":7}"));
    free(answer);
    assert_true(reaches(&server.delivered, 1));
    close(fd);
}

static bool holds_no_body(void *argument)
{
    fixture *f = argument;
    kx_http_metrics metrics;
    kx_http_metrics_read(f->http, &metrics);
    return metrics.waiting == 1 && atomic_load(&f->http->held_bytes) == 0;
}

/* Clients that wait with large bodies would use up what all bodies may take. */
static void holds_no_body_while_it_waits(void **state)
{
    (void)state;
    enum { BYTES = 900000 };
    static char body[BYTES];
    int fd = ask("POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
    memset(body, ' ', BYTES);
    client_send(fd, body, BYTES);
    assert_true(wait_until(holds_no_body, &server));
    fixture_set(&server, 7);
    char *answer = client_read(fd, NULL);
    assert_int_equal(status_of(answer), 200);
    free(answer);
    close(fd);
}

static void ends_a_wait_in_time(void **state)
{
    (void)state;
    int64_t began = kx_clock_monotonic_ms();
    char *answer = client_ask(&server, "GET /wait?ms=150 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(answer, "{\"why\":\"time\",\"value\":0}"));
    assert_true(kx_clock_monotonic_ms() - began >= 150);
    free(answer);
}

/* Between the handler's look and its wait there is no gap for a notification to fall into. */
static void loses_no_notification(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        atomic_store(&server.value, 0);
        int seen = atomic_load(&server.waits);
        int fd = ask("POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
        while (i % 2 == 0 && atomic_load(&server.waits) == seen) continue;
        fixture_set(&server, 1);
        char *answer = client_read(fd, NULL);
        assert_non_null(strstr(answer, "\"value\":1"));
        free(answer);
        close(fd);
    }
}

static void streams_events(void **state)
{
    (void)state;
    int fd = ask(EVENTS);
    char *first = client_read_until(fd, "data: {\"value\":0}\n\n");
    assert_true(has_header(first, "Content-Type: text/event-stream"));
    assert_true(has_header(first, "Transfer-Encoding: chunked"));
    fixture_set(&server, 5);
    char *second = client_read_until(fd, "data: {\"value\":5}\n\n\r\n");
    fixture_set(&server, 100); /* the last */
    char *last = client_read_until(fd, "0\r\n\r\n");
    assert_non_null(strstr(last, "\"value\":100"));
    client_send(fd, WAIT, strlen(WAIT)); /* the connection goes on */
    char *next = client_read(fd, NULL);
    assert_int_equal(status_of(next), 200);
    free(next);
    free(last);
    free(second);
    free(first);
    close(fd);
}

static void streams_to_old_clients(void **state)
{
    (void)state;
    int fd = ask("GET /events HTTP/1.0\r\n\r\n");
    char *first = client_read_until(fd, "\"value\":0}\n\n");
    assert_true(has_header(first, "Connection: close"));
    assert_null(strstr(first, "chunked"));
    fixture_set(&server, 100);
    char *rest = client_read(fd, NULL);
    assert_string_equal(rest, "id: 100\nevent: value\ndata: {\"value\":100}\n\n");
    free(rest);
    free(first);
    close(fd);
}

static void notices_hang_ups_of_waiting_clients(void **state)
{
    (void)state;
    int waiting = ask(WAIT), stream = ask(EVENTS);
    assert_true(reaches(&server.waits, 1));
    free(client_read_until(stream, "\"value\":0}\n\n"));
    close(waiting);
    assert_true(reaches(&server.undelivered, 1));
    close(stream);
    assert_true(reaches(&server.undelivered, 2));
    assert_int_equal(atomic_load(&server.delivered), 0);
}

static void notices_a_client_that_left_while_its_handler_ran(void **state)
{
    (void)state;
    int fd = ask("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(reaches(&server.handled, 1));
    close(fd);
    fd = ask("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(reaches(&server.handled, 2));
    shutdown(fd, SHUT_WR); /* it may still read */
    atomic_store(&server.gate, true);
    char *answer = client_read(fd, NULL);
    assert_int_equal(status_of(answer), 200);
    free(answer);
    close(fd);
    assert_true(reaches(&server.undelivered, 2));
    fd = ask("GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    answer = client_read(fd, NULL);
    close(fd);
    free(answer);
    assert_true(reaches(&server.delivered, 1));
}

/* A client that closes as soon as it has the answer did get it, on every way of closing. */
static void tells_delivered_answers(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        int fd =
            ask(i % 2 ? "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
                      : "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
        fixture_set(&server, 1);
        char *answer = client_read_until(fd, "\"value\":1}");
        close(fd);
        free(answer);
    }
    assert_true(reaches(&server.ended, 100));
    assert_int_equal(atomic_load(&server.undelivered), 0);
}

static void stops_gracefully(void **state)
{
    (void)state;
    fixture own;
    fixture_settings(&own);
    fixture_start(&own);
    server.http = own.http;
    int waiting = ask(WAIT), stream = ask(EVENTS), slow = ask("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    int idle = client_open(&own);
    assert_true(reaches(&own.waits, 1) && reaches(&own.handled, 1));
    free(client_read_until(stream, "\"value\":0}\n\n"));
    fixture_stop(&own);
    char *answer = client_read(waiting, NULL);
    assert_non_null(strstr(answer, "\"why\":\"stopping\""));
    free(answer);
    answer = client_read_until(stream, "0\r\n\r\n");
    free(answer);
    answer = client_read(slow, NULL);
    assert_int_equal(status_of(answer), 200);
    free(answer);
    assert_int_equal(atomic_load(&own.ended), 3);
    assert_closed(idle);
    close(waiting);
    close(stream);
    close(slow);
}

static void holds_many_clients(void **state)
{
    (void)state;
    enum { STREAMS = 500, WAITS = 200 };
    static int fds[STREAMS + WAITS];
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < 2048) skip();
    files.rlim_cur = files.rlim_max > 4096 ? 4096 : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < STREAMS; i++) fds[i] = ask(EVENTS);
    for (int i = STREAMS; i < STREAMS + WAITS; i++) fds[i] = ask(WAIT);
    assert_true(reaches(&server.streams, STREAMS) && reaches(&server.waits, WAITS));
    for (int i = 0; i < STREAMS; i++) free(client_read_until(fds[i], "\"value\":0}\n\n"));
    /* Others are served meanwhile. */
    char *answer = client_ask(&server, "GET /say/a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(status_of(answer), 200);
    free(answer);
    fixture_set(&server, 1);
    for (int i = 0; i < STREAMS; i++) free(client_read_until(fds[i], "\"value\":1}\n\n"));
    for (int i = STREAMS; i < STREAMS + WAITS; i++) free(client_read_until(fds[i], "\"value\":1}"));
    for (int i = 0; i < STREAMS + WAITS; i++) close(fds[i]);
    assert_true(reaches(&server.ended, STREAMS + WAITS));
    assert_int_equal(atomic_load(&server.delivered), WAITS);
}

/* A byte now and then is activity, and still too slow. */
static char *trickle(int fd, const char *text)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int64_t until = kx_clock_monotonic_ms() + 10000;
    for (size_t i = 0; poll(&ready, 1, 50) == 0; i++) {
        if (kx_clock_monotonic_ms() > until) fail_msg("the server is too patient");
        client_send(fd, text + i % strlen(text), 1);
    }
    return client_read(fd, NULL);
}

static void ends_slow_requests(void **state)
{
    (void)state;
    int fd = ask("GET /say/a HTTP/1.1\r\nHost: x\r\n");
    char *answer = trickle(fd, "A: b\r\n");
    assert_error(answer, 408);
    free(answer);
    close(fd);
    fd = ask("POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    answer = trickle(fd, "abc");
    assert_error(answer, 408);
    free(answer);
    close(fd);
    fd = ask("POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n");
    answer = trickle(fd, "abc");
    assert_error(answer, 408);
    free(answer);
    close(fd);
    assert_closed(client_open(&server)); /* says nothing */
    fd = ask("GET /say/a HTTP/1.1\r\nHost: x\r\n\r\n");
    free(client_read(fd, NULL));
    assert_closed(fd); /* says nothing more */
}

static void ends_readers_that_take_nothing(void **state)
{
    (void)state;
    int fd = client_open(&server), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 20; i++) {
        const char *request = "GET /file.png HTTP/1.1\r\nHost: x\r\n\r\n";
        client_send(fd, request, strlen(request));
    }
    assert_true(reaches(&server.undelivered, 1));
    close(fd);
}

static bool has_no_connections(void *argument)
{
    kx_http_metrics metrics;
    kx_http_metrics_read(argument, &metrics);
    return metrics.connections == 0;
}

static void caps_connections_of_one_address(void **state)
{
    (void)state;
    int fds[4];
    assert_true(wait_until(has_no_connections, server.http));
    for (int i = 0; i < 4; i++) fds[i] = ask(WAIT);
    assert_true(reaches(&server.waits, 4));
    char *answer = client_ask(&server, WAIT);
    assert_error(answer, 503);
    free(answer);
    kx_http_metrics metrics;
    kx_http_metrics_read(server.http, &metrics);
    assert_int_equal(metrics.refused_connections, 1);
    assert_int_equal(metrics.waiting, 4);
    for (int i = 0; i < 4; i++) close(fds[i]);
    assert_true(wait_until(has_no_connections, server.http));
}

#define WITH(test)      cmocka_unit_test_setup_teardown(test, start, stop)
#define IMPATIENT(test) cmocka_unit_test_setup_teardown(test, start_impatient, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(wakes_a_waiting_call),
        WITH(holds_no_body_while_it_waits),
        WITH(ends_a_wait_in_time),
        WITH(loses_no_notification),
        WITH(streams_events),
        WITH(streams_to_old_clients),
        WITH(notices_hang_ups_of_waiting_clients),
        WITH(notices_a_client_that_left_while_its_handler_ran),
        WITH(tells_delivered_answers),
        cmocka_unit_test(stops_gracefully),
        WITH(holds_many_clients),
        IMPATIENT(ends_slow_requests),
        IMPATIENT(ends_readers_that_take_nothing),
        IMPATIENT(caps_connections_of_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
