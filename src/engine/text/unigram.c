#include "engine/text/unigram.h"

#include "engine/text/utf8.h"

#include <assert.h>
#include <string.h>

/* The best cover that ends at a place of the word. */
typedef struct unigram_node {
    double score;
    int32_t id;      /* its last piece */
    uint32_t length; /* of that piece, bytes; 0: no cover ends here */
} unigram_node;

static void offer(unigram_node *node, double score, int32_t id, size_t length)
{
    if (node->length == 0 || score > node->score) *node = (unigram_node){score, id, (uint32_t)length};
}

static void cover(const kx_unigram *model, const uint8_t *word, size_t bytes, unigram_node *nodes)
{
    for (size_t start = 0, character; start < bytes; start += character) {
        double before = nodes[start].score;
        bool has_single = false;
        uint32_t node = 0;
        kx_utf8_decode(word + start, &character);
        for (size_t end = start; end < bytes && kx_trie_step(&model->trie, &node, word[end]);) {
            int32_t id = model->trie.value[node];
            end++;
            if (id < 0) continue;
            offer(&nodes[end], model->scores[id] + before, id, end - start);
            has_single = has_single || end - start == character;
        }
        if (!has_single)
            offer(&nodes[start + character], model->unk_score + before, model->unk_id, character);
    }
}

kx_status kx_unigram_encode_word(const kx_unigram *model, const uint8_t *word, size_t bytes,
                                 kx_bytes *scratch, kx_token_sink *sink, kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t *where;
    assert(bytes > 0 && bytes < UINT32_MAX);
    scratch->size = 0;
    KX_TRY(kx_bytes_grow(scratch, (bytes + 1) * sizeof(unigram_node), &where, err));
    unigram_node *nodes = (unigram_node *)(void *)where;
    memset(nodes, 0, (bytes + 1) * sizeof nodes[0]);
    cover(model, word, bytes, nodes);

    /* From the end to the beginning: first the number of tokens, then each at its place. */
    size_t count = 0;
    int32_t right = -1;
    for (size_t end = bytes; end > 0; end -= nodes[end].length) {
        count += nodes[end].id != model->unk_id || right != model->unk_id;
        right = nodes[end].id;
    }
    size_t place = sink->total += count;
    right = -1;
    for (size_t end = bytes; end > 0; end -= nodes[end].length) {
        bool fused = nodes[end].id == model->unk_id && right == model->unk_id;
        right = nodes[end].id;
        if (!fused && --place < sink->room) sink->ids[place] = right;
    }
out:
    return status;
}
