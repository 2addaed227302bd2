/* Working memory as a stack.
 *
 * A stage of an edit (text, encode, denoise, decode) takes its buffers from a kx_scratch by name, and gives them back
 * in reverse order by releasing a mark. The size of the whole is not guessed: the stage's own code is first run dry
 * over a *measuring* scratch, which hands out no memory and only counts. The peak it counted is the memory plan, and
 * the size of the real scratch; so a plan cannot drift from the code that it describes.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KX_SCRATCH_MAX_BUFFERS = 96, KX_SCRATCH_ALIGN = 256 };

typedef struct kx_scratch_buffer {
    const char *name; /* a literal */
    size_t bytes;
} kx_scratch_buffer;

typedef struct kx_scratch {
    uint8_t *base; /* NULL: measuring */
    size_t room;
    size_t used;
    size_t peak;
    int depth;
    kx_scratch_buffer stack[KX_SCRATCH_MAX_BUFFERS];
    int peak_depth;
    kx_scratch_buffer at_peak[KX_SCRATCH_MAX_BUFFERS]; /* what was live when `used` was largest */
} kx_scratch;

typedef struct kx_scratch_mark {
    size_t used;
    int depth;
} kx_scratch_mark;

void kx_scratch_measure(kx_scratch *scratch);
/* `room` bytes of fresh anonymous memory; pages are touched as they are used. Errors: KX_ERR_MEMORY. */
kx_status kx_scratch_open(kx_scratch *scratch, size_t room, kx_error *err);
void kx_scratch_close(kx_scratch *scratch);

/* NULL while measuring, and when the room does not suffice (*failed is set then). */
void *kx_scratch_take(kx_scratch *scratch, const char *name, size_t bytes, bool *failed);
kx_scratch_mark kx_scratch_mark_now(const kx_scratch *scratch);
void kx_scratch_release(kx_scratch *scratch, kx_scratch_mark mark);
