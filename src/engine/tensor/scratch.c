#define _GNU_SOURCE /* MAP_ANONYMOUS, MADV_HUGEPAGE */
#include "engine/tensor/scratch.h"

#include <string.h>
#include <sys/mman.h>

void kx_scratch_measure(kx_scratch *scratch)
{
    memset(scratch, 0, sizeof *scratch);
    scratch->room = SIZE_MAX / 2;
}

kx_status kx_scratch_open(kx_scratch *scratch, size_t room, kx_error *err)
{
    kx_status status = KX_OK;
    memset(scratch, 0, sizeof *scratch);
    if (room == 0) room = KX_SCRATCH_ALIGN;
    void *base = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    KX_FAIL_IF(base == MAP_FAILED, err, KX_ERR_MEMORY, "out of memory: %zu bytes of working memory", room);
    madvise(base, room, MADV_HUGEPAGE);
    scratch->base = base;
    scratch->room = room;
out:
    return status;
}

void kx_scratch_close(kx_scratch *scratch)
{
    if (scratch->base != NULL) munmap(scratch->base, scratch->room);
    memset(scratch, 0, sizeof *scratch);
}

void *kx_scratch_take(kx_scratch *scratch, const char *name, size_t bytes, bool *failed)
{
    size_t rounded = (bytes + KX_SCRATCH_ALIGN - 1) & ~(size_t)(KX_SCRATCH_ALIGN - 1);
    if (rounded < bytes || rounded > scratch->room - scratch->used || scratch->depth == KX_SCRATCH_MAX_BUFFERS) {
        *failed = true;
        return NULL;
    }
    void *where = scratch->base == NULL ? NULL : scratch->base + scratch->used;
    scratch->stack[scratch->depth++] = (kx_scratch_buffer){name, rounded};
    scratch->used += rounded;
    if (scratch->used > scratch->peak) {
        scratch->peak = scratch->used;
        scratch->peak_depth = scratch->depth;
        memcpy(scratch->at_peak, scratch->stack, (size_t)scratch->depth * sizeof scratch->stack[0]);
    }
    return where;
}

kx_scratch_mark kx_scratch_mark_now(const kx_scratch *scratch)
{
    return (kx_scratch_mark){scratch->used, scratch->depth};
}

void kx_scratch_release(kx_scratch *scratch, kx_scratch_mark mark)
{
    scratch->used = mark.used;
    scratch->depth = mark.depth;
}
