/* A part of a synthetic model that is in no file: a kx_part whose tensors have addresses but no contents,
 * until they are asked for. So whatever is made from a model's files can be made from a synthetic model that
 * was never written.
 */
#pragma once

#include "engine/formats/part.h"
#include "engine/formats/synth_shapes.h"

typedef struct kx_synth_source {
    const kx_synth_list *list;
    uint64_t seed;
    uint8_t *memory; /* address space for all tensors; pages are there once they are filled */
    size_t bytes;
    kx_safetensors file;
    const kx_safetensors *files[1];
    kx_part part;
} kx_synth_source;

/* `source` must not move afterwards. Errors: KX_ERR_MEMORY (not enough address space). */
kx_status kx_synth_source_open(kx_synth_source *source, kx_part_kind kind, const kx_synth_list *list,
                               uint64_t seed, kx_arena *arena, kx_error *err);
void kx_synth_source_close(kx_synth_source *source);

/* Fills the bytes at `data`, which lie in one tensor. They can be given back with kx_file_drop_range. */
void kx_synth_source_fill(kx_synth_source *source, const void *data, size_t bytes);
