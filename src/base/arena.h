/* An arena: many small allocations, freed together. One per model, job or parse; not thread-safe.
 * Blocks are zeroed. kx_arena_bytes tells what the arena holds, so that a memory plan can count it. */
#pragma once

#include "base/error.h"

#include <stddef.h>

typedef struct kx_arena_block kx_arena_block;

typedef struct kx_arena {
    kx_arena_block *first;
    size_t bytes; /* of all blocks */
} kx_arena;

/* `size` zeroed bytes aligned to 64, or KX_ERR_MEMORY. `size` 0 gives a valid, unusable address. */
kx_status kx_arena_take(kx_arena *arena, size_t size, void **out, kx_error *err);
/* count x size with overflow check. */
kx_status kx_arena_take_array(kx_arena *arena, size_t count, size_t size, void **out, kx_error *err);
/* A copy of the first `length` bytes of `text`, terminated. */
kx_status kx_arena_copy_text(kx_arena *arena, const char *text, size_t length, char **out, kx_error *err);
size_t kx_arena_bytes(const kx_arena *arena);
void kx_arena_free(kx_arena *arena);

#define KX_ARENA_ARRAY(arena, count, out, err)                                                               \
    kx_arena_take_array((arena), (size_t)(count), sizeof **(out), (void **)(out), (err))
