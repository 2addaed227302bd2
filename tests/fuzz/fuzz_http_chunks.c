/* A chunked body: broken, or the same data however the bytes are cut into pieces. */
#include "service/http/http_chunks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct outcome {
    uint64_t hash, bytes;
    size_t taken;
    kx_chunks_state state;
} outcome;

static outcome run(const uint8_t *data, size_t size, size_t piece)
{
    kx_chunks chunks = {0};
    outcome all = {.hash = 14695981039346656037u};
    while (all.taken < size && chunks.state != KX_CHUNKS_DONE && chunks.state != KX_CHUNKS_BROKEN) {
        const uint8_t *part;
        size_t bytes, most = size - all.taken < piece ? size - all.taken : piece;
        size_t taken = kx_chunks_take(&chunks, data + all.taken, most, &part, &bytes);
        if (taken == 0 || taken > most || bytes > taken) abort();
        for (size_t i = 0; i < bytes; i++) all.hash = (all.hash ^ part[i]) * 1099511628211u;
        all.bytes += bytes;
        all.taken += taken;
    }
    all.state = chunks.state;
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    outcome whole = run(data, size, size), single = run(data, size, 1), some = run(data, size, 7);
    if (whole.state != single.state || whole.state != some.state) abort();
    if (whole.bytes != single.bytes || whole.hash != single.hash || whole.hash != some.hash) abort();
    if (whole.taken != single.taken) abort();
    return 0;
}
