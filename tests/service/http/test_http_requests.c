/* Requests as raw bytes: what is understood, and what is refused with which status. */
#include "test_support.h"

#include "http_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static fixture server;

static int start(void **state)
{
    (void)state;
    fixture_settings(&server);
    server.settings.trusted_proxies = NULL;
    fixture_start(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(&server);
    return 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

typedef struct bad_request {
    int status;
    const char *what, *text;
    size_t bytes; /* 0: strlen */
} bad_request;

#define WITH_NUL(text) text, sizeof text - 1

static const bad_request bad_requests[] = {
    {400, "bare line feeds", "GET /say/a HTTP/1.1\nHost: x\n\n", 0},
    {400, "one bare line feed", "GET /say/a HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 0},
    {400, "a bare carriage return", "GET /say/a HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 0},
    {400, "a folded line", "GET /say/a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 0},
    {400, "NUL in a value", WITH_NUL("GET /say/a HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n")},
    {400, "NUL in Content-Length",
     WITH_NUL("POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\0 9\r\n\r\nabc")},
    {400, "NUL in the path", WITH_NUL("GET /say/a\0b HTTP/1.1\r\nHost: x\r\n\r\n")},
    {400, "a control byte", "GET /say/a HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n", 0},
    {400, "two equal Content-Lengths",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0},
    {400, "two Content-Lengths",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", 0},
    {400, "a list as Content-Length", "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc",
     0},
    {400, "Content-Length +3", "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 0},
    {400, "Content-Length 0x3", "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 0},
    {400, "an empty Content-Length", "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\nabc", 0},
    {400, "a Content-Length over 64 bits",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 0},
    {400, "Content-Length beside Transfer-Encoding",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     0},
    {400, "another coding", "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabc", 0},
    {400, "two codings",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0},
    {400, "chunked twice",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n",
     0},
    {400, "a hidden coding",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0b"
     "chunked\r\n\r\n0\r\n\r\n",
     0},
    {400, "chunked with HTTP/1.0", "POST /say/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
    {400, "white space before a colon", "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
     0},
    {400, "a line without a colon", "GET /say/a HTTP/1.1\r\nHost: x\r\njunk\r\n\r\n", 0},
    {400, "a header without a name", "GET /say/a HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", 0},
    {400, "two Hosts", "GET /say/a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 0},
    {400, "two Content-Types",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n", 0},
    {400, "no Host", "GET /say/a HTTP/1.1\r\n\r\n", 0},
    {400, "a Host that is none", "GET /say/a HTTP/1.1\r\nHost: a/b\r\n\r\n", 0},
    {400, "a Host with markup", "GET /say/a HTTP/1.1\r\nHost: x\"><script>\r\n\r\n", 0},
    {400, "two keys",
     "GET /api/v3/poll/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
     0},
    {400, "HTTP/0.9", "GET /say/a\r\n\r\n", 0},
    {505, "HTTP/2.0", "GET /say/a HTTP/2.0\r\nHost: x\r\n\r\n", 0},
    {505, "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
    {400, "a TLS greeting", WITH_NUL("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
    {400, "two spaces", "GET  /say/a HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {400, "a tab for a space", "GET\t/say/a HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {400, "a method in brackets", "(GET) /say/a HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {400, "a wrong escape", GET("/say/a%zz"), 0},
    {400, "half an escape", GET("/say/a%4"), 0},
    {400, "an encoded NUL", GET("/say/a%00b"), 0},
    {400, "an encoded line feed in the path", GET("/say/a%0ab"), 0},
    {400, "a wrong escape in the query", GET("/say/a?q=%"), 0},
    {400, "an encoded NUL in the query", GET("/say/a?q=%00"), 0},
    {400, "bytes that are not UTF-8", GET("/say/%ff%fe"), 0},
    {400, "an overlong slash", GET("/say/%c0%af"), 0},
    {400, "dots", GET("/say/../etc/passwd"), 0},
    {400, "encoded dots", GET("/say/%2e%2E/etc/passwd"), 0},
    {400, "one dot", GET("/./say/a"), 0},
    {400, "an encoded slash", GET("/say/a%2fb"), 0},
    {400, "an encoded backslash", GET("/say/a%5cb"), 0},
    {400, "a fragment", GET("/say/a#b"), 0},
    {400, "a path without a slash", GET("say/a"), 0},
    {400, "an address without a host", GET("http:///say/a"), 0},
    {417, "another expectation",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 3\r\n\r\nabc", 0},
    {404, "nothing there", GET("/none"), 0},
    {404, "a slash too many", GET("/say/a/"), 0},
    {404, "an empty segment", GET("//say/a"), 0},
    {405, "another method", "DELETE /say/a HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {405, "an unknown method", "BREW /say/a HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {401, "no key", GET("/api/v3/poll/a"), 0},
    {401, "a wrong key", "GET /api/v3/poll/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\n\r\n", 0},
    {401, "another scheme", "GET /api/v3/poll/a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YTpi\r\n\r\n", 0},
    {401, "a key in the query", GET("/api/v3/poll/a?key=no&access_token=no"), 0},
    {401, "no key, before the body", "POST /api/v3/json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
     0},
    {413, "a body that routes without one do not take",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", 0},
    {500, "a handler that says nothing", GET("/nothing"), 0},
    {400, "a chunk size that is none",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 0},
    {400, "chunks with bare line feeds",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 0},
    {400, "a chunk longer than it says",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 0},
    {400, "a chunk size over 60 bits",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
     "chunked\r\n\r\nfffffffffffffffff3\r\nabc\r\n0\r\n\r\n",
     0},
    {400, "a bare line feed in a chunk extension",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", 0},
    {400, "a control byte in a trailer",
     "POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na:\x01\r\n\r\n", 0},
};

static void refuses_bad_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        const bad_request *bad = &bad_requests[i];
        size_t bytes = bad->bytes > 0 ? bad->bytes : strlen(bad->text);
        char *answer = client_ask_bytes(&server, bad->text, bytes);
        if (status_of(answer) != bad->status) print_error("%s:\n", bad->what);
        assert_error(answer, bad->status);
        bool must_close = bad->status == 400 || bad->status == 413;
        if (must_close && !has_header(answer, "Connection: close")) fail_msg("%s: was not closed", bad->what);
        if (strstr(body_of(answer), "}HTTP/1.1") != NULL) fail_msg("%s: two answers", bad->what);
        free(answer);
    }
}

/* "GET /say/a" with so many header lines, or so long an address. */
static char *flood(size_t lines, size_t address_bytes)
{
    size_t room = 200 + lines * 40 + address_bytes, used;
    char *text = malloc(room);
    assert_non_null(text);
    used = (size_t)snprintf(text, room, "GET /say/");
    memset(text + used, 'a', address_bytes + 1);
    used += address_bytes + 1;
    used += (size_t)snprintf(text + used, room - used, " HTTP/1.1\r\nHost: x\r\n");
    for (size_t i = 0; i < lines; i++)
        used += (size_t)snprintf(text + used, room - used, "X-%zu: bbbbbbbbbb\r\n", i);
    snprintf(text + used, room - used, "\r\n");
    return text;
}

static void refuses_addresses_of_too_many_parts(void **state)
{
    (void)state;
    static const struct {
        const char *part;
        int count, status;
    } rows[] = {{"/a", 31, 404}, {"/a", 32, 400}, {"&q=1", 64, 404}, {"&q=1", 65, 400}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char request[600];
        int used = snprintf(request, sizeof request, "GET /none%s", *rows[i].part == '&' ? "?" : "");
        for (int k = 0; k < rows[i].count; k++)
            used += snprintf(request + used, sizeof request - (size_t)used, "%s", rows[i].part);
        snprintf(request + used, sizeof request - (size_t)used, " HTTP/1.1\r\nHost: x\r\n\r\n");
        char *answer = client_ask(&server, request);
        assert_error(answer, rows[i].status);
        free(answer);
    }
}

static void refuses_floods(void **state)
{
    (void)state;
    static const struct {
        size_t lines, address_bytes;
        int status;
    } floods[] = {{90, 0, 200},   {100, 0, 431},  {5000, 0, 431},
                  {0, 8000, 200}, {0, 9000, 414}, {0, 200000, 414}};
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        char *text = flood(floods[i].lines, floods[i].address_bytes);
        char *answer = client_ask(&server, text);
        assert_int_equal(status_of(answer), floods[i].status);
        if (floods[i].status != 200) assert_error(answer, floods[i].status);
        free(answer);
        free(text);
    }
}

static json_t *json_of(const char *answer)
{
    json_t *body = json_loads(body_of(answer), 0, NULL);
    if (body == NULL || status_of(answer) != 200) fail_msg("%s", answer);
    return body;
}

static void assert_field(const char *answer, const char *name, const char *value)
{
    json_t *body = json_of(answer);
    assert_string_equal(json_string_value(json_object_get(body, name)), value);
    json_decref(body);
}

static void ask_field(const char *request, const char *name, const char *value)
{
    char *answer = client_ask(&server, request);
    assert_field(answer, name, value);
    free(answer);
}

static void decodes_addresses(void **state)
{
    (void)state;
    ask_field(GET("/say/a%20b"), "id", "a b");
    ask_field(GET("/say/%C3%A9"), "id", "\xc3\xa9");
    ask_field(GET("/say/a?q=1%2B1+%26"), "q", "1+1 &");
    ask_field(GET("/say/a?webhook=http://y:1/p?a=b&q=2"), "q", "2");
    ask_field("GET http://other:81/say/a HTTP/1.1\r\nHost: x\r\n\r\n", "base", "http://other:81");
    ask_field("GET /say/a HTTP/1.1\r\nHost: me.example:8443\r\n\r\n", "base", "http://me.example:8443");
    ask_field("\r\nGET /say/a HTTP/1.1\r\nHost: x\r\n\r\n", "path", "/say/a");
    char base[64];
    snprintf(base, sizeof base, "http://127.0.0.1:%u", kx_http_port(server.http));
    ask_field("GET /say/a HTTP/1.0\r\n\r\n", "base", base);
    /* Nobody is trusted here. */
    ask_field("GET /say/a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: evil\r\n"
              "X-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /p\r\n\r\n",
              "base", "http://x");
    ask_field("GET /say/a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n", "client", "127.0.0.1");
}

static char *ask_with_key(const char *method, const char *path, const char *key, const char *body)
{
    size_t room = strlen(body) + 2000;
    char *request = malloc(room);
    assert_non_null(request);
    snprintf(request, room,
             "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n%s", method,
             path, key, strlen(body), body);
    char *answer = client_ask(&server, request);
    free(request);
    return answer;
}

static void checks_keys(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        int read, submit, admin;
    } rows[] = {
        {"GET", "/api/v3/poll/a", 200, 200, 200},
        {"POST", "/api/v3/json", 403, 200, 200},
        {"GET", "/api/v3/admin", 403, 403, 200},
        {"GET", "/say/a", 200, 200, 200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const keys[3] = {server.read_key, server.submit_key, server.admin_key};
        const int wanted[3] = {rows[i].read, rows[i].submit, rows[i].admin};
        for (int k = 0; k < 3; k++) {
            const char *body = rows[i].method[0] == 'P' ? "{}" : "";
            char *answer = ask_with_key(rows[i].method, rows[i].path, keys[k], body);
            assert_int_equal(status_of(answer), wanted[k]);
            free(answer);
        }
    }
    char *answer = client_ask(&server, GET("/api/v3/poll/a"));
    assert_true(has_header(answer, "WWW-Authenticate: Bearer"));
    free(answer);
}

static void shows_metrics_to_this_machine_alone(void **state)
{
    (void)state;
    ask_field("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", "path", "/metrics");
    ask_field("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "path", "/metrics");
    ask_field("GET /metrics HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "path", "/metrics");
    static const char *const others[] = {
        "x",
        "1.example",
        "[::1].example",
        "localhost.example",
        "127.0.0.1\r\nX-Forwarded-For: 1.2.3.4",
        "127.0.0.1\r\nx-forwarded-proto: https",
        "127.0.0.1\r\nForwarded: for=1.2.3.4",
        "127.0.0.1\r\nVia: 1.1 proxy",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char request[200];
        snprintf(request, sizeof request, "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", others[i]);
        char *answer = client_ask(&server, request);
        if (status_of(answer) == 200) fail_msg("shown to \"%s\"", others[i]);
        free(answer);
    }
}

static void checks_json(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
    } rows[] = {
        {200, "{}"},
        {200, "{\"a\":[[1]],\"b\":\"[[{{\\\"\"}"},
        {400, ""},
        {400, "null"},
        {400, "[]"},
        {400, "{\"a\":1"},
        {400, "{\"a\":1}x"},
        {400, "{\"a\":1,\"a\":2}"},
        {400, "{'a':1}"},
        {400, "{\"a\":\"\xff\"}"},
        {400, "{\"a\":1e999}"},
        {400, "\xef\xbb\xbf{}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *answer = ask_with_key("POST", "/api/v3/json", server.submit_key, rows[i].body);
        if (status_of(answer) != rows[i].status) fail_msg("%s: %s", rows[i].body, answer);
        if (rows[i].status != 200) assert_error(answer, rows[i].status);
        free(answer);
    }
    char deep[300] = "{\"a\":";
    memset(deep + 5, '[', 100);
    memset(deep + 105, ']', 100);
    deep[205] = '}';
    char *answer = ask_with_key("POST", "/api/v3/json", server.submit_key, deep);
    assert_error(answer, 400);
    assert_non_null(strstr(answer, "nested deeper"));
    free(answer);
    for (int values = 20000; values <= 20001; values++) {
        static char many[50000];
        int used = snprintf(many, sizeof many, "{\"a\":[0");
        for (int i = 2; i < values; i++) used += snprintf(many + used, 3, ",0"); /* two brackets count too */
        snprintf(many + used, sizeof many - (size_t)used, "]}");
        answer = ask_with_key("POST", "/api/v3/json", server.submit_key, many);
        assert_int_equal(status_of(answer), values == 20000 ? 200 : 400);
        free(answer);
    }
}

static void answers_head_and_options(void **state)
{
    (void)state;
    int fd = client_open(&server);
    const char *both = "HEAD /say/a HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    client_send(fd, both, strlen(both));
    char *answers = client_read_until(fd, "without an answer\"}");
    assert_int_equal(status_of(answers), 200);
    assert_int_equal(strncmp(body_of(answers), "HTTP/1.1 500", 12), 0);
    assert_null(strstr(answers, "Content-Length: 0"));
    free(answers);
    close(fd);
    char *answer =
        client_ask(&server, "OPTIONS /api/v3/wavespeed-ai/any HTTP/1.1\r\nHost: x\r\nOrigin: http://o\r\n"
                            "Access-Control-Request-Method: POST\r\n\r\n");
    assert_int_equal(status_of(answer), 204);
    assert_true(has_header(answer, "Access-Control-Allow-Origin: *"));
    assert_true(has_header(answer, "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, OPTIONS"));
    assert_non_null(strstr(answer, "X-Client-OS"));
    free(answer);
    answer = client_ask(&server, "DELETE /say/a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(has_header(answer, "Allow: GET, HEAD, POST"));
    free(answer);
    answer = client_ask(&server, GET("/api/v3/json"));
    assert_true(has_header(answer, "Allow: POST"));
    assert_error(answer, 405);
    free(answer);
    answer = ask_with_key("POST", "/api/v3/poll/a", server.submit_key, "{}");
    assert_error(answer, 405); /* not a model named "poll/a" */
    free(answer);
    answer = ask_with_key("POST", "/api/v3/owner/model/multi", server.submit_key, "{}");
    assert_field(answer, "model", "owner/model/multi");
    free(answer);
}

static void guards_pages(void **state)
{
    (void)state;
    char *answer = client_ask(&server, GET("/"));
    assert_int_equal(status_of(answer), 200);
    const char *policy = strstr(answer, "Content-Security-Policy: default-src 'none'; script-src 'self'");
    assert_non_null(policy);
    assert_null(strstr(answer, "unsafe-"));
    assert_true(has_header(answer, "Referrer-Policy: no-referrer"));
    assert_true(has_header(answer, "X-Frame-Options: DENY"));
    assert_null(strstr(answer, "Access-Control-Allow-Origin"));
    free(answer);
}

static void keeps_connections(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        bool stays;
    } rows[] = {
        {GET("/say/a"), true},
        {"GET /say/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false},
        {"GET /say/a HTTP/1.1\r\nHost: x\r\nConnection: upgrade, Close\r\n\r\n", false},
        {"GET /say/a HTTP/1.0\r\nHost: x\r\n\r\n", false},
        {"GET /say/a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", true},
        {GET("/none"), true},
        {"POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", true},
        {"POST /say/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
         "chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n",
         true},
        {"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = client_open(&server);
        client_send(fd, rows[i].request, strlen(rows[i].request));
        char *first = client_read(fd, NULL);
        bool says_close = has_header(first, "Connection: close");
        if (says_close == rows[i].stays) fail_msg("row %zu: %s", i, first);
        if (rows[i].stays) {
            client_send(fd, rows[i].request, strlen(rows[i].request));
            char *second = client_read(fd, NULL);
            assert_int_equal(status_of(second), status_of(first));
            free(second);
        }
        free(first);
        close(fd);
    }
}

/* Bytes that come one at a time, and two requests in one piece, are the same requests. */
static void takes_requests_in_any_pieces(void **state)
{
    (void)state;
    const char *two = "POST /say/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                      "GET /say/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (int whole = 0; whole < 2; whole++) {
        int fd = client_open(&server);
        if (whole) client_send(fd, two, strlen(two));
        for (size_t i = 0; !whole && i < strlen(two); i++) client_send(fd, two + i, 1);
        char *answers = client_read_until(fd, "\"id\":\"b\"");
        assert_non_null(strstr(answers, "\"id\":\"a\""));
        free(answers);
        close(fd);
    }
}

static void expects_continue(void **state)
{
    (void)state;
    char request[500];
    int fd = client_open(&server);
    snprintf(request, sizeof request,
             "POST /api/v3/json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\n"
             "Content-Length: 2\r\n\r\n",
             server.submit_key);
    client_send(fd, request, strlen(request));
    char *first = client_read_until(fd, "\r\n\r\n");
    assert_string_equal(first, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(fd, "{}", 2);
    char *second = client_read(fd, NULL);
    assert_int_equal(status_of(second), 200);
    free(first);
    free(second);
    close(fd);
    char *answer = client_ask(&server, "POST /api/v3/json HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                                       "Content-Length: 2\r\n\r\n");
    assert_error(answer, 401); /* before the body, without a 100 in front */
    free(answer);
    snprintf(request, sizeof request,
             "POST /api/v3/json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\n"
             "Content-Length: 300000000\r\n\r\n",
             server.submit_key);
    answer = client_ask(&server, request);
    assert_error(answer, 413);
    free(answer);
}

/* A client that sends a large body all the same still gets to read the answer. */
static void tells_too_large_bodies(void **state)
{
    (void)state;
    size_t size = 20000000;
    char *request = malloc(size);
    assert_non_null(request);
    for (int chunked = 0; chunked < 2; chunked++) {
        int length = snprintf(
            request, 400, "POST /api/v3/json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n",
            server.submit_key, chunked ? "Transfer-Encoding: chunked" : "Content-Length: 20000000");
        memset(request + length, 'a', size - (size_t)length);
        if (chunked) memcpy(request + length, "1ffffff\r\n", 9);
        char *answer = client_ask_bytes(&server, request, size);
        assert_error(answer, 413);
        assert_true(has_header(answer, "Connection: close"));
        free(answer);
    }
    free(request);
}

static void logs_lines_without_secrets(void **state)
{
    (void)state;
    char *answer = client_ask(&server, GET("/log?token=hidden"));
    assert_error(answer, 429);
    assert_true(has_header(answer, "Retry-After: 7"));
    assert_null(strstr(answer, "Evil"));
    const char *id = strstr(answer, "X-Request-Id: ") + 14;
    char wanted[64], *line = NULL;
    snprintf(wanted, sizeof wanted, "%.*s", (int)strcspn(id, "\r"), id);
    FILE *log = fdopen(dup(server.log_pipe[0]), "r");
    assert_non_null(log);
    size_t room = 0;
    while (getline(&line, &room, log) > 0 && strstr(line, wanted) == NULL) continue;
    json_t *parsed = json_loads(line, 0, NULL);
    if (parsed == NULL) fail_msg("no JSON: %s", line);
    assert_string_equal(json_string_value(json_object_get(parsed, "model")), "a/b\"c\n");
    assert_string_equal(json_string_value(json_object_get(parsed, "path")), "/log");
    assert_int_equal(json_integer_value(json_object_get(parsed, "status")), 429);
    assert_null(json_object_get(parsed, "prompt"));
    assert_null(strstr(line, "hidden"));
    json_decref(parsed);
    free(line);
    fclose(log);
    free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_lines_without_secrets),
        cmocka_unit_test(refuses_bad_requests),
        cmocka_unit_test(refuses_addresses_of_too_many_parts),
        cmocka_unit_test(refuses_floods),
        cmocka_unit_test(decodes_addresses),
        cmocka_unit_test(checks_keys),
        cmocka_unit_test(shows_metrics_to_this_machine_alone),
        cmocka_unit_test(checks_json),
        cmocka_unit_test(answers_head_and_options),
        cmocka_unit_test(guards_pages),
        cmocka_unit_test(keeps_connections),
        cmocka_unit_test(takes_requests_in_any_pieces),
        cmocka_unit_test(expects_continue),
        cmocka_unit_test(tells_too_large_bodies),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
