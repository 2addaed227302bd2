#include "engine/text/added_tokens.h"

#include "engine/text/utf8.h"

#include <stdlib.h>

kx_status kx_added_tokens_build(kx_added_tokens *set, const kx_added_token *tokens, size_t count,
                                bool normalized, kx_arena *arena, const char *what, kx_error *err)
{
    kx_status status = KX_OK;
    kx_added_token *kept;
    size_t kept_count = 0;
    kx_trie_key *keys = calloc(count + 1, sizeof keys[0]);
    KX_FAIL_IF(keys == NULL, err, KX_ERR_MEMORY, "out of memory: %zu added tokens", count);
    KX_TRY(KX_ARENA_ARRAY(arena, count, &kept, err));
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].normalized != normalized || tokens[i].bytes == 0) continue;
        keys[kept_count] =
            (kx_trie_key){(const uint8_t *)tokens[i].content, tokens[i].bytes, (int32_t)kept_count};
        kept[kept_count] = tokens[i];
        kept[kept_count++].content = NULL; /* the trie knows it */
    }
    KX_TRY(kx_trie_build(&set->trie, keys, kept_count, arena, what, err));
    set->tokens = kept;
out:
    free(keys);
    return status;
}

/* The code point that ends at text[end - 1]. */
static uint32_t code_before(const uint8_t *text, size_t end, size_t *length)
{
    size_t start = end - 1;
    while (start > 0 && (text[start] & 0xc0) == 0x80) start--;
    return kx_utf8_decode(text + start, length);
}

static bool touches_word(const kx_added_iterator *it, size_t start, size_t end)
{
    size_t length;
    return (start > 0 && kx_unicode_is_word(code_before(it->text, start, &length))) ||
           (end < it->bytes && kx_unicode_is_word(kx_utf8_decode(it->text + end, &length)));
}

static bool find_token(kx_added_iterator *it)
{
    size_t start = it->scanned, length = 0, step;
    for (; start < it->bytes; start += length) {
        int32_t place = kx_trie_longest(&it->set->trie, it->text + start, it->bytes - start, &length);
        if (place < 0) {
            length = 1;
            continue;
        }
        const kx_added_token *token = &it->set->tokens[place];
        size_t end = start + length;
        if (token->single_word && touches_word(it, start, end)) continue;
        it->scanned = end;
        if (token->strips_left)
            while (start > it->done && kx_unicode_is_space(code_before(it->text, start, &step)))
                start -= step;
        if (token->strips_right)
            while (end < it->bytes && kx_unicode_is_space(kx_utf8_decode(it->text + end, &step))) end += step;
        if (it->scanned < end) it->scanned = end;
        it->token = (kx_added_span){start, end, token->id};
        return true;
    }
    return false;
}

kx_added_iterator kx_added_tokens_start(const kx_added_tokens *set, const uint8_t *text, size_t bytes)
{
    return (kx_added_iterator){.set = set, .text = text, .bytes = bytes};
}

bool kx_added_tokens_next(kx_added_iterator *it, kx_added_span *span)
{
    if (it->done == it->bytes) return false;
    if (!it->token_waits) {
        it->token_waits = find_token(it);
        size_t end = it->token_waits ? it->token.start : it->bytes;
        if (end > it->done) {
            *span = (kx_added_span){it->done, end, -1};
            it->done = end;
            return true;
        }
    }
    it->token_waits = false;
    *span = it->token;
    it->done = it->token.end;
    return true;
}
