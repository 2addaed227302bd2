/* Takes the chunked coding off a request body, strictly, as its bytes arrive. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kx_chunks_state {
    KX_CHUNKS_SIZE = 0,
    KX_CHUNKS_EXTENSION,
    KX_CHUNKS_SIZE_LF,
    KX_CHUNKS_DATA,
    KX_CHUNKS_DATA_CR,
    KX_CHUNKS_DATA_LF,
    KX_CHUNKS_TRAILER,
    KX_CHUNKS_TRAILER_LF,
    KX_CHUNKS_DONE,
    KX_CHUNKS_BROKEN,
} kx_chunks_state;

typedef struct kx_chunks { /* starts as zero */
    kx_chunks_state state;
    uint64_t left; /* of the chunk */
    unsigned digits;
    size_t line_bytes, trailer_bytes;
} kx_chunks;

/* Takes bytes from `in` until one piece of data is found (*data, *data_bytes; 0 when there is none yet) or
 * the input is used up; returns how many were taken. Look at `state` for DONE and BROKEN. */
size_t kx_chunks_take(kx_chunks *chunks, const uint8_t *in, size_t size, const uint8_t **data,
                      size_t *data_bytes);
