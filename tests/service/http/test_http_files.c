/* Bodies that become files, files that become answers, and what proxies say. */
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
    server.settings.trusted_proxies = "127.0.0.1, 10.0.0.0/8";
    fixture_start(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(&server);
    return 0;
}

static char *put(const void *data, size_t bytes, bool chunked)
{
    char head[200];
    int fd = client_open(&server);
    int length =
        snprintf(head, sizeof head, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n%s: ",
                 chunked ? "Transfer-Encoding" : "Content-Length");
    client_send(fd, head, (size_t)length);
    length = chunked ? snprintf(head, sizeof head, "chunked\r\n\r\n%zx\r\n", bytes)
                     : snprintf(head, sizeof head, "%zu\r\n\r\n", bytes);
    client_send(fd, head, (size_t)length);
    client_send(fd, data, bytes);
    if (chunked) client_send(fd, "\r\n0\r\n\r\n", 7);
    char *answer = client_read(fd, NULL);
    close(fd);
    return answer;
}

static void streams_raw_bodies_to_blobs(void **state)
{
    (void)state;
    size_t sizes[] = {1, 63, 65536, 300000, 3000000, 4 << 20};
    uint8_t *data = malloc(4 << 20);
    assert_non_null(data);
    for (size_t i = 0; i < 4 << 20; i++) data[i] = (uint8_t)(i * 31 % 253);
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        char wanted[200];
        size_t bytes = sizes[i / 2];
        char *answer = put(data, bytes, i % 2);
        snprintf(wanted, sizeof wanted,
                 "{\"blob\":\"%s\",\"bytes\":%zu,\"field\":\"\",\"filename\":\"\",\"type\":\"image/png\"}",
                 test_sha256(data, bytes), bytes);
        if (strstr(answer, wanted) == NULL) fail_msg("%zu bytes: %s", bytes, answer);
        free(answer);
    }
    free(data);
}

static char *folder_of(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", server.folder, name);
    return path;
}

static bool has_no_temporary(void *argument)
{
    (void)argument;
    return files_in(folder_of("tmp")) == 0;
}

static bool has_temporary(void *argument)
{
    return !has_no_temporary(argument);
}

static void leaves_nothing_of_broken_uploads(void **state)
{
    (void)state;
    size_t blobs = files_in(folder_of("blobs"));
    uint8_t *data = calloc(1, 5 << 20);
    assert_non_null(data);
    char *answer = put(data, 5 << 20, true); /* over the limit, found on the way */
    assert_error(answer, 413);
    free(answer);
    const char *head = "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n";
    int fd = client_open(&server);
    client_send(fd, head, strlen(head));
    client_send(fd, data, 1000000);
    assert_true(wait_until(has_temporary, NULL));
    close(fd);
    assert_true(wait_until(has_no_temporary, NULL));
    assert_int_equal(files_in(folder_of("blobs")), blobs);
    free(data);
}

static char *post_form(const char *type, const char *body, size_t bytes)
{
    char head[600];
    int fd = client_open(&server);
    int length = snprintf(head, sizeof head,
                          "POST /form HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          server.submit_key, type, bytes);
    client_send(fd, head, (size_t)length);
    client_send(fd, body, bytes);
    char *answer = client_read(fd, NULL);
    close(fd);
    return answer;
}

#define FORM_TYPE         "multipart/form-data; boundary=\"b-1\""
#define PART(names, data) "--b-1\r\nContent-Disposition: form-data; " names "\r\n\r\n" data "\r\n"

static void takes_forms(void **state)
{
    (void)state;
    static const char form[] =
        PART("name=\"note\"", "a\nb") "--b-1\r\nContent-Disposition: form-data; name=\"file\"; "
                                      "filename=\"p;\\\"q.png\"\r\nContent-Type: image/png\r\n\r\n"
                                      "\r\n--b-\r\r\n--b\r\n" PART("filename*=utf-8''%C3%A9.png; name=file",
                                                                   "") "--b-1--\r\n";
    char *answer = post_form(FORM_TYPE, form, sizeof form - 1);
    json_t *body = json_loads(body_of(answer), 0, NULL);
    if (status_of(answer) != 200 || body == NULL) fail_msg("%s", answer);
    json_t *first = json_array_get(json_object_get(body, "files"), 0);
    json_t *second = json_array_get(json_object_get(body, "files"), 1);
    assert_string_equal(json_string_value(json_object_get(body, "note")), "a\nb");
    assert_string_equal(json_string_value(json_object_get(first, "filename")), "p;\"q.png");
    assert_string_equal(json_string_value(json_object_get(first, "type")), "image/png");
    assert_string_equal(json_string_value(json_object_get(first, "blob")),
                        test_sha256("\r\n--b-\r\r\n--b", 12));
    assert_string_equal(json_string_value(json_object_get(second, "filename")), "\xc3\xa9.png");
    assert_int_equal(json_integer_value(json_object_get(second, "bytes")), 0);
    json_decref(body);
    free(answer);
}

static void refuses_broken_forms(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *type, *body;
    } rows[] = {
        {415, "application/json", "{}"},
        {415, "multipart/form-dataX; boundary=b-1", ""},
        {415, "multipart/form-data", "--b-1--\r\n"},
        {400, "multipart/form-data; boundary=", "--b-1--\r\n"},
        {400, "multipart/form-data; boundary=\"b\x80\"", "--b-1--\r\n"},
        {400, FORM_TYPE, "x"},
        {400, FORM_TYPE, "preamble\r\n--b-1--\r\n"},
        {400, FORM_TYPE, PART("name=a", "x")},
        {400, FORM_TYPE, "--b-1\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE, "--b-1\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE, "--b-1\nContent-Disposition: form-data; name=a\n\nx\n--b-1--\n"},
        {400, FORM_TYPE, "--b-1\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE,
         "--b-1\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: "
         "base64\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE, "--b-1\r\nX: y\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE, "--b-1\r\n\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE, "--b-1\r\nContent-Disposition: form-dataX; name=a\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE, PART("name=a; filename=\"p.png", "x") "--b-1--\r\n"},
        {400, FORM_TYPE,
         "--b-1\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; "
         "name=b\r\n\r\nx\r\n--b-1--\r\n"},
        {400, FORM_TYPE, PART("name=a", "x") "--b-1x\r\n"},
        {400, FORM_TYPE, PART("name=a", "x") "--b-1--\r\nmore"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *answer = post_form(rows[i].type, rows[i].body, strlen(rows[i].body));
        if (status_of(answer) != rows[i].status) print_error("row %zu: %s\n", i, rows[i].body);
        assert_error(answer, rows[i].status);
        free(answer);
    }
    assert_true(wait_until(has_no_temporary, NULL));
}

/* `count` copies of `part`, and the end. */
static char *many_parts(const char *part, size_t count)
{
    size_t room = count * (strlen(part) + 30) + 100, used = 0;
    char *form = malloc(room);
    assert_non_null(form);
    for (size_t i = 0; i < count; i++) used += (size_t)snprintf(form + used, room - used, "%s", part);
    snprintf(form + used, room - used, "--b-1--\r\n");
    return form;
}

static void caps_what_a_form_holds(void **state)
{
    (void)state;
    static const struct {
        const char *part;
        size_t count;
        int status;
        const char *sentence;
    } rows[] = {
        {PART("name=a", "x"), 64, 200, ""},
        {PART("name=a", "x"), 65, 400, "more than 64 parts"},
        {PART("name=a; filename=b", "x"), 16, 200, ""},
        {PART("name=a; filename=b", "x"), 17, 400, "more than 16 files"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *form = many_parts(rows[i].part, rows[i].count);
        char *answer = post_form(FORM_TYPE, form, strlen(form));
        if (status_of(answer) != rows[i].status) fail_msg("row %zu: %.300s", i, answer);
        assert_non_null(strstr(answer, rows[i].sentence));
        free(answer);
        free(form);
    }
    static char large[70000];
    int used = snprintf(large, sizeof large, "--b-1\r\nContent-Disposition: form-data; name=a\r\n\r\n");
    memset(large + used, 'x', 65537);
    snprintf(large + used + 65537, 20, "\r\n--b-1--\r\n");
    char *answer = post_form(FORM_TYPE, large, strlen(large));
    assert_error(answer, 413);
    free(answer);
    used = snprintf(large, sizeof large, "--b-1\r\nContent-Disposition: form-data; name=a\r\nX: ");
    memset(large + used, 'x', 5000);
    snprintf(large + used + 5000, 30, "\r\n\r\nx\r\n--b-1--\r\n");
    answer = post_form(FORM_TYPE, large, strlen(large));
    assert_error(answer, 400);
    free(answer);
    static const char zero[] = PART("name=note", "a\0b") "--b-1--\r\n";
    answer = post_form(FORM_TYPE, zero, sizeof zero - 1);
    assert_error(answer, 400);
    free(answer);
    assert_true(wait_until(has_no_temporary, NULL));
}

static char *get_file(const char *method, const char *header)
{
    char request[500];
    snprintf(request, sizeof request, "%s /file.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s\r\n",
             method, header, *header == '\0' ? "" : "\r\n");
    int fd = client_open(&server);
    client_send(fd, request, strlen(request));
    size_t size = 0;
    char *answer = client_read(fd, &size);
    close(fd);
    /* Bytes of the file may be NUL: their number stands behind the head. */
    size_t head = (size_t)(body_of(answer) - answer);
    char length[40];
    snprintf(length, sizeof length, "Content-Length: %zu", size - head);
    bool is_head = strcmp(method, "HEAD") == 0;
    if (!is_head && status_of(answer) != 304) assert_true(has_header(answer, length));
    if (is_head) assert_int_equal(size, head);
    return answer;
}

static void answers_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *header, *range;
        int status;
        size_t first;
    } rows[] = {
        {"", NULL, 200, 0},
        {"Range: bytes=0-0", "Content-Range: bytes 0-0/1000000", 206, 0},
        {"Range: bytes=999990-", "Content-Range: bytes 999990-999999/1000000", 206, 999990},
        {"Range: bytes=-10", "Content-Range: bytes 999990-999999/1000000", 206, 999990},
        {"Range: bytes=5-99999999", "Content-Range: bytes 5-999999/1000000", 206, 5},
        {"Range: bytes=1000000-", "Content-Range: bytes */1000000", 416, 0},
        {"Range: bytes=-0", "Content-Range: bytes */1000000", 416, 0},
        {"Range: bytes=0-1,3-4", NULL, 200, 0},
        {"Range: bytes=5-4", NULL, 200, 0},
        {"Range: lines=1-2", NULL, 200, 0},
        {"Range: bytes=99999999999999999999-", "Content-Range: bytes */1000000", 416, 0},
        {"If-None-Match: \"abc\"", NULL, 304, 0},
        {"If-None-Match: \"x\", W/\"abc\"", NULL, 304, 0},
        {"If-None-Match: *", NULL, 304, 0},
        {"If-None-Match: \"abcd\"", NULL, 200, 0},
        {"If-Range: \"abc\"\r\nRange: bytes=1-1", "Content-Range: bytes 1-1/1000000", 206, 1},
        {"If-Range: \"old\"\r\nRange: bytes=1-1", NULL, 200, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *answer = get_file("GET", rows[i].header);
        if (status_of(answer) != rows[i].status) fail_msg("%s: %.200s", rows[i].header, answer);
        if (rows[i].range != NULL) assert_true(has_header(answer, rows[i].range));
        if (rows[i].status == 200 || rows[i].status == 206)
            assert_int_equal((uint8_t)body_of(answer)[0], rows[i].first % 251);
        if (rows[i].status != 416) assert_true(has_header(answer, "ETag: \"abc\""));
        free(answer);
        free(get_file("HEAD", rows[i].header));
    }
    char *answer = get_file("GET", "");
    assert_true(has_header(answer, "Content-Type: image/png"));
    assert_true(has_header(answer, "Cache-Control: public, max-age=60"));
    assert_true(has_header(answer, "Content-Disposition: inline; filename=\"a _file_.png\""));
    assert_true(has_header(answer, "Accept-Ranges: bytes"));
    assert_true(has_header(answer, "Access-Control-Allow-Origin: *"));
    free(answer);
}

static void believes_trusted_proxies(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *client, *base;
    } rows[] = {
        {"", "127.0.0.1", "http://x"},
        {"X-Forwarded-For: 1.2.3.4", "1.2.3.4", "http://x"},
        {"X-Forwarded-For: 6.6.6.6, 1.2.3.4", "1.2.3.4", "http://x"},
        {"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.2.3", "1.2.3.4", "http://x"},
        {"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4", "1.2.3.4", "http://x"},
        {"X-Forwarded-For: 10.9.9.9, 10.1.2.3", "10.9.9.9", "http://x"},
        {"X-Forwarded-For: 2001:db8::1", "2001:db8::1", "http://x"},
        {"X-Forwarded-For: [2001:db8::1]:443", "2001:db8::1", "http://x"},
        {"X-Forwarded-For: 1.2.3.4:5678", "1.2.3.4", "http://x"},
        {"X-Forwarded-For: 6.6.6.6, junk, 10.1.2.3", "10.1.2.3", "http://x"},
        {"X-Forwarded-For: 1.2.3.4:port", "127.0.0.1", "http://x"},
        {"X-Forwarded-For: 1.2.3.4:", "127.0.0.1", "http://x"},
        {"X-Forwarded-For: [2001:db8::1]junk", "127.0.0.1", "http://x"},
        {"X-Forwarded-For: [2001:db8::1", "127.0.0.1", "http://x"},
        {"X-Forwarded-For: 01.2.3.4", "127.0.0.1", "http://x"},
        {"X-Forwarded-For: ", "127.0.0.1", "http://x"},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-Host: kontext.example\r\nX-Forwarded-Prefix: /images/",
         "127.0.0.1", "https://kontext.example/images"},
        {"X-Forwarded-Proto: javascript\r\nX-Forwarded-Host: a\"b\r\nX-Forwarded-Prefix: //evil", "127.0.0.1",
         "http://x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char request[500];
        snprintf(request, sizeof request, "GET /say/a HTTP/1.1\r\nHost: x\r\n%s%s\r\n", rows[i].headers,
                 *rows[i].headers == '\0' ? "" : "\r\n");
        char *answer = client_ask(&server, request);
        json_t *body = json_loads(body_of(answer), 0, NULL);
        if (status_of(answer) != 200 || body == NULL) fail_msg("%s: %s", rows[i].headers, answer);
        assert_string_equal(json_string_value(json_object_get(body, "client")), rows[i].client);
        assert_string_equal(json_string_value(json_object_get(body, "base")), rows[i].base);
        json_decref(body);
        free(answer);
    }
    char *answer = client_ask(&server, "GET /say/a HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc-1\r\n\r\n");
    assert_true(has_header(answer, "X-Request-Id: abc-1"));
    free(answer);
    answer = client_ask(&server, "GET /say/a HTTP/1.1\r\nHost: x\r\nX-Request-Id: a b\r\n\r\n");
    assert_null(strstr(answer, "a b"));
    free(answer);
}

static void refuses_a_list_of_proxies_with_a_slip(void **state)
{
    static const char *const rows[] = {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "127.0.0.1:80",  "[::1]",
                                       "localhost",  "::1/129",     "/8",        "127.0.0.1,junk"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kx_error err = {0};
        kx_http *http = NULL;
        kx_settings settings = server.settings;
        kx_http_parts parts = {.settings = &settings, .log_fd = -1};
        settings.trusted_proxies = rows[i];
        if (kx_http_open(&http, &parts, &err) != KX_ERR_USAGE) fail_msg("accepted: %s", rows[i]);
        assert_non_null(strstr(err.message, "trusted proxies: "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_raw_bodies_to_blobs),
        cmocka_unit_test(leaves_nothing_of_broken_uploads),
        cmocka_unit_test(takes_forms),
        cmocka_unit_test(refuses_broken_forms),
        cmocka_unit_test(caps_what_a_form_holds),
        cmocka_unit_test(answers_ranges),
        cmocka_unit_test(believes_trusted_proxies),
        cmocka_unit_test(refuses_a_list_of_proxies_with_a_slip),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
