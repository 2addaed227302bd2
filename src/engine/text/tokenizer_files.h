/* Reading the folders of tokenizers. A folder holds some of
 *
 *     vocab.json               piece -> id                     CLIP
 *     merges.txt               a merge of two pieces a line    CLIP
 *     tokenizer.json           everything in one file          T5, and CLIP in newer folders
 *     tokenizer_config.json    names of the special tokens, model_max_length, flags of the added tokens
 *     special_tokens_map.json  names of the special tokens
 */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "engine/text/added_tokens.h"

#include <jansson.h>

enum {
    KX_TOKEN_ID_END = 1 << 24, /* ids are below; real vocabularies are a hundredth of it */
    KX_ADDED_TOKENS_MAX = 1 << 16
};

/* One file in memory. text.data is NULL where the file is absent. */
typedef struct kx_tokenizer_file {
    char *path;
    kx_bytes text;
} kx_tokenizer_file;

/* Reads folder/name; a file that does not exist is absent, one that cannot be read is KX_ERR_MODEL. */
kx_status kx_tokenizer_file_read(kx_tokenizer_file *file, const char *folder, const char *name,
                                 kx_error *err);
void kx_tokenizer_file_free(kx_tokenizer_file *file);

/* tokenizer_config.json and special_tokens_map.json as parsed objects; NULL where absent. */
typedef struct kx_tokenizer_config {
    json_t *config;
    json_t *special;
} kx_tokenizer_config;

kx_status kx_tokenizer_config_read(kx_tokenizer_config *config, const kx_tokenizer_file *config_file,
                                   const kx_tokenizer_file *special_file, kx_error *err);
void kx_tokenizer_config_free(kx_tokenizer_config *config);

/* What the files say about `role` ("eos_token"): the configuration first, then the map, then `fallback`. Only
 * content, bytes and the flags are set; borrowed from the configuration. A null counts as absent. */
kx_status kx_tokenizer_config_token(const kx_tokenizer_config *config, const char *role, const char *fallback,
                                    kx_added_token *token, kx_error *err);
/* model_max_length where it is a whole number from `lowest` to 2^20, else `fallback` (larger numbers mean "no
 * limit"). */
size_t kx_tokenizer_config_max_tokens(const kx_tokenizer_config *config, size_t lowest, size_t fallback);

/* Reads content and flags from an object such as {"content": "</s>", "lstrip": false, ...}. */
kx_status kx_added_token_read(kx_added_token *token, const json_t *object, const char *name, kx_error *err);

/* An array or object's member that must be of a kind; KX_ERR_MODEL "NAME: KEY: expected a string, found
 * null". */
kx_status kx_json_member(const json_t **out, const json_t *object, const char *key, json_type kind,
                         const char *name, kx_error *err);
/* A whole number 0 <= id < KX_TOKEN_ID_END. */
kx_status kx_token_id_read(int32_t *id, const json_t *value, const char *name, const char *where,
                           kx_error *err);

/* The ids that are taken, one bit each. */
typedef struct kx_token_id_set {
    uint8_t *bits;
} kx_token_id_set;

kx_status kx_token_id_set_create(kx_token_id_set *set, kx_error *err);
void kx_token_id_set_free(kx_token_id_set *set);
/* False when the id was there already. */
bool kx_token_id_set_add(kx_token_id_set *set, int32_t id);
