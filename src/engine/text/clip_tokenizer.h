/* The CLIP tokenizer: byte-level BPE from vocab.json and merges.txt, or from a tokenizer.json of model type
 * BPE.
 *
 *     kx_clip_tokenizer *clip = NULL;
 *     KX_TRY(kx_clip_tokenizer_open(&clip, "model/tokenizer", err));
 *     int32_t ids[77];
 *     kx_token_count count;
 *     KX_TRY(kx_clip_tokenizer_encode(clip, prompt, strlen(prompt), 77, ids, &count, err));
 *     if (count.cut > 0) ...the prompt lost count.cut tokens...
 *
 * A prompt goes through: literal special tokens ("<|endoftext|>", case counts) are cut out; NFC; runs of
 * white space become one space; lower case (without context: a capital sigma is always the inner one); words
 * by 's|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+ ; each word's UTF-8 bytes by BPE. Special tokens
 * marked "normalized" are looked for after the lower case. The ids are those of CLIPTokenizerFast
 * (specification 3.4).
 *
 * Read only once open: threads may share it.
 *
 * NFC uses the Unicode 15 tables of utf8proc; the reference library's are older. The ids differ only where a
 * combining mark that is newer than its tables (such as U+0D3B or U+089A) stands in a row of marks that is
 * out of canonical order. */
#pragma once

#include "engine/text/tokenizer_files.h"
#include "engine/text/tokens.h"

typedef struct kx_clip_tokenizer kx_clip_tokenizer;

/* Errors: KX_ERR_MODEL names the file and what is wrong with it. Free with kx_clip_tokenizer_close. */
kx_status kx_clip_tokenizer_open(kx_clip_tokenizer **out, const char *folder, kx_error *err);
void kx_clip_tokenizer_close(kx_clip_tokenizer *tokenizer);

/* The same from files in memory. */
typedef struct kx_clip_tokenizer_files {
    kx_tokenizer_file vocab, merges; /* both, or neither and `whole` */
    kx_tokenizer_file whole;         /* tokenizer.json */
    kx_tokenizer_file config, special;
} kx_clip_tokenizer_files;
kx_status kx_clip_tokenizer_read(kx_clip_tokenizer **out, const kx_clip_tokenizer_files *files,
                                 kx_error *err);

/* text (bytes long, UTF-8) -> ids (max_tokens): start token, tokens, end token, padding. A prompt that is too
 * long keeps its first max_tokens - 2 tokens. max_tokens >= 2. Errors: KX_ERR_INPUT for text that is not
 * UTF-8 or longer than KX_LIMIT_PROMPT_BYTES. */
kx_status kx_clip_tokenizer_encode(const kx_clip_tokenizer *tokenizer, const char *text, size_t bytes,
                                   size_t max_tokens, int32_t *ids, kx_token_count *count, kx_error *err);

/* Where the text model's pooled vector is taken: with config_eos_id 2 (old configurations, where it is wrong)
 * the place of the first largest id, else the first place that holds config_eos_id, 0 when none does. ids
 * (count), count >= 1. */
size_t kx_clip_tokenizer_pooled_position(const int32_t *ids, size_t count, int32_t config_eos_id);

size_t kx_clip_tokenizer_bytes(const kx_clip_tokenizer *tokenizer);           /* of memory that it holds */
size_t kx_clip_tokenizer_vocabulary_size(const kx_clip_tokenizer *tokenizer); /* pieces and added tokens */
size_t kx_clip_tokenizer_max_tokens(const kx_clip_tokenizer *tokenizer);      /* as its files say, else 77 */
int32_t kx_clip_tokenizer_max_id(const kx_clip_tokenizer *tokenizer); /* the embedding must have this row */
int32_t kx_clip_tokenizer_bos_id(const kx_clip_tokenizer *tokenizer);
int32_t kx_clip_tokenizer_eos_id(const kx_clip_tokenizer *tokenizer);
int32_t kx_clip_tokenizer_pad_id(const kx_clip_tokenizer *tokenizer);
