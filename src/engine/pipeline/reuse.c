#include "engine/pipeline/reuse.h"

#include "base/hash64.h"
#include "engine/tensor/scratch.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 256 };

typedef struct entry {
    uint64_t hash; /* of the key: which entries are worth comparing */
    size_t key_bytes, count;
    kx_scratch memory; /* the values, then the key */
    uint64_t used_at;
} entry;

struct kx_reuse {
    uint64_t cap, used, now;
    size_t num_entries;
    entry entries[ENTRIES_MAX];
};

kx_status kx_reuse_open(kx_reuse **out, uint64_t cap_bytes, kx_error *err)
{
    kx_status status = KX_OK;
    kx_reuse *reuse = calloc(1, sizeof *reuse);
    KX_FAIL_IF(reuse == NULL, err, KX_ERR_MEMORY, "out of memory");
    reuse->cap = cap_bytes;
    *out = reuse;
out:
    return status;
}

void kx_reuse_close(kx_reuse *reuse)
{
    if (reuse == NULL) return;
    kx_reuse_clear(reuse);
    free(reuse);
}

static size_t key_bytes(const kx_reuse_key *key)
{
    size_t sum = 0;
    for (int i = 0; i < KX_REUSE_PARTS; i++) sum += key->bytes[i];
    return sum;
}

static uint64_t key_hash(const kx_reuse_key *key)
{
    uint64_t hash = KX_HASH64_START;
    for (int i = 0; i < KX_REUSE_PARTS; i++) hash = kx_hash64_add(hash, key->parts[i], key->bytes[i]);
    return hash;
}

static uint8_t *key_of(const entry *kept)
{
    return kept->memory.base + kept->count * sizeof(float);
}

static bool has_key(const entry *kept, uint64_t hash, const kx_reuse_key *key)
{
    const uint8_t *at = key_of(kept);
    if (kept->hash != hash || kept->key_bytes != key_bytes(key)) return false;
    for (int i = 0; i < KX_REUSE_PARTS; i++) {
        if (key->bytes[i] > 0 && memcmp(at, key->parts[i], key->bytes[i]) != 0) return false;
        at += key->bytes[i];
    }
    return true;
}

static entry *find(kx_reuse *reuse, const kx_reuse_key *key)
{
    uint64_t hash = key_hash(key);
    for (size_t i = 0; i < reuse->num_entries; i++)
        if (has_key(&reuse->entries[i], hash, key)) return &reuse->entries[i];
    return NULL;
}

static void drop(kx_reuse *reuse, entry *kept)
{
    reuse->used -= kept->memory.room;
    kx_scratch_close(&kept->memory);
    *kept = reuse->entries[--reuse->num_entries];
}

static void drop_oldest(kx_reuse *reuse)
{
    entry *oldest = &reuse->entries[0];
    for (size_t i = 1; i < reuse->num_entries; i++)
        if (reuse->entries[i].used_at < oldest->used_at) oldest = &reuse->entries[i];
    drop(reuse, oldest);
}

bool kx_reuse_get(kx_reuse *reuse, const kx_reuse_key *key, float *values, size_t count)
{
    entry *kept = reuse->num_entries > 0 ? find(reuse, key) : NULL;
    if (kept == NULL || kept->count != count) return false;
    memcpy(values, kept->memory.base, count * sizeof *values);
    kept->used_at = ++reuse->now;
    return true;
}

void kx_reuse_put(kx_reuse *reuse, const kx_reuse_key *key, const float *values, size_t count)
{
    size_t room = count * sizeof *values + key_bytes(key);
    kx_error ignored = {0};
    if (room > reuse->cap || find(reuse, key) != NULL) return;
    while (reuse->num_entries == ENTRIES_MAX || reuse->used + room > reuse->cap) drop_oldest(reuse);
    entry made = {
        .hash = key_hash(key), .key_bytes = key_bytes(key), .count = count, .used_at = ++reuse->now};
    if (kx_scratch_open(&made.memory, room, &ignored) != KX_OK) return;
    memcpy(made.memory.base, values, count * sizeof *values);
    uint8_t *at = key_of(&made);
    for (int i = 0; i < KX_REUSE_PARTS; i++) {
        if (key->bytes[i] > 0) memcpy(at, key->parts[i], key->bytes[i]);
        at += key->bytes[i];
    }
    reuse->entries[reuse->num_entries++] = made;
    reuse->used += room;
}

void kx_reuse_clear(kx_reuse *reuse)
{
    while (reuse->num_entries > 0) drop(reuse, &reuse->entries[reuse->num_entries - 1]);
}

uint64_t kx_reuse_used_bytes(const kx_reuse *reuse)
{
    return reuse->used;
}

uint64_t kx_reuse_growth_bytes(const kx_reuse *reuse, uint64_t more)
{
    uint64_t left = reuse->cap - reuse->used;
    return more < left ? more : left;
}
