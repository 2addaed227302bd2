#include "base/arena.h"

#include "base/checked.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 64, ARENA_BLOCK_BYTES = 64 * 1024 };

struct kx_arena_block {
    alignas(ARENA_ALIGN) kx_arena_block *next;
    size_t room;
    size_t used;
};

static bool round_up(size_t size, size_t *rounded)
{
    return kx_checked_add(size, ARENA_ALIGN - 1, rounded) && ((*rounded &= ~(size_t)(ARENA_ALIGN - 1)), true);
}

kx_status kx_arena_take(kx_arena *arena, size_t size, void **out, kx_error *err)
{
    kx_status status = KX_OK;
    size_t rounded, total;
    KX_FAIL_IF(!round_up(size, &rounded) || !kx_checked_add(rounded, sizeof(kx_arena_block), &total), err,
               KX_ERR_MEMORY, "out of memory: %zu bytes", size);
    kx_arena_block *block = arena->first;
    if (block == NULL || block->room - block->used < rounded) {
        if (total < ARENA_BLOCK_BYTES) total = ARENA_BLOCK_BYTES;
        kx_arena_block *fresh = aligned_alloc(ARENA_ALIGN, total & ~(size_t)(ARENA_ALIGN - 1));
        KX_FAIL_IF(fresh == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes", total);
        fresh->room = (total & ~(size_t)(ARENA_ALIGN - 1)) - sizeof *fresh;
        fresh->used = 0;
        /* A block made for one large request goes behind the current one, whose free room stays in use. */
        if (block != NULL && block->room - block->used > fresh->room - rounded) {
            fresh->next = block->next;
            block->next = fresh;
        } else {
            fresh->next = block;
            arena->first = fresh;
        }
        arena->bytes += total;
        block = fresh;
    }
    uint8_t *where = (uint8_t *)(block + 1) + block->used;
    block->used += rounded;
    memset(where, 0, rounded);
    *out = where;
out:
    return status;
}

kx_status kx_arena_take_array(kx_arena *arena, size_t count, size_t size, void **out, kx_error *err)
{
    kx_status status = KX_OK;
    size_t bytes;
    KX_FAIL_IF(!kx_checked_mul(count, size, &bytes), err, KX_ERR_MEMORY, "out of memory: %zu x %zu bytes",
               count, size);
    KX_TRY(kx_arena_take(arena, bytes, out, err));
out:
    return status;
}

kx_status kx_arena_copy_text(kx_arena *arena, const char *text, size_t length, char **out, kx_error *err)
{
    void *copy = NULL;
    kx_status status = kx_arena_take(arena, length + 1, &copy, err);
    if (status == KX_OK) {
        memcpy(copy, text, length);
        *out = copy;
    }
    return status;
}

size_t kx_arena_bytes(const kx_arena *arena)
{
    return arena->bytes;
}

void kx_arena_free(kx_arena *arena)
{
    kx_arena_block *block = arena->first;
    while (block != NULL) {
        kx_arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->first = NULL;
    arena->bytes = 0;
}
