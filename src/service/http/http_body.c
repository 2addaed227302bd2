/* Bodies as they arrive: announced or chunked, kept in memory, gathered for the blob store, or thrown away.
 */
#include "service/http/http_internal.h"

#include <sys/socket.h>

/* One second more for each 64 KiB, announced or arrived. */
void kx_body_set_deadline(kx_conn *conn)
{
    const kx_exchange *exchange = conn->exchange;
    uint64_t bytes =
        exchange->head.length > exchange->body_bytes ? exchange->head.length : exchange->body_bytes;
    kx_conn_set_deadline(conn, conn->body_began_ms +
                                   (int64_t)conn->http->parts.settings->body_timeout_s * 1000 +
                                   (int64_t)(bytes / 65536) * 1000);
}

void kx_body_begin(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    conn->state = KX_CONN_BODY;
    conn->body_began_ms = kx_clock_monotonic_ms();
    kx_body_set_deadline(conn);
    /* 25 bytes always fit: everything sent before has left the connection's buffer. */
    if (exchange->head.expects_continue && conn->in_at == conn->in.size)
        (void)!send(conn->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Counts what the body's buffer has grown by. False: all bodies together hold too much. */
static bool hold(kx_exchange *exchange)
{
    uint64_t grown = exchange->body.room - exchange->held_bytes;
    if (grown == 0) return true;
    exchange->held_bytes += grown;
    uint64_t before = atomic_fetch_add(&exchange->http->held_bytes, grown);
    return before + grown <= KX_HTTP_BODIES_BYTES_MAX;
}

/* A piece of the body: kept, or for routes without one thrown away. False: it has been refused. */
static bool keep_piece(kx_conn *conn, const uint8_t *data, size_t bytes)
{
    static const kx_refusal no_memory = {503, "the server holds too many large bodies"};
    kx_exchange *exchange = conn->exchange;
    kx_error err = {0};
    exchange->body_bytes += bytes;
    if (exchange->body_bytes > exchange->body_cap) {
        conn->close_after = true;
        kx_answer_error(exchange, 413, "the body is larger than %llu bytes, the limit here",
                        (unsigned long long)exchange->body_cap);
        kx_conn_answer(conn);
        return false;
    }
    if (exchange->match.route->body == KX_BODY_NONE) return true;
    if (kx_bytes_append(&exchange->body, data, bytes, &err) == KX_OK && hold(exchange)) return true;
    kx_conn_refuse_now(conn, &no_memory);
    return false;
}

static bool take_plain(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    uint64_t left = exchange->head.length - exchange->body_bytes;
    size_t here = conn->in.size - conn->in_at;
    if (here > left) here = (size_t)left;
    const uint8_t *data = conn->in.data + conn->in_at;
    conn->in_at += here;
    if (!keep_piece(conn, data, here)) return false;
    exchange->body_is_whole = exchange->body_bytes == exchange->head.length;
    return true;
}

static bool take_chunks(kx_conn *conn)
{
    static const kx_refusal broken = {400, "the chunked coding of the body is broken"};
    kx_exchange *exchange = conn->exchange;
    while (conn->in_at < conn->in.size && exchange->chunks.state != KX_CHUNKS_DONE) {
        const uint8_t *data;
        size_t bytes;
        conn->in_at += kx_chunks_take(&exchange->chunks, conn->in.data + conn->in_at,
                                      conn->in.size - conn->in_at, &data, &bytes);
        if (exchange->chunks.state == KX_CHUNKS_BROKEN) {
            kx_conn_refuse_now(conn, &broken);
            return false;
        }
        if (bytes > 0 && !keep_piece(conn, data, bytes)) return false;
    }
    exchange->body_is_whole = exchange->chunks.state == KX_CHUNKS_DONE;
    kx_body_set_deadline(conn);
    return true;
}

bool kx_body_take(kx_conn *conn)
{
    kx_exchange *exchange = conn->exchange;
    if (!(exchange->head.is_chunked ? take_chunks(conn) : take_plain(conn))) return true;
    kx_conn_drop_taken(conn);
    bool piece_is_full = exchange->sink != NULL && exchange->body.size >= KX_HTTP_SINK_BYTES;
    if (exchange->body_is_whole || piece_is_full) {
        kx_conn_dispatch(conn);
        return true;
    }
    kx_conn_arm(conn);
    return false;
}
