/* The T5 tokenizer: a SentencePiece unigram model from tokenizer.json.
 *
 *     kx_t5_tokenizer *t5 = NULL;
 *     KX_TRY(kx_t5_tokenizer_open(&t5, "model/tokenizer_2", err));
 *     int32_t ids[512];
 *     kx_token_count count;
 *     KX_TRY(kx_t5_tokenizer_encode(t5, prompt, strlen(prompt), 512, ids, &count, err));
 *
 * A prompt goes through: literal added tokens ("</s>") are cut out; the normaliser's steps (character map,
 * white space stripped, runs of spaces replaced), as far as the file has them; spaces become the marker
 * U+2581, one is put in front of the text, and words begin at markers; each word is covered by pieces with
 * Viterbi. The ids are those of the Hugging Face tokenizers library (specification 3.2 with 0.1, items 4 to
 * 6).
 *
 * Read only once open: threads may share it. */
#pragma once

#include "engine/text/tokenizer_files.h"
#include "engine/text/tokens.h"

typedef struct kx_t5_tokenizer kx_t5_tokenizer;

/* Errors: KX_ERR_MODEL names the file and what is wrong with it. Free with kx_t5_tokenizer_close. */
kx_status kx_t5_tokenizer_open(kx_t5_tokenizer **out, const char *folder, kx_error *err);
void kx_t5_tokenizer_close(kx_t5_tokenizer *tokenizer);

/* The same from files in memory. */
typedef struct kx_t5_tokenizer_files {
    kx_tokenizer_file whole; /* tokenizer.json */
    kx_tokenizer_file config, special;
} kx_t5_tokenizer_files;
kx_status kx_t5_tokenizer_read(kx_t5_tokenizer **out, const kx_t5_tokenizer_files *files, kx_error *err);

/* text (bytes long, UTF-8) -> ids (max_tokens): tokens, end token, padding. A prompt that is too long keeps
 * its first max_tokens - 1 tokens. max_tokens >= 1. Errors: KX_ERR_INPUT for text that is not UTF-8, longer
 * than KX_LIMIT_PROMPT_BYTES, or that normalisation makes longer than four times that. */
kx_status kx_t5_tokenizer_encode(const kx_t5_tokenizer *tokenizer, const char *text, size_t bytes,
                                 size_t max_tokens, int32_t *ids, kx_token_count *count, kx_error *err);

size_t kx_t5_tokenizer_bytes(const kx_t5_tokenizer *tokenizer);           /* of memory that it holds */
size_t kx_t5_tokenizer_vocabulary_size(const kx_t5_tokenizer *tokenizer); /* pieces and added tokens */
size_t kx_t5_tokenizer_max_tokens(const kx_t5_tokenizer *tokenizer);      /* as its files say, else 512 */
int32_t kx_t5_tokenizer_max_id(const kx_t5_tokenizer *tokenizer); /* the embedding must have this row */
int32_t kx_t5_tokenizer_eos_id(const kx_t5_tokenizer *tokenizer);
int32_t kx_t5_tokenizer_pad_id(const kx_t5_tokenizer *tokenizer);
int32_t kx_t5_tokenizer_unk_id(const kx_t5_tokenizer *tokenizer);
