#include "base/bytes.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

kx_status kx_bytes_grow(kx_bytes *bytes, size_t size, uint8_t **where, kx_error *err)
{
    kx_status status = KX_OK;
    size_t needed;
    KX_FAIL_IF(!kx_checked_add(bytes->size, size, &needed) || needed > bytes->cap, err, KX_ERR_MEMORY,
               "a buffer of at most %zu bytes is asked to hold %zu more than its %zu", bytes->cap, size,
               bytes->size);
    if (needed > bytes->room) {
        size_t room = bytes->room < 4096 ? 4096 : bytes->room;
        while (room < needed) room = room > bytes->cap / 2 ? bytes->cap : room * 2;
        uint8_t *data = realloc(bytes->data, room);
        KX_FAIL_IF(data == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes", room);
        bytes->data = data;
        bytes->room = room;
    }
    /* Nothing asked of an empty buffer: there is no address yet. */
    if (where != NULL) *where = bytes->data == NULL ? NULL : bytes->data + bytes->size;
    bytes->size = needed;
out:
    return status;
}

kx_status kx_bytes_append(kx_bytes *bytes, const void *data, size_t size, kx_error *err)
{
    uint8_t *where = NULL;
    kx_status status = kx_bytes_grow(bytes, size, &where, err);
    if (status == KX_OK && size > 0) memcpy(where, data, size);
    return status;
}

void kx_bytes_free(kx_bytes *bytes)
{
    free(bytes->data);
    bytes->data = NULL;
    bytes->size = bytes->room = 0;
}
