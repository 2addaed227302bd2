#include "engine/text/trie.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

typedef struct key_range {
    uint32_t first, end; /* the keys below a node */
    uint32_t depth;
} key_range;

static int compare_keys(const void *a, const void *b)
{
    const kx_trie_key *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->length < y->length ? x->length : y->length);
    if (order != 0) return order;
    return x->length < y->length ? -1 : x->length > y->length;
}

/* Sorted keys -> the number of nodes with the root; checks the keys on the way. */
static kx_status count_nodes(const kx_trie_key *keys, size_t count, size_t *nodes, const char *what,
                             kx_error *err)
{
    kx_status status = KX_OK;
    *nodes = 1;
    for (size_t i = 0; i < count; i++) {
        size_t common = 0;
        KX_FAIL_IF(keys[i].length == 0, err, KX_ERR_MODEL, "%s: entry %d is empty", what, keys[i].value);
        KX_FAIL_IF(keys[i].length > KX_TRIE_KEY_BYTES, err, KX_ERR_MODEL,
                   "%s: entry %d has %zu bytes, at most %d are expected", what, keys[i].value, keys[i].length,
                   KX_TRIE_KEY_BYTES);
        if (i > 0) {
            KX_FAIL_IF(compare_keys(&keys[i - 1], &keys[i]) == 0, err, KX_ERR_MODEL,
                       "%s: entries %d and %d are the same text", what,
                       keys[i].value < keys[i - 1].value ? keys[i].value : keys[i - 1].value,
                       keys[i].value < keys[i - 1].value ? keys[i - 1].value : keys[i].value);
            size_t shorter = keys[i - 1].length < keys[i].length ? keys[i - 1].length : keys[i].length;
            while (common < shorter && keys[i - 1].bytes[common] == keys[i].bytes[common]) common++;
        }
        *nodes += keys[i].length - common;
    }
    KX_FAIL_IF(*nodes >= INT32_MAX, err, KX_ERR_MODEL, "%s: %zu trie nodes are too many", what, *nodes);
out:
    return status;
}

kx_status kx_trie_build(kx_trie *trie, kx_trie_key *keys, size_t count, kx_arena *arena, const char *what,
                        kx_error *err)
{
    kx_status status = KX_OK;
    key_range *ranges = NULL;
    uint32_t *first_child;
    int32_t *value;
    uint8_t *label;
    size_t nodes;
    *trie = (kx_trie){0};
    if (count == 0) goto out;
    KX_FAIL_IF(count >= INT32_MAX, err, KX_ERR_MODEL, "%s: %zu entries are too many", what, count);
    qsort(keys, count, sizeof keys[0], compare_keys);
    KX_TRY(count_nodes(keys, count, &nodes, what, err));
    KX_TRY(KX_ARENA_ARRAY(arena, nodes + 1, &first_child, err));
    KX_TRY(KX_ARENA_ARRAY(arena, nodes, &value, err));
    KX_TRY(KX_ARENA_ARRAY(arena, nodes, &label, err));
    ranges = calloc(nodes, sizeof ranges[0]);
    KX_FAIL_IF(ranges == NULL, err, KX_ERR_MEMORY, "out of memory: %zu trie nodes", nodes);
    ranges[0].end = (uint32_t)count;
    uint32_t made = 1;
    for (uint32_t node = 0; node < nodes; node++) {
        key_range range = ranges[node];
        value[node] = -1;
        if (keys[range.first].length == range.depth) value[node] = keys[range.first++].value;
        first_child[node] = made;
        while (range.first < range.end) {
            uint8_t byte = keys[range.first].bytes[range.depth];
            key_range child = {.first = range.first, .depth = range.depth + 1};
            while (range.first < range.end && keys[range.first].bytes[range.depth] == byte) range.first++;
            child.end = range.first;
            label[made] = byte;
            ranges[made++] = child;
        }
    }
    first_child[nodes] = made;
    *trie = (kx_trie){.first_child = first_child, .value = value, .label = label, .nodes = nodes};
out:
    free(ranges);
    return status;
}

int32_t kx_trie_longest(const kx_trie *trie, const uint8_t *text, size_t bytes, size_t *length)
{
    int32_t found = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < bytes && kx_trie_step(trie, &node, text[i]); i++) {
        if (trie->value[node] < 0) continue;
        found = trie->value[node];
        *length = i + 1;
    }
    return found;
}
