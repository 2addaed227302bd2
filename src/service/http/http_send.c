/* Answers as bytes: the head with the headers that every answer has, and the sending of what is pending. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "service/http/http_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FILE_STEP_BYTES = 256 * 1024, FILE_TURN_STEPS = 4 };

/* For pages. They load nothing from elsewhere and run no script that stands in them. */
#define PAGE_POLICY                                                                                          \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; " \
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) return reasons[i].reason;
    }
    return "Answer";
}

typedef struct writer {
    kx_bytes *out;
    kx_error err;
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *head, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof line)
        kx_error_set(&head->err, KX_ERR_INTERNAL, __FILE__, __LINE__, "a header line is too long");
    else if (head->err.status == KX_OK)
        kx_bytes_append(head->out, line, (size_t)length, &head->err);
}

static void put_date(writer *head, kx_http *http)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(kx_clock_wall_ns(http->parts.clock) / 1000000000);
    struct tm parts;
    if (gmtime_r(&now, &parts) == NULL) return;
    put(head, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[parts.tm_wday], parts.tm_mday,
        months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/* Pages of other origins may use the contract and the pictures; not the operator's own routes. */
static bool is_for_other_origins(const kx_exchange *exchange)
{
    const kx_route *route = exchange->match.route;
    if (route != NULL && route->access == KX_ACCESS_METRICS) return false;
    return exchange->answer.kind == KX_ANSWER_FILE || strncmp(exchange->target.path, "/api/", 5) == 0;
}

static void put_common(writer *head, kx_exchange *exchange)
{
    const kx_answer *answer = &exchange->answer;
    const char *type = answer->content_type == NULL ? "" : answer->content_type;
    bool is_page = strncasecmp(type, "text/html", 9) == 0;
    put(head, "X-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n",
        exchange->id);
    if (!kx_answer_has_header(answer, "Content-Security-Policy"))
        put(head, "Content-Security-Policy: %s\r\n",
            is_page ? PAGE_POLICY : "default-src 'none'; frame-ancestors 'none'");
    if (is_page && !kx_answer_has_header(answer, "X-Frame-Options")) put(head, "X-Frame-Options: DENY\r\n");
    if (!kx_answer_has_header(answer, "Cache-Control")) put(head, "Cache-Control: no-store\r\n");
    if (is_for_other_origins(exchange) && !kx_answer_has_header(answer, "Access-Control-Allow-Origin"))
        put(head,
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: X-Request-Id, Retry-After, "
            "ETag, Content-Range, Content-Disposition, Idempotency-Replayed, Preference-Applied\r\n");
    if (answer->headers.size > 0 && head->err.status == KX_OK)
        kx_bytes_append(head->out, answer->headers.data, answer->headers.size, &head->err);
}

static bool has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void put_length(writer *head, kx_exchange *exchange)
{
    kx_answer *answer = &exchange->answer;
    kx_conn *conn = exchange->conn;
    if (answer->kind == KX_ANSWER_STREAM) {
        if (exchange->head.is_http10) conn->close_after = true;
        if (!exchange->head.is_http10) put(head, "Transfer-Encoding: chunked\r\n");
    } else if (has_body(answer->status)) {
        uint64_t bytes = answer->kind == KX_ANSWER_FILE ? answer->file_count : answer->payload.size;
        put(head, "Content-Length: %llu\r\n", (unsigned long long)bytes);
    }
    if (conn->close_after)
        put(head, "Connection: close\r\n");
    else if (exchange->head.is_http10)
        put(head, "Connection: keep-alive\r\n");
}

static bool render_head(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    kx_answer *answer = &exchange->answer;
    writer head = {.out = &conn->out};
    put(&head, "HTTP/1.1 %d %s\r\n", answer->status, reason_of(answer->status));
    put_date(&head, conn->http);
    if (answer->content_type != NULL && has_body(answer->status))
        put(&head, "Content-Type: %s\r\n", answer->content_type);
    put_length(&head, exchange);
    put_common(&head, exchange);
    put(&head, "\r\n");
    return head.err.status == KX_OK;
}

bool kx_conn_render(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    kx_answer *answer = &exchange->answer;
    kx_error err = {0};
    if (!render_head(conn)) return false;
    if (strcmp(exchange->head.method, "HEAD") == 0 || !has_body(answer->status)) return true;
    if (answer->kind == KX_ANSWER_FILE) {
        conn->file = answer->file.fd;
        answer->file.fd = -1;
        conn->file_at = answer->file_first;
        conn->file_left = answer->file_count;
        return true;
    }
    if (answer->kind != KX_ANSWER_BYTES) return true;
    return kx_bytes_append(&conn->out, answer->payload.data, answer->payload.size, &err) == KX_OK;
}

bool kx_conn_render_events(kx_conn *conn, const kx_bytes *events, bool is_last)
{
    writer body = {.out = &conn->out};
    bool is_chunked = !conn->exchange->head.is_http10;
    if (events->size > 0) {
        if (is_chunked) put(&body, "%zx\r\n", events->size);
        if (body.err.status == KX_OK) kx_bytes_append(body.out, events->data, events->size, &body.err);
        if (is_chunked) put(&body, "\r\n");
    }
    if (is_last && is_chunked) put(&body, "0\r\n\r\n");
    return body.err.status == KX_OK;
}

static void count_sent(kx_conn *conn, size_t bytes)
{
    atomic_fetch_add(&conn->http->counts.bytes_out, bytes);
    if (conn->exchange != NULL) conn->exchange->sent_bytes += bytes;
    int64_t idle_ms = (int64_t)conn->http->parts.settings->idle_timeout_s * 1000;
    kx_conn_set_deadline(conn, kx_clock_monotonic_ms() + idle_ms);
}

static kx_send failure_of(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? KX_SEND_MORE : KX_SEND_FAILED;
}

static kx_send send_file(kx_conn *conn)
{
    for (int step = 0; conn->file_left > 0; step++) {
        if (step == FILE_TURN_STEPS) return KX_SEND_MORE; /* others have their turn */
        off_t at = (off_t)conn->file_at;
        size_t most = conn->file_left < FILE_STEP_BYTES ? (size_t)conn->file_left : FILE_STEP_BYTES;
        ssize_t sent = sendfile(conn->fd, conn->file, &at, most);
        if (sent < 0) return failure_of();
        if (sent == 0) return KX_SEND_FAILED; /* the file is shorter than announced */
        conn->file_at += (uint64_t)sent;
        conn->file_left -= (uint64_t)sent;
        count_sent(conn, (size_t)sent);
    }
    close(conn->file);
    conn->file = -1;
    return KX_SEND_ALL;
}

kx_send kx_conn_send(kx_conn *conn)
{
    while (conn->out_at < conn->out.size) {
        int more = conn->file >= 0 ? MSG_MORE : 0;
        ssize_t sent = send(conn->fd, conn->out.data + conn->out_at, conn->out.size - conn->out_at,
                            MSG_NOSIGNAL | MSG_DONTWAIT | more);
        if (sent < 0) return failure_of();
        conn->out_at += (size_t)sent;
        count_sent(conn, (size_t)sent);
    }
    conn->out.size = conn->out_at = 0;
    if (conn->out.room > KX_HTTP_SMALL_BODY_BYTES) kx_bytes_free(&conn->out);
    return conn->file >= 0 ? send_file(conn) : KX_SEND_ALL;
}

bool kx_conn_has_hung_up(const kx_conn *conn)
{
    struct pollfd ends = {.fd = conn->fd, .events = POLLRDHUP};
    return conn->gone || conn->dead ||
           (poll(&ends, 1, 0) > 0 && (ends.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
}
