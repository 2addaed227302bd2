/* The SentencePiece unigram model: the cheapest way to cover a word with pieces (Viterbi). */
#pragma once

#include "base/bytes.h"
#include "engine/text/tokens.h"
#include "engine/text/trie.h"

typedef struct kx_unigram {
    kx_trie trie;         /* piece -> id */
    const double *scores; /* logarithms of probabilities, one for each id of the trie */
    double unk_score;     /* of a character that no piece covers alone: the lowest score - 10 */
    int32_t unk_id;
} kx_unigram;

/* Encodes one word (checked UTF-8, at least one byte): the cover with the largest sum of scores; among equals
 * the first found, going from left to right and from short pieces to long. A character that is not a piece
 * itself may be covered by the unknown token; neighbouring unknown tokens become one. The sum is taken in
 * double, in the order of the reference. O(bytes x longest piece); scratch: 16 bytes a byte. */
kx_status kx_unigram_encode_word(const kx_unigram *model, const uint8_t *word, size_t bytes,
                                 kx_bytes *scratch, kx_token_sink *sink, kx_error *err);
