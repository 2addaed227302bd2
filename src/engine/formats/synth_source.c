#include "engine/formats/synth_source.h"

#include "engine/formats/synth_numbers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { TENSOR_ALIGN = 4096 /* a page: no two tensors share one, so that each can be dropped */ };

static size_t room_of(const kx_synth_tensor *tensor)
{
    return (2 * tensor->count + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const kx_safetensors_tensor *)a)->name, ((const kx_safetensors_tensor *)b)->name);
}

static void lay_out(kx_synth_source *source)
{
    const uint8_t *at = source->memory;
    kx_safetensors *file = &source->file;
    for (size_t i = 0; i < source->list->count; i++) {
        const kx_synth_tensor *tensor = &source->list->tensors[i];
        kx_safetensors_tensor *out = &file->tensors[file->num_tensors++];
        *out = (kx_safetensors_tensor){.name = tensor->name,
                                       .dtype = KX_BF16,
                                       .rank = tensor->rank,
                                       .count = tensor->count,
                                       .bytes = 2 * tensor->count,
                                       .data = at};
        for (int axis = 0; axis < tensor->rank; axis++) out->shape[axis] = tensor->shape[axis];
        at += room_of(tensor);
    }
    qsort(file->tensors, file->num_tensors, sizeof *file->tensors, compare_names);
}

kx_status kx_synth_source_open(kx_synth_source *source, kx_part_kind kind, const kx_synth_list *list,
                               uint64_t seed, kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    kx_part_sign signs[KX_PART_COUNT];
    size_t bytes = 0;
    for (size_t i = 0; i < list->count; i++) bytes += room_of(&list->tensors[i]);
    *source = (kx_synth_source){.list = list, .seed = seed, .bytes = bytes};
    source->file.path = "a synthetic model";
    source->files[0] = &source->file;
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    KX_FAIL_IF(memory == MAP_FAILED, err, KX_ERR_MEMORY, "no address space for %zu bytes: %s", bytes,
               strerror(errno));
    source->memory = memory;
    KX_TRY(KX_ARENA_ARRAY(arena, list->count, &source->file.tensors, err));
    lay_out(source);
    kx_names_recognise(source->files, 1, signs);
    KX_TRY(kx_part_open(&source->part, kind, signs, source->files, 1, arena, err));
out:
    return status;
}

void kx_synth_source_close(kx_synth_source *source)
{
    if (source->memory != NULL) munmap(source->memory, source->bytes);
    *source = (kx_synth_source){0};
}

void kx_synth_source_fill(kx_synth_source *source, const void *data, size_t bytes)
{
    uint8_t *start = source->memory;
    const kx_synth_tensor *tensor = source->list->tensors;
    while ((const uint8_t *)data >= start + room_of(tensor)) start += room_of(tensor++);
    size_t first = (size_t)((const uint8_t *)data - start) / 2, end = first + (bytes + 1) / 2;
    first -= first % 4;
    kx_synth_fill((uint16_t *)(void *)start + first, end - first, tensor, source->seed, first);
}
