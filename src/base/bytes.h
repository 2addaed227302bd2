/* A growable byte buffer with a mandatory cap. Zero-initialise with the cap, free with kx_bytes_free.
 *
 *     kx_bytes out = {.cap = 64u << 20};
 *     KX_TRY(kx_bytes_append(&out, data, n, err));
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct kx_bytes {
    uint8_t *data;
    size_t size;
    size_t room; /* allocated */
    size_t cap;  /* never more than this */
} kx_bytes;

/* Errors: KX_ERR_MEMORY when the cap is reached or memory is out. */
kx_status kx_bytes_append(kx_bytes *bytes, const void *data, size_t size, kx_error *err);
/* Makes `size` more bytes available at the end and counts them in; returns where they start in *where. */
kx_status kx_bytes_grow(kx_bytes *bytes, size_t size, uint8_t **where, kx_error *err);
void kx_bytes_free(kx_bytes *bytes);
