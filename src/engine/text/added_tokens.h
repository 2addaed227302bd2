/* Added tokens: literal strings such as "</s>" that are cut out of a prompt before anything else and stand
 * for one id.
 *
 * Semantics of the Hugging Face tokenizers library: leftmost match, then the longest; single_word, lstrip and
 * rstrip as there. Tokens marked "normalized" are looked for in the normalised text, the others in the raw
 * text, so a tokenizer keeps two sets.
 *
 *     kx_added_iterator it = kx_added_tokens_start(&tokens, text, bytes);
 *     for (kx_added_span span; kx_added_tokens_next(&it, &span);)
 *         if (span.id >= 0) ...the token... else ...plain text from span.start to span.end...
 */
#pragma once

#include "engine/text/trie.h"

typedef struct kx_added_token {
    const char *content; /* borrowed while building */
    size_t bytes;
    int32_t id;
    bool normalized;
    bool single_word; /* only where no word character stands beside it */
    bool strips_left; /* takes the white space before it along */
    bool strips_right;
} kx_added_token;

typedef struct kx_added_tokens {
    kx_trie trie; /* content -> place in `tokens` */
    const kx_added_token *tokens;
} kx_added_tokens;

typedef struct kx_added_span {
    size_t start, end; /* bytes */
    int32_t id;        /* -1: plain text */
} kx_added_span;

typedef struct kx_added_iterator {
    const kx_added_tokens *set;
    const uint8_t *text; /* checked UTF-8 */
    size_t bytes;
    size_t done;         /* everything before has been handed out */
    size_t scanned;      /* no match starts before */
    kx_added_span token; /* found, waits behind the plain text before it */
    bool token_waits;
} kx_added_iterator;

/* Takes those of `tokens` whose `normalized` flag is the given one; empty ones are left out.
 * Errors as kx_trie_build. */
kx_status kx_added_tokens_build(kx_added_tokens *set, const kx_added_token *tokens, size_t count,
                                bool normalized, kx_arena *arena, const char *what, kx_error *err);

kx_added_iterator kx_added_tokens_start(const kx_added_tokens *set, const uint8_t *text, size_t bytes);
/* The spans cover the text without gaps, in order. */
bool kx_added_tokens_next(kx_added_iterator *it, kx_added_span *span);
