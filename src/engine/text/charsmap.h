/* SentencePiece's "precompiled charsmap": a table from short UTF-8 strings to their normal forms.
 *
 * The blob (base64 in tokenizer.json): u32 trie_bytes, then a double-array trie of trie_bytes / 4 u32 units,
 * then zero-terminated UTF-8 strings; all little endian. Of a unit u:
 *
 *     offset = (u >> 10) << ((u & 0x200) >> 6), has_leaf = u >> 8 & 1, label = u & 0x800000ff, value = u &
 * 0x7fffffff
 *
 * A search starts with p = offset(unit[0]); for each byte c: p ^= c; stop unless label(unit[p]) == c;
 * p ^= offset(unit[p]); if that unit has_leaf, a key ends here and value(unit[p]) is where its string starts.
 *
 * The table is applied as the Hugging Face library does it, which is not what SentencePiece does
 * (specification 0.1, item 4): a grapheme cluster of fewer than 6 bytes is replaced as a whole by the string
 * of its SHORTEST prefix in the trie; other clusters, and clusters without a match, character by character in
 * the same way; a character without a match stays. Nothing in the blob is believed: each place is compared
 * with the sizes before it is read, and a search takes one byte of the text at a time, so that no trie can
 * make it go round. */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"

typedef struct kx_charsmap {
    const uint32_t *units;
    size_t unit_count; /* 0: no table, the text stays */
    const uint8_t *strings;
    size_t string_bytes; /* with the final zero byte */
    const char *name;    /* for error sentences; borrowed */
} kx_charsmap;

/* `name` must live as long as the map. Errors: KX_ERR_MODEL for sizes that cannot be and strings that are not
 * UTF-8. */
kx_status kx_charsmap_read(kx_charsmap *map, const uint8_t *blob, size_t bytes, const char *name,
                           kx_arena *arena, kx_error *err);
kx_status kx_charsmap_read_base64(kx_charsmap *map, const char *text, size_t length, const char *name,
                                  kx_arena *arena, kx_error *err);

/* Appends the normal form of checked UTF-8 `text` to `out`; the result is UTF-8. Linear in text and result.
 * Errors: KX_ERR_MODEL for a value outside the strings or inside a character; KX_ERR_INPUT at the cap of
 * `out`. */
kx_status kx_charsmap_apply(const kx_charsmap *map, const uint8_t *text, size_t bytes, kx_bytes *out,
                            kx_error *err);
