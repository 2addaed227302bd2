#include "test_support.h"

#include "base/clock.h"
#include "service/fetch/fetch.h"
#include "test_http_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the server did not get to see, or saw. */
typedef struct seen {
    pthread_mutex_t lock;
    test_http_request last; /* under the lock, without its body */
    unsigned port;
    atomic_int arrived; /* /held has been asked for */
} seen;

/* 64 KiB in pieces, without saying so before. */
static void send_chunks(int fd)
{
    char piece[1024];
    memset(piece, 'x', sizeof piece);
    test_http_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 65; i++) {
        test_http_say(fd, "400\r\n");
        test_http_send(fd, piece, sizeof piece);
        test_http_say(fd, "\r\n");
    }
    test_http_say(fd, "0\r\n\r\n");
}

static void send_on(int fd, const char *url)
{
    char header[512];
    snprintf(header, sizeof header, "Location: %s\r\n", url);
    test_http_reply(fd, 302, header, "elsewhere", 9);
}

static void flood_headers(int fd)
{
    test_http_say(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 4000; i++) test_http_say(fd, "X-Flood: 0123456789012345678901234567890123456789\r\n");
    test_http_say(fd, "\r\n");
}

static void answer(void *user, const test_http_request *request)
{
    seen *s = user;
    int fd = request->fd, status = 0;
    char url[128];
    pthread_mutex_lock(&s->lock);
    s->last = *request;
    s->last.body = NULL;
    pthread_mutex_unlock(&s->lock);
    if (sscanf(request->path, "/status/%d", &status) == 1) {
        test_http_reply(fd, status, "", "no", 2);
    } else if (strcmp(request->path, "/good") == 0) {
        test_http_reply(fd, 200, "Set-Cookie: a=b\r\n", "picture", 7);
    } else if (strcmp(request->path, "/gzip") == 0) {
        test_http_reply(fd, 200, "Content-Encoding: gzip\r\n", "\x1f\x8b\x08raw", 6);
    } else if (strcmp(request->path, "/large") == 0) {
        test_http_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\nx");
        test_http_wait_for_hang_up(fd);
    } else if (strcmp(request->path, "/chunks") == 0) {
        send_chunks(fd);
    } else if (strcmp(request->path, "/cut") == 0) {
        test_http_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    } else if (strcmp(request->path, "/held") == 0) {
        atomic_store(&s->arrived, 1);
        test_http_wait_for_hang_up(fd);
    } else if (strcmp(request->path, "/silent") == 0) {
        return;
    } else if (strcmp(request->path, "/noise") == 0) {
        test_http_say(fd, "\x01\x02\x03 nonsense\r\n\r\n");
    } else if (strcmp(request->path, "/flood") == 0) {
        flood_headers(fd);
    } else if (strcmp(request->path, "/round") == 0) {
        send_on(fd, "/round");
    } else if (strcmp(request->path, "/to-good") == 0) {
        send_on(fd, "../good#x");
    } else if (strncmp(request->path, "/to?", 4) == 0) {
        send_on(fd, request->path + 4);
    } else if (strcmp(request->path, "/to-name") == 0) {
        snprintf(url, sizeof url, "http://localhost:%u/good", s->port);
        send_on(fd, url);
    }
}

static test_http_server *server;
static seen saw = {.lock = PTHREAD_MUTEX_INITIALIZER};

static test_http_request last_request(void)
{
    pthread_mutex_lock(&saw.lock);
    test_http_request last = saw.last;
    pthread_mutex_unlock(&saw.lock);
    return last;
}

static int start_server(void **state)
{
    (void)state;
    /* Not 127.0.0.1, so that a test can allow this address and no other of the loopback network. */
    server = test_http_server_open("127.0.0.2", answer, &saw);
    saw.port = test_http_server_port(server);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    test_http_server_close(server);
    return 0;
}

static kx_fetch *open_fetch(const char *allow)
{
    kx_error err = {0};
    kx_fetch *fetch = NULL;
    kx_fetch_options options = {.allow = allow, .max_bytes = 10000, .timeout_s = 1, .redirects = 3};
    assert_ok(kx_fetch_open(&fetch, &options, &err));
    return fetch;
}

static kx_status get(const char *allow, const char *path, kx_bytes *out, kx_error *err)
{
    char url[256];
    *err = (kx_error){0};
    *out = (kx_bytes){.cap = 100000};
    snprintf(url, sizeof url, "http://127.0.0.2:%u%s", saw.port, path);
    kx_fetch *fetch = open_fetch(allow);
    kx_status status = kx_fetch_get(fetch, url, out, NULL, NULL, err);
    kx_fetch_close(fetch);
    return status;
}

/* Words on which clients in the field start the whole job again. */
static void assert_fit_for_clients(const char *sentence)
{
    static const char *const words[] = {"timeout", "connection", "HTTP 5", "429", "127.", "localhost"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(sentence, words[i]) != NULL) fail_msg("'%s' holds '%s'", sentence, words[i]);
}

static void assert_refused(const char *path, const char *sentence)
{
    kx_error err;
    kx_bytes out;
    assert_int_equal(get("127.0.0.2", path, &out, &err), KX_ERR_INPUT);
    assert_string_equal(err.message, sentence);
    assert_int_equal(out.size, 0);
    assert_fit_for_clients(err.message);
    kx_bytes_free(&out);
}

static void a_picture_is_fetched_and_little_is_told(void **state)
{
    (void)state;
    kx_error err;
    kx_bytes out;
    char value[64];
    /* A proxy of the environment would answer nothing here. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    assert_ok(get("127.0.0.0/8", "/good", &out, &err));
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(out.size, 7);
    assert_memory_equal(out.data, "picture", 7);
    kx_bytes_free(&out);
    test_http_request last = last_request();
    test_http_header(&last, "User-Agent", value, sizeof value);
    assert_string_equal(value, "kontext/" KX_VERSION);
    test_http_header(&last, "Accept-Encoding", value, sizeof value);
    assert_string_equal(value, "");
    test_http_header(&last, "Cookie", value, sizeof value);
    assert_string_equal(value, "");
}

static void a_coded_body_stays_as_it_came(void **state)
{
    (void)state;
    kx_error err;
    kx_bytes out;
    assert_ok(get("127.0.0.2", "/gzip", &out, &err));
    assert_int_equal(out.size, 6);
    kx_bytes_free(&out);
}

static void a_name_that_leads_inside_is_never_connected_to(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_bytes out = {.cap = 1000};
    char url[64];
    test_http_server *inner = test_http_server_open("127.0.0.1", answer, &saw);
    snprintf(url, sizeof url, "http://localhost:%u/good", test_http_server_port(inner));
    kx_fetch *fetch = open_fetch(NULL);
    assert_ok(kx_fetch_check_url(fetch, url, &err));
    assert_int_equal(kx_fetch_get(fetch, url, &out, NULL, NULL, &err), KX_ERR_INPUT);
    assert_string_equal(err.message, "the server could not be reached");
    assert_int_equal(test_http_server_requests(inner), 0);
    kx_fetch_close(fetch);
    /* The same with the network allowed: the server was there. */
    err = (kx_error){0};
    fetch = open_fetch("127.0.0.0/8,::1");
    assert_ok(kx_fetch_get(fetch, url, &out, NULL, NULL, &err));
    assert_int_equal(test_http_server_requests(inner), 1);
    kx_fetch_close(fetch);
    kx_bytes_free(&out);
    test_http_server_close(inner);
}

static void redirects_are_judged_one_by_one(void **state)
{
    (void)state;
    kx_error err;
    kx_bytes out;
    assert_ok(get("127.0.0.2", "/to-good", &out, &err));
    assert_int_equal(out.size, 7);
    kx_bytes_free(&out);
    assert_refused("/to?http://127.0.0.3/",
                   "after being sent on: the URL's host is an address that is not public");
    assert_refused("/to?http://[::1]/",
                   "after being sent on: the URL's host is an address that is not public");
    assert_refused("/to?http://u@example.com/",
                   "after being sent on: the URL names a user, that is not allowed");
    assert_refused("/to-name", "after being sent on: the server could not be reached");
    assert_refused("/round", "the server sent us on more than 3 times");
    assert_int_equal(get("127.0.0.2", "/to?file:///etc/passwd", &out, &err), KX_ERR_INPUT);
    assert_fit_for_clients(err.message);
    assert_int_equal(out.size, 0);
    kx_bytes_free(&out);
}

static void size_and_time_have_ends(void **state)
{
    (void)state;
    int64_t began = kx_clock_monotonic_ms();
    assert_refused("/large", "it is larger than 10000 bytes");
    assert_refused("/chunks", "it is larger than 10000 bytes");
    assert_refused("/flood", "the server's header is too long");
    assert_refused("/held", "the server did not answer in time");
    assert_true(kx_clock_monotonic_ms() - began < 20000);
}

static void broken_answers_are_told(void **state)
{
    (void)state;
    assert_refused("/cut", "the server stopped in the middle of its answer");
    assert_refused("/silent", "the server gave no answer");
    assert_refused("/noise", "the server's answer could not be read");
    assert_refused("/status/404", "the server does not have it (status 404)");
    assert_refused("/status/403", "the server does not give it to us (status 403)");
    assert_refused("/status/500", "the server answered with the status 500");
    assert_refused("/status/503", "the server answered with the status 503");
    assert_refused("/status/429", "the server asked to come back later");
}

static int when_arrived(void *user)
{
    return atomic_load((atomic_int *)user);
}

static void a_fetch_is_cancelled_while_it_waits(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_bytes out = {.cap = 1000};
    char url[64];
    atomic_store(&saw.arrived, 0);
    snprintf(url, sizeof url, "http://127.0.0.2:%u/held", saw.port);
    kx_fetch_options options = {.allow = "127.0.0.2", .max_bytes = 1000, .timeout_s = 600};
    kx_fetch *fetch = NULL;
    assert_ok(kx_fetch_open(&fetch, &options, &err));
    assert_int_equal(kx_fetch_get(fetch, url, &out, when_arrived, &saw.arrived, &err), KX_ERR_CANCELLED);
    kx_fetch_close(fetch);
    kx_bytes_free(&out);
}

static kx_status post(const char *path, int *http_status, kx_error *err)
{
    static const kx_fetch_header headers[] = {{"Content-Type", "application/json"}, {"webhook-id", "abc"}};
    char url[64];
    *err = (kx_error){0};
    snprintf(url, sizeof url, "http://127.0.0.2:%u%s", saw.port, path);
    kx_fetch *fetch = open_fetch("127.0.0.2");
    kx_status status = kx_fetch_post(fetch, url, headers, 2, "{\"a\":1}", 7, 1, http_status, NULL, NULL, err);
    kx_fetch_close(fetch);
    return status;
}

static void a_post_brings_its_body_and_follows_nobody(void **state)
{
    (void)state;
    kx_error err;
    int http_status = -1;
    char value[64];
    assert_ok(post("/good", &http_status, &err));
    assert_int_equal(http_status, 200);
    test_http_request last = last_request();
    assert_string_equal(last.method, "POST");
    assert_int_equal(last.body_bytes, 7);
    test_http_header(&last, "webhook-id", value, sizeof value);
    assert_string_equal(value, "abc");
    test_http_header(&last, "Content-Type", value, sizeof value);
    assert_string_equal(value, "application/json");
    unsigned before = test_http_server_requests(server);
    assert_ok(post("/to-good", &http_status, &err));
    assert_int_equal(http_status, 302);
    assert_int_equal(test_http_server_requests(server), before + 1);
    assert_ok(post("/status/500", &http_status, &err));
    assert_int_equal(http_status, 500);
    assert_ok(post("/chunks", &http_status, &err)); /* 64 KiB of an answer that nobody reads */
    assert_int_equal(http_status, 200);
    assert_int_equal(post("/held", &http_status, &err), KX_ERR_INPUT);
    assert_int_equal(http_status, 0);
    assert_string_equal(err.message, "the server did not answer in time");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_fetched_and_little_is_told),
        cmocka_unit_test(a_coded_body_stays_as_it_came),
        cmocka_unit_test(a_name_that_leads_inside_is_never_connected_to),
        cmocka_unit_test(redirects_are_judged_one_by_one),
        cmocka_unit_test(size_and_time_have_ends),
        cmocka_unit_test(broken_answers_are_told),
        cmocka_unit_test(a_fetch_is_cancelled_while_it_waits),
        cmocka_unit_test(a_post_brings_its_body_and_follows_nobody),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
