/* Byte-level byte-pair encoding as CLIP uses it (specification 3.4): a word is a row of bytes, each a symbol
 * of its own, the last one in a form that ends a word. The adjacent pair whose merge has the lowest rank is
 * replaced by its merged symbol, the leftmost first among equals, until no pair has a merge. */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "engine/text/tokens.h"

typedef struct kx_bpe_merge {
    uint32_t left, right; /* left == UINT32_MAX: a free slot */
    uint32_t rank;
    int32_t result;
} kx_bpe_merge;

typedef struct kx_bpe {
    int32_t symbols[2][256]; /* byte -> id, inside a word and at its end */
    kx_bpe_merge *merges;    /* hash table, open addressing, a power of two of slots */
    size_t mask;             /* slots - 1 */
} kx_bpe;

/* Room for `count` merges. */
kx_status kx_bpe_create_merges(kx_bpe *bpe, size_t count, kx_arena *arena, kx_error *err);
/* A pair that is already there gets the later rank and result, as in the reference. At most `count` calls. */
void kx_bpe_put_merge(kx_bpe *bpe, kx_bpe_merge merge);

/* Encodes one word of at least one byte. `scratch` is reused between words and freed by the caller; it grows
 * to 36 bytes for each byte of the word. O(bytes log bytes). */
kx_status kx_bpe_encode_word(const kx_bpe *bpe, const uint8_t *word, size_t bytes, kx_bytes *scratch,
                             kx_token_sink *sink, kx_error *err);

/* Byte -> the printable code point that stands for it in vocabulary files: 33..126, 161..172 and 174..255
 * stand for themselves, the other 68 bytes, in order, for 256, 257, ... */
uint32_t kx_bpe_byte_symbol(uint8_t byte);
