/* Small tokenizers for made-up models, written in the real file formats, so that other programs load them
 * too. They are made of nothing but rules and a list of common words: the bytes are the same on every
 * machine.
 *
 * CLIP: 514 entries, no merges. Ids 0-255 are the bytes inside a word, in the order of the published
 * vocabulary (those that stand for themselves, then the others), 256-511 the same at a word's end, 512 and
 * 513 start and end. T5: pad, end, unknown, the marker, the printable ASCII characters, then common words and
 * endings; no character map.
 *
 * Both make the folder where it is missing. *vocabulary is the number of entries, one more than the highest
 * id; it may be NULL. Errors: KX_ERR_OUTPUT, KX_ERR_MEMORY. */
#pragma once

#include "base/error.h"

/* folder/vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json. */
kx_status kx_clip_tokenizer_write_synthetic(const char *folder, size_t *vocabulary, kx_error *err);
/* folder/tokenizer.json, tokenizer_config.json, special_tokens_map.json. */
kx_status kx_t5_tokenizer_write_synthetic(const char *folder, size_t *vocabulary, kx_error *err);
