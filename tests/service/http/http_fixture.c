#include "test_support.h"

#include "http_fixture.h"

#include "base/file.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

/* ---- Routes ---- */

static void ended(void *argument, bool delivered)
{
    fixture *f = argument;
    atomic_fetch_add(delivered ? &f->delivered : &f->undelivered, 1);
    atomic_fetch_add(&f->ended, 1);
}

static void say_what(kx_exchange *exchange, void *user)
{
    fixture *f = user;
    atomic_fetch_add(&f->handled, 1);
    const char *id = kx_exchange_parameter(exchange, "id");
    const char *model = kx_exchange_parameter(exchange, "model");
    const char *query = kx_exchange_query(exchange, "q");
    kx_answer_json(exchange, 200,
                   json_pack("{s:s,s:s,s:s,s:s,s:s,s:s*,s:s*,s:s*}", "method", kx_exchange_method(exchange),
                             "path", kx_exchange_path(exchange), "client", kx_exchange_client(exchange),
                             "base", kx_exchange_base_url(exchange), "request_id",
                             kx_exchange_request_id(exchange), "id", id, "model", model, "q", query));
}

static void take_json(kx_exchange *exchange, void *user)
{
    fixture *f = user;
    kx_exchange_on_end(exchange, ended, f);
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL) return;
    atomic_fetch_add(&f->handled, 1);
    kx_answer_json(exchange, 200, json_pack("{s:i,s:i}", "code", 200, "keys", (int)json_object_size(body)));
}

static void take_files(kx_exchange *exchange, void *user)
{
    fixture *f = user;
    const kx_upload *uploads;
    size_t count = kx_exchange_uploads(exchange, &uploads);
    json_t *list = json_array();
    atomic_fetch_add(&f->handled, 1);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s,s:I,s:s,s:s,s:s}", "blob", uploads[i].blob, "bytes",
                                        (json_int_t)uploads[i].bytes, "field", uploads[i].field, "filename",
                                        uploads[i].filename, "type", uploads[i].content_type));
    kx_answer_json(exchange, 200,
                   json_pack("{s:o,s:s*}", "files", list, "note", kx_exchange_field(exchange, "note")));
}

static void again(kx_exchange *exchange, void *argument, kx_wake why)
{
    fixture *f = argument;
    static const char *const names[] = {"notified", "time", "stopping"};
    if (atomic_load(&f->value) == 0 && why == KX_WAKE_NOTIFIED)
        kx_answer_wait(exchange, "topic", kx_clock_monotonic_ms() + 60000, again, f);
    else
        kx_answer_json(exchange, 200,
                       json_pack("{s:s,s:i}", "why", names[why], "value", atomic_load(&f->value)));
}

static void wait_for_value(kx_exchange *exchange, void *user)
{
    fixture *f = user;
    const char *ms = kx_exchange_query(exchange, "ms");
    kx_exchange_on_end(exchange, ended, f);
    atomic_fetch_add(&f->waits, 1);
    int64_t wait_ms = ms == NULL ? 60000 : strtol(ms, NULL, 10);
    if (atomic_load(&f->value) != 0)
        again(exchange, f, KX_WAKE_NOTIFIED);
    else
        kx_answer_wait(exchange, "topic", kx_clock_monotonic_ms() + wait_ms, again, f);
}

typedef struct events_state {
    fixture *fixture;
    int last;
} events_state;

static bool more_events(kx_exchange *exchange, void *argument, kx_wake why, kx_bytes *out)
{
    events_state *state = argument;
    kx_error err = {0};
    char text[100];
    (void)exchange;
    int value = atomic_load(&state->fixture->value);
    if (why == KX_WAKE_STOPPING) return false;
    if (value == state->last) return true;
    state->last = value;
    int length = snprintf(text, sizeof text, "id: %d\nevent: value\ndata: {\"value\":%d}\n\n", value, value);
    return kx_bytes_append(out, text, (size_t)length, &err) == KX_OK && value < 100;
}

static void stream_values(kx_exchange *exchange, void *user)
{
    fixture *f = user;
    kx_error err = {0};
    void *state = NULL;
    assert_ok(kx_arena_take(kx_exchange_arena(exchange), sizeof(events_state), &state, &err));
    *(events_state *)state = (events_state){f, -1};
    kx_exchange_on_end(exchange, ended, f);
    atomic_fetch_add(&f->streams, 1);
    kx_answer_stream(exchange, "topic", more_events, state);
}

static void give_file(kx_exchange *exchange, void *user)
{
    fixture *f = user;
    char path[400];
    snprintf(path, sizeof path, "%s/file.png", f->folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    kx_file_answer file = {.fd = fd,
                           .bytes = 1000000,
                           .content_type = "image/png",
                           .etag = "abc",
                           .cache_control = "public, max-age=60",
                           .filename = "a \"file\".png"};
    kx_exchange_on_end(exchange, ended, f);
    kx_answer_file(exchange, &file);
}

static void be_slow(kx_exchange *exchange, void *user)
{
    fixture *f = user;
    kx_exchange_on_end(exchange, ended, f);
    atomic_fetch_add(&f->handled, 1);
    while (!atomic_load(&f->gate)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    kx_answer_json(exchange, 200, json_pack("{s:i}", "code", 200));
}

static void give_page(kx_exchange *exchange, void *user)
{
    (void)user;
    kx_answer_bytes(exchange, 200, "text/html; charset=utf-8", "<p>hello</p>", 12);
}

static void say_nothing(kx_exchange *exchange, void *user)
{
    (void)exchange;
    (void)user;
}

static void log_words(kx_exchange *exchange, void *user)
{
    (void)user;
    kx_exchange_log(exchange, "model", "a/b\"c\n");
    kx_exchange_log(exchange, "prompt", "a secret wish");
    kx_answer_header(exchange, "X-Injected", "a\r\nEvil: 1");
    kx_answer_header(exchange, "Retry-After", "7");
    kx_answer_error(exchange, 429, "slower, please");
}

static const kx_route routes[] = {
    {"GET", "/", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, give_page},
    {"GET", "/say/{id}", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, say_what},
    {"POST", "/say/{id}", KX_ACCESS_PUBLIC, KX_BODY_NONE, false, say_what},
    {"GET", "/api/v3/poll/{id}", KX_ACCESS_READ, KX_BODY_NONE, true, say_what},
    {"GET", "/api/v3/admin", KX_ACCESS_ADMIN, KX_BODY_NONE, true, say_what},
    {"POST", "/api/v3/json", KX_ACCESS_SUBMIT, KX_BODY_JSON, false, take_json},
    {"PUT", "/upload", KX_ACCESS_PUBLIC, KX_BODY_RAW, false, take_files},
    {"POST", "/form", KX_ACCESS_SUBMIT, KX_BODY_FORM, false, take_files},
    {"GET", "/wait", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, wait_for_value},
    {"POST", "/wait", KX_ACCESS_PUBLIC, KX_BODY_JSON, false, wait_for_value},
    {"GET", "/events", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, stream_values},
    {"GET", "/file.png", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, give_file},
    {"GET", "/slow", KX_ACCESS_PUBLIC, KX_BODY_NONE, false, be_slow},
    {"GET", "/nothing", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, say_nothing},
    {"GET", "/log", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, log_words},
    {"GET", "/metrics", KX_ACCESS_METRICS, KX_BODY_NONE, true, say_what},
    {"POST", "/api/v3/{model*}", KX_ACCESS_SUBMIT, KX_BODY_JSON, false, say_what},
};

/* ---- The server ---- */

void fixture_settings(fixture *f)
{
    *f = (fixture){.settings = kx_settings_default()};
    f->settings.listen = "127.0.0.1:0";
    f->settings.handler_threads = 3;
    f->settings.max_body_bytes = 1 << 20;
    f->settings.max_upload_bytes = 4 << 20;
}

static void make_key(fixture *f, const char *name, kx_role role, char value[64])
{
    kx_error err = {0};
    kx_arena arena = {0};
    kx_key wanted = {.name = name, .role = role}, made;
    assert_ok(kx_store_key_create(f->store, &wanted, NULL, value, &arena, &made, &err));
    kx_arena_free(&arena);
}

static void make_file(const fixture *f)
{
    char path[400];
    snprintf(path, sizeof path, "%s/file.png", f->folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 1000000; i++) fputc(i % 251, file);
    fclose(file);
}

void fixture_start(fixture *f)
{
    static int count;
    kx_error err = {0};
    char path[400];
    snprintf(f->folder, sizeof f->folder, "%s/http-%d", test_temporary_folder(), count++);
    assert_ok(kx_file_make_directory(f->folder, &err));
    make_file(f);
    snprintf(path, sizeof path, "%s/store.db", f->folder);
    assert_ok(kx_clock_open(&f->clock, NULL, &err));
    assert_ok(kx_store_open(&f->store, path, f->clock, &err));
    assert_ok(kx_blobs_open(&f->blobs, f->folder, &err));
    make_key(f, "submit", KX_ROLE_SUBMIT, f->submit_key);
    make_key(f, "read", KX_ROLE_READ, f->read_key);
    make_key(f, "admin", KX_ROLE_ADMIN, f->admin_key);
    assert_int_equal(pipe(f->log_pipe), 0);
    kx_http_parts parts = {.settings = &f->settings,
                           .clock = f->clock,
                           .store = f->store,
                           .blobs = f->blobs,
                           .routes = routes,
                           .num_routes = sizeof routes / sizeof routes[0],
                           .log_fd = f->log_pipe[1],
                           .user = f};
    assert_ok(kx_http_open(&f->http, &parts, &err));
    assert_ok(kx_http_start(f->http, &err));
}

void fixture_stop(fixture *f)
{
    atomic_store(&f->gate, true);
    kx_http_stop(f->http, 2000);
    kx_http_close(f->http);
    kx_blobs_close(f->blobs);
    kx_store_close(f->store);
    kx_clock_close(f->clock);
    close(f->log_pipe[0]);
    close(f->log_pipe[1]);
}

void fixture_set(fixture *f, int value)
{
    atomic_store(&f->value, value);
    kx_http_notify(f->http, "topic");
}

bool wait_until(bool (*is_true)(void *argument), void *argument)
{
    int64_t until = kx_clock_monotonic_ms() + PATIENCE_MS;
    while (!is_true(argument)) {
        if (kx_clock_monotonic_ms() > until) return false;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return true;
}

typedef struct wanted_value {
    _Atomic int *value;
    int wanted;
} wanted_value;

static bool is_reached(void *argument)
{
    wanted_value *wanted = argument;
    return atomic_load(wanted->value) >= wanted->wanted;
}

bool reaches(_Atomic int *value, int wanted)
{
    wanted_value argument = {value, wanted};
    return wait_until(is_reached, &argument);
}

size_t files_in(const char *folder)
{
    size_t count = 0;
    DIR *open_folder = opendir(folder);
    if (open_folder == NULL) return 0;
    for (struct dirent *entry; (entry = readdir(open_folder)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char *path = kx_file_join(folder, entry->d_name);
        assert_non_null(path);
        count += kx_file_is_directory(path) ? files_in(path) : 1;
        free(path);
    }
    closedir(open_folder);
    return count;
}

/* ---- The client ---- */

int client_open(const fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)kx_http_port(f->http))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* A server that has closed already is no error here: what it answered counts. */
void client_send(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += sent;
        size -= (size_t)sent;
    }
}

typedef struct reading {
    char *text;
    size_t size;
    bool at_end;
} reading;

static bool read_more(int fd, reading *so_far)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    so_far->text = realloc(so_far->text, so_far->size + 65537);
    assert_non_null(so_far->text);
    so_far->text[so_far->size] = '\0';
    if (poll(&ready, 1, PATIENCE_MS) <= 0) fail_msg("no answer came; so far: %s", so_far->text);
    ssize_t got = recv(fd, so_far->text + so_far->size, 65536, 0);
    so_far->at_end = got <= 0;
    if (got > 0) so_far->size += (size_t)got;
    so_far->text[so_far->size] = '\0';
    return !so_far->at_end;
}

static bool is_whole(const reading *so_far)
{
    if (so_far->text == NULL) return false;
    const char *end = strstr(so_far->text, "\r\n\r\n");
    const char *length = strstr(so_far->text, "\r\nContent-Length: ");
    if (end == NULL || has_header(so_far->text, "Connection: close")) return false;
    if (length == NULL || length > end)
        return strncmp(so_far->text, "HTTP/1.1 304", 12) == 0 ||
               strncmp(so_far->text, "HTTP/1.1 204", 12) == 0;
    return so_far->size >= (size_t)(end + 4 - so_far->text) + strtoul(length + 18, NULL, 10);
}

char *client_read(int fd, size_t *size)
{
    reading so_far = {0};
    while (!is_whole(&so_far) && read_more(fd, &so_far)) continue;
    if (size != NULL) *size = so_far.size;
    return so_far.text;
}

char *client_read_until(int fd, const char *text)
{
    reading so_far = {0};
    while (so_far.text == NULL || strstr(so_far.text, text) == NULL) {
        if (!read_more(fd, &so_far)) fail_msg("closed before \"%s\": %s", text, so_far.text);
    }
    return so_far.text;
}

char *client_ask_bytes(const fixture *f, const void *request, size_t size)
{
    int fd = client_open(f);
    client_send(fd, request, size);
    char *answer = client_read(fd, NULL);
    close(fd);
    return answer;
}

char *client_ask(const fixture *f, const char *request)
{
    return client_ask_bytes(f, request, strlen(request));
}

int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    return end == NULL ? "" : end + 4;
}

bool has_header(const char *answer, const char *line)
{
    char whole[600];
    const char *end = strstr(answer, "\r\n\r\n");
    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    const char *found = strstr(answer, whole);
    return end != NULL && found != NULL && found <= end;
}

void assert_error(const char *answer, int status)
{
    if (status_of(answer) != status) fail_msg("%d was expected: %.500s", status, answer);
    assert_true(has_header(answer, "Content-Type: application/json"));
    assert_true(has_header(answer, "X-Content-Type-Options: nosniff"));
    assert_non_null(strstr(answer, "\r\nX-Request-Id: "));
    json_t *body = json_loads(body_of(answer), 0, NULL);
    if (body == NULL) fail_msg("no JSON: %s", answer);
    assert_int_equal(json_integer_value(json_object_get(body, "code")), status);
    assert_true(json_string_length(json_object_get(body, "message")) > 0);
    assert_string_equal(json_string_value(json_object_get(body, "message")),
                        json_string_value(json_object_get(body, "error")));
    json_decref(body);
}
