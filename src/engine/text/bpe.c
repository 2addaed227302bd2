#include "engine/text/bpe.h"

#include <assert.h>
#include <string.h>

static bool stands_for_itself(unsigned byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

uint32_t kx_bpe_byte_symbol(uint8_t byte)
{
    if (stands_for_itself(byte)) return byte;
    uint32_t others = 0;
    for (unsigned b = 0; b < byte; b++) others += !stands_for_itself(b);
    return 256 + others;
}

kx_status kx_bpe_create_merges(kx_bpe *bpe, size_t count, kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    size_t slots = 16;
    while (slots / 4 * 3 < count) slots *= 2;
    KX_TRY(KX_ARENA_ARRAY(arena, slots, &bpe->merges, err));
    for (size_t i = 0; i < slots; i++) bpe->merges[i].left = UINT32_MAX;
    bpe->mask = slots - 1;
out:
    return status;
}

/* The slot that holds the pair, or the free one where it belongs. */
static kx_bpe_merge *slot_of(const kx_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t hash = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    size_t slot = (size_t)(hash ^ hash >> 32) & bpe->mask;
    while (bpe->merges[slot].left != UINT32_MAX &&
           (bpe->merges[slot].left != left || bpe->merges[slot].right != right))
        slot = (slot + 1) & bpe->mask;
    return &bpe->merges[slot];
}

void kx_bpe_put_merge(kx_bpe *bpe, kx_bpe_merge merge)
{
    *slot_of(bpe, merge.left, merge.right) = merge;
}

typedef struct bpe_symbol {
    int32_t id;          /* -1: swallowed by the symbol before it */
    uint32_t last, next; /* neighbours; UINT32_MAX at the ends */
} bpe_symbol;

/* A word at work. A candidate of the heap is rank << 32 | place. It may be there no longer when it comes up;
 * then the merge at its place has another rank. */
typedef struct bpe_word {
    const kx_bpe *bpe;
    bpe_symbol *symbols;
    uint64_t *heap;
    size_t heap_size;
} bpe_word;

static void heap_push(bpe_word *word, uint64_t candidate)
{
    size_t i = word->heap_size++;
    for (size_t up; i > 0 && word->heap[up = (i - 1) / 2] > candidate; i = up) word->heap[i] = word->heap[up];
    word->heap[i] = candidate;
}

static uint64_t heap_pop(bpe_word *word)
{
    uint64_t top = word->heap[0], moved = word->heap[--word->heap_size];
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < word->heap_size; i = down) {
        if (down + 1 < word->heap_size && word->heap[down + 1] < word->heap[down]) down++;
        if (word->heap[down] >= moved) break;
        word->heap[i] = word->heap[down];
    }
    word->heap[i] = moved;
    return top;
}

/* The merge of the symbol at `place` with its right neighbour, if there is one. */
static const kx_bpe_merge *merge_at(const bpe_word *word, uint32_t place)
{
    const bpe_symbol *symbol = &word->symbols[place];
    if (symbol->id < 0 || symbol->next == UINT32_MAX) return NULL;
    const kx_bpe_merge *merge =
        slot_of(word->bpe, (uint32_t)symbol->id, (uint32_t)word->symbols[symbol->next].id);
    return merge->left == UINT32_MAX ? NULL : merge;
}

static void push_pair(bpe_word *word, uint32_t place)
{
    const kx_bpe_merge *merge = place == UINT32_MAX ? NULL : merge_at(word, place);
    if (merge != NULL) heap_push(word, (uint64_t)merge->rank << 32 | place);
}

static void merge_pairs(bpe_word *word)
{
    while (word->heap_size > 0) {
        uint64_t top = heap_pop(word);
        uint32_t place = (uint32_t)top;
        const kx_bpe_merge *merge = merge_at(word, place);
        if (merge == NULL || merge->rank != top >> 32) continue;
        bpe_symbol *symbol = &word->symbols[place], *gone = &word->symbols[symbol->next];
        symbol->id = merge->result;
        symbol->next = gone->next;
        gone->id = -1;
        if (symbol->next != UINT32_MAX) word->symbols[symbol->next].last = place;
        push_pair(word, symbol->last);
        push_pair(word, place);
    }
}

kx_status kx_bpe_encode_word(const kx_bpe *bpe, const uint8_t *text, size_t bytes, kx_bytes *scratch,
                             kx_token_sink *sink, kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t *where;
    bpe_word word = {.bpe = bpe};
    assert(bytes > 0 && bytes < UINT32_MAX);
    /* Each merge takes a symbol away and adds at most two candidates to the bytes - 1 of the beginning. */
    size_t heap_bytes = 3 * bytes * sizeof word.heap[0];
    scratch->size = 0;
    KX_TRY(kx_bytes_grow(scratch, heap_bytes + bytes * sizeof word.symbols[0], &where, err));
    word.heap = (uint64_t *)(void *)where;
    word.symbols = (bpe_symbol *)(void *)(where + heap_bytes);
    for (size_t i = 0; i < bytes; i++)
        word.symbols[i] = (bpe_symbol){.id = bpe->symbols[i + 1 == bytes][text[i]],
                                       .last = i == 0 ? UINT32_MAX : (uint32_t)i - 1,
                                       .next = i + 1 == bytes ? UINT32_MAX : (uint32_t)i + 1};
    for (size_t i = 0; i + 1 < bytes; i++) push_pair(&word, (uint32_t)i);
    merge_pairs(&word);
    for (uint32_t i = 0; i != UINT32_MAX; i = word.symbols[i].next)
        kx_token_sink_put(sink, word.symbols[i].id);
out:
    return status;
}
