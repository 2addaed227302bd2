#include "engine/formats/synth_numbers.h"

#include "base/hash64.h"

#include <string.h>

enum { STEPS = 511 /* values of the sum of two bytes */ };
static const double sum_deviation = 104.5108; /* of that sum: sqrt(2 (256^2 - 1) / 12) */

/* splitmix64 (Steele, Lea, Flood 2014): the finaliser of a counter. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t hash_name(uint64_t seed, const char *name)
{
    uint64_t hash = kx_hash64_add(KX_HASH64_START, name, strlen(name));
    return mix(hash ^ mix(seed + 0x9e3779b97f4a7c15u));
}

/* values (count) bf16: a bell of two uniform bytes, looked up by their sum. The first has the number `first`,
 * a multiple of 4. */
static void fill(uint16_t *values, size_t count, uint64_t key, uint64_t first, const uint16_t table[STEPS])
{
    for (size_t i = 0; i < count; i += 4) {
        uint64_t bits = mix(key + (first + i) / 4 * 0x9e3779b97f4a7c15u);
        size_t last = count - i < 4 ? count - i : 4;
        for (size_t k = 0; k < last; k++) {
            values[i + k] = table[(bits & 255) + (bits >> 8 & 255)];
            bits >>= 16;
        }
    }
}

void kx_synth_fill(uint16_t *values, size_t count, const kx_synth_tensor *tensor, uint64_t seed,
                   uint64_t first)
{
    uint16_t table[STEPS];
    for (int i = 0; i < STEPS; i++)
        table[i] =
            kx_bf16_from_f32((float)(tensor->mean + tensor->deviation * (i - STEPS / 2) / sum_deviation));
    fill(values, count, hash_name(seed, tensor->name), first, table);
}
