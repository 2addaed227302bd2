#include "service/http/http_chunks.h"

enum { SIZE_DIGITS_MAX = 15, EXTENSION_BYTES_MAX = 256, TRAILER_BYTES_MAX = 8192 };

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static kx_chunks_state after_size_byte(kx_chunks *chunks, uint8_t c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        if (++chunks->digits > SIZE_DIGITS_MAX) return KX_CHUNKS_BROKEN;
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        return KX_CHUNKS_SIZE;
    }
    if (chunks->digits == 0) return KX_CHUNKS_BROKEN;
    if (c == ';') return KX_CHUNKS_EXTENSION;
    return c == '\r' ? KX_CHUNKS_SIZE_LF : KX_CHUNKS_BROKEN;
}

/* Extensions and trailers are read and left aside: visible text, ended by CR LF. */
static kx_chunks_state after_line_byte(uint8_t c, size_t *bytes, size_t cap, kx_chunks_state same,
                                       kx_chunks_state end)
{
    if (c == '\r') return end;
    if ((c < ' ' && c != '\t') || c == 0x7f || ++*bytes > cap) return KX_CHUNKS_BROKEN;
    return same;
}

static kx_chunks_state after_trailer_line(kx_chunks *chunks)
{
    bool is_last = chunks->line_bytes == 0;
    chunks->trailer_bytes += chunks->line_bytes;
    chunks->line_bytes = 0;
    if (chunks->trailer_bytes > TRAILER_BYTES_MAX) return KX_CHUNKS_BROKEN;
    return is_last ? KX_CHUNKS_DONE : KX_CHUNKS_TRAILER;
}

static kx_chunks_state after_byte(kx_chunks *chunks, uint8_t c)
{
    switch (chunks->state) {
    case KX_CHUNKS_SIZE:
        return after_size_byte(chunks, c);
    case KX_CHUNKS_EXTENSION:
        return after_line_byte(c, &chunks->line_bytes, EXTENSION_BYTES_MAX, KX_CHUNKS_EXTENSION,
                               KX_CHUNKS_SIZE_LF);
    case KX_CHUNKS_SIZE_LF:
        chunks->digits = 0;
        chunks->line_bytes = 0;
        if (c != '\n') return KX_CHUNKS_BROKEN;
        return chunks->left == 0 ? KX_CHUNKS_TRAILER : KX_CHUNKS_DATA;
    case KX_CHUNKS_DATA_CR:
        return c == '\r' ? KX_CHUNKS_DATA_LF : KX_CHUNKS_BROKEN;
    case KX_CHUNKS_DATA_LF:
        return c == '\n' ? KX_CHUNKS_SIZE : KX_CHUNKS_BROKEN;
    case KX_CHUNKS_TRAILER:
        return after_line_byte(c, &chunks->line_bytes, TRAILER_BYTES_MAX, KX_CHUNKS_TRAILER,
                               KX_CHUNKS_TRAILER_LF);
    case KX_CHUNKS_TRAILER_LF:
        return c == '\n' ? after_trailer_line(chunks) : KX_CHUNKS_BROKEN;
    default:
        return chunks->state;
    }
}

size_t kx_chunks_take(kx_chunks *chunks, const uint8_t *in, size_t size, const uint8_t **data,
                      size_t *data_bytes)
{
    size_t taken = 0;
    *data = NULL;
    *data_bytes = 0;
    while (taken < size && chunks->state != KX_CHUNKS_DONE && chunks->state != KX_CHUNKS_BROKEN) {
        if (chunks->state != KX_CHUNKS_DATA) {
            chunks->state = after_byte(chunks, in[taken++]);
            continue;
        }
        uint64_t here = size - taken < chunks->left ? size - taken : chunks->left;
        *data = in + taken;
        *data_bytes = (size_t)here;
        chunks->left -= here;
        if (chunks->left == 0) chunks->state = KX_CHUNKS_DATA_CR;
        return taken + (size_t)here;
    }
    return taken;
}
