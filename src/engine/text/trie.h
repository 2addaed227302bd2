/* A compact read-only trie from byte strings to numbers: 9 bytes a node.
 *
 * Nodes are numbered breadth first, so the children of node n are the nodes first_child[n] ..
 * first_child[n+1]-1, with ascending labels, and a step is a binary search in a few adjacent bytes.
 *
 *     uint32_t node = 0;
 *     while (i < bytes && kx_trie_step(&trie, &node, text[i++]))
 *         if (trie.value[node] >= 0) ...a key ends here...
 */
#pragma once

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

enum { KX_TRIE_KEY_BYTES = 1024 }; /* longest key; bounds the work at one place of a text */

typedef struct kx_trie_key {
    const uint8_t *bytes; /* borrowed while building */
    size_t length;
    int32_t value; /* >= 0 */
} kx_trie_key;

typedef struct kx_trie {
    const uint32_t *first_child; /* nodes + 1 */
    const int32_t *value;        /* nodes; -1 where no key ends */
    const uint8_t *label;        /* nodes; the byte that leads here */
    size_t nodes;                /* 0: not built, finds nothing */
} kx_trie;

/* Builds from `keys`, which it sorts. Errors, prefixed by `what`: KX_ERR_MODEL for an empty, overlong or
 * repeated key (naming the values); KX_ERR_MEMORY. */
kx_status kx_trie_build(kx_trie *trie, kx_trie_key *keys, size_t count, kx_arena *arena, const char *what,
                        kx_error *err);

static inline bool kx_trie_step(const kx_trie *trie, uint32_t *node, uint8_t byte)
{
    if (trie->nodes == 0) return false;
    uint32_t low = trie->first_child[*node], high = trie->first_child[*node + 1], end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trie->label[middle] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    *node = low;
    return low < end && trie->label[low] == byte;
}

/* The value of the longest key that starts the text, and its length; -1 when there is none. */
int32_t kx_trie_longest(const kx_trie *trie, const uint8_t *text, size_t bytes, size_t *length);
