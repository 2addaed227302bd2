#include "base/hash64.h"

#include <string.h>

uint64_t kx_hash64_add(uint64_t hash, const void *data, size_t bytes)
{
    const uint8_t *byte = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t kx_hash64_add_text(uint64_t hash, const char *text)
{
    return kx_hash64_add(hash, text, strlen(text) + 1);
}
