/* What the encoders made in earlier edits of a model, for edits with the same text or the same reference.
 *
 * Entries are found by their whole key (token ids; pixels and size as the VAE sees them), not by a hash of
 * it, so that what is taken can only be what would be computed again. All of them together hold at most `cap`
 * bytes, keys included; the one that was used longest ago goes first. Each entry is memory of its own, which
 * goes back to the system with it.
 *
 * Used by one thread at a time, as the model that owns it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kx_reuse kx_reuse;

enum { KX_REUSE_PARTS = 3 };

typedef struct kx_reuse_key {
    const void *parts[KX_REUSE_PARTS]; /* one after the other */
    size_t bytes[KX_REUSE_PARTS];
} kx_reuse_key;

/* cap_bytes 0: nothing is ever kept. Errors: KX_ERR_MEMORY. */
kx_status kx_reuse_open(kx_reuse **reuse, uint64_t cap_bytes, kx_error *err);
void kx_reuse_close(kx_reuse *reuse);

/* True: what was kept for the key is in values (count). */
bool kx_reuse_get(kx_reuse *reuse, const kx_reuse_key *key, float *values, size_t count);
/* Keeps a copy, unless it is larger than the cap or there is no memory: nobody needs to know. */
void kx_reuse_put(kx_reuse *reuse, const kx_reuse_key *key, const float *values, size_t count);
/* Forgets all. */
void kx_reuse_clear(kx_reuse *reuse);

uint64_t kx_reuse_used_bytes(const kx_reuse *reuse);
/* What keeping so many more bytes would add to the memory in use. */
uint64_t kx_reuse_growth_bytes(const kx_reuse *reuse, uint64_t more);
