/* Building the T5 tokenizer from tokenizer.json. What the file asks for and this code does not know is an
 * error that names it, since ids that are slightly wrong would go unnoticed. */
#include "base/json_file.h"
#include "engine/text/t5_internal.h"
#include "engine/text/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T5_MAX_TOKENS = 512, SEQUENCE_DEPTH_MAX = 4 };

static const double unk_penalty = 10.0; /* SentencePiece's kUnkPenalty */

typedef struct t5_loader {
    kx_t5_tokenizer *tokenizer;
    json_t *root;
    const char *name; /* the tokenizer's copy of the path */
    kx_tokenizer_config config;
    kx_token_id_set added_ids;
    kx_added_token *added;
    size_t num_added;
} t5_loader;

static kx_status type_of(const char **type, const json_t *object, const char *what, const char *name,
                         kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *value;
    KX_FAIL_IF(!json_is_object(object), err, KX_ERR_MODEL, "%s: \"%s\": expected an object, found %s", name,
               what, kx_json_kind(object));
    value = json_object_get(object, "type");
    KX_FAIL_IF(!json_is_string(value), err, KX_ERR_MODEL,
               "%s: \"%s\": the type is missing: expected a string, found %s", name, what,
               kx_json_kind(value));
    *type = json_string_value(value);
out:
    return status;
}

/* An optional flag: absent and null are `fallback`. */
static kx_status read_flag(bool *flag, const json_t *object, const char *key, bool fallback, const char *name,
                           kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *value = json_object_get(object, key);
    *flag = fallback;
    if (value == NULL || json_is_null(value)) goto out;
    KX_FAIL_IF(!json_is_boolean(value), err, KX_ERR_MODEL, "%s: \"%s\": expected true or false, found %s",
               name, key, kx_json_kind(value));
    *flag = json_is_true(value);
out:
    return status;
}

/* ---- The model: pieces and scores ---- */

static kx_status read_piece(t5_loader *loader, const json_t *entry, size_t id, kx_trie_key *key,
                            double *score, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *piece = json_array_get(entry, 0), *number = json_array_get(entry, 1);
    KX_FAIL_IF(!json_is_array(entry) || json_array_size(entry) != 2 || !json_is_string(piece) ||
                   !json_is_number(number),
               err, KX_ERR_MODEL, "%s: entry %zu of the vocabulary: expected a piece and its score",
               loader->name, id);
    *score = json_number_value(number);
    KX_FAIL_IF(!isfinite(*score), err, KX_ERR_MODEL,
               "%s: entry %zu of the vocabulary: the score is not finite", loader->name, id);
    *key = (kx_trie_key){(const uint8_t *)json_string_value(piece), json_string_length(piece), (int32_t)id};
out:
    return status;
}

static kx_status read_vocabulary(t5_loader *loader, const json_t *vocab, kx_error *err)
{
    kx_status status = KX_OK;
    kx_t5_tokenizer *tokenizer = loader->tokenizer;
    size_t count = json_array_size(vocab);
    double *scores, lowest = 0;
    kx_trie_key *keys = NULL;
    char what[512];
    KX_FAIL_IF(count == 0 || count > KX_TOKEN_ID_END, err, KX_ERR_MODEL,
               "%s: the vocabulary has %zu entries, 1 to %d are expected", loader->name, count,
               KX_TOKEN_ID_END);
    keys = calloc(count, sizeof keys[0]);
    KX_FAIL_IF(keys == NULL, err, KX_ERR_MEMORY, "out of memory: %zu pieces", count);
    KX_TRY(KX_ARENA_ARRAY(&tokenizer->arena, count, &scores, err));
    for (size_t id = 0; id < count; id++) {
        KX_TRY(read_piece(loader, json_array_get(vocab, id), id, &keys[id], &scores[id], err));
        if (id == 0 || scores[id] < lowest) lowest = scores[id];
    }
    snprintf(what, sizeof what, "%s: the vocabulary", loader->name);
    KX_TRY(kx_trie_build(&tokenizer->model.trie, keys, count, &tokenizer->arena, what, err));
    tokenizer->model.scores = scores;
    tokenizer->model.unk_score = lowest - unk_penalty;
    tokenizer->vocabulary = count;
    tokenizer->max_id = (int32_t)count - 1;
out:
    free(keys);
    return status;
}

static kx_status read_model(t5_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *model = json_object_get(loader->root, "model"), *vocab;
    const char *type;
    bool falls_back;
    int32_t unk_id;
    KX_TRY(type_of(&type, model, "model", loader->name, err));
    KX_FAIL_IF(strcmp(type, "Unigram") != 0, err, KX_ERR_MODEL,
               "%s: the model type is not Unigram, which the T5 tokenizer is", loader->name);
    KX_TRY(read_flag(&falls_back, model, "byte_fallback", false, loader->name, err));
    KX_FAIL_IF(falls_back, err, KX_ERR_MODEL, "%s: \"byte_fallback\" is true, which is not supported",
               loader->name);
    KX_TRY(kx_json_member(&vocab, model, "vocab", JSON_ARRAY, loader->name, err));
    KX_TRY(read_vocabulary(loader, vocab, err));
    KX_TRY(kx_token_id_read(&unk_id, json_object_get(model, "unk_id"), loader->name, "\"unk_id\"", err));
    KX_FAIL_IF((size_t)unk_id >= json_array_size(vocab), err, KX_ERR_MODEL,
               "%s: \"unk_id\" is %d, the vocabulary has %zu entries", loader->name, unk_id,
               json_array_size(vocab));
    loader->tokenizer->model.unk_id = unk_id;
out:
    return status;
}

/* ---- The normaliser ---- */

static kx_status read_replace(t5_loader *loader, t5_step *step, const json_t *object, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *pattern = json_object_get(json_object_get(object, "pattern"), "Regex"), *content;
    KX_FAIL_IF(
        !json_is_string(pattern) || strcmp(json_string_value(pattern), " {2,}") != 0, err, KX_ERR_MODEL,
        "%s: the normalizer Replace: only the pattern {\"Regex\": \" {2,}\"} is supported", loader->name);
    KX_TRY(kx_json_member(&content, object, "content", JSON_STRING, loader->name, err));
    KX_FAIL_IF(json_string_length(content) > T5_REPLACEMENT_BYTES, err, KX_ERR_MODEL,
               "%s: the normalizer Replace: the content has %zu bytes, at most %d are supported",
               loader->name, json_string_length(content), T5_REPLACEMENT_BYTES);
    step->kind = T5_STEP_SPACES;
    memcpy(step->replacement, json_string_value(content), json_string_length(content) + 1);
out:
    return status;
}

static kx_status read_charsmap(t5_loader *loader, t5_step *step, const json_t *object, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *map = json_object_get(object, "precompiled_charsmap");
    step->kind = T5_STEP_CHARSMAP;
    if (json_is_null(map) || (json_is_string(map) && json_string_length(map) == 0))
        goto out; /* changes nothing */
    KX_FAIL_IF(!json_is_string(map), err, KX_ERR_MODEL,
               "%s: \"precompiled_charsmap\": expected a string, found %s", loader->name, kx_json_kind(map));
    KX_TRY(kx_charsmap_read_base64(&step->charsmap, json_string_value(map), json_string_length(map),
                                   loader->name, &loader->tokenizer->arena, err));
out:
    return status;
}

static kx_status read_normalizer(t5_loader *loader, const json_t *object, int depth, kx_error *err)
{
    kx_status status = KX_OK;
    kx_t5_tokenizer *tokenizer = loader->tokenizer;
    const char *type;
    if (object == NULL || json_is_null(object)) goto out;
    KX_TRY(type_of(&type, object, "normalizer", loader->name, err));
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list;
        KX_FAIL_IF(depth >= SEQUENCE_DEPTH_MAX, err, KX_ERR_MODEL,
                   "%s: \"normalizer\": sequences nested deeper than %d", loader->name, SEQUENCE_DEPTH_MAX);
        KX_TRY(kx_json_member(&list, object, "normalizers", JSON_ARRAY, loader->name, err));
        for (size_t i = 0; i < json_array_size(list); i++)
            KX_TRY(read_normalizer(loader, json_array_get(list, i), depth + 1, err));
        goto out;
    }
    KX_FAIL_IF(tokenizer->num_steps == T5_STEPS_MAX, err, KX_ERR_MODEL,
               "%s: \"normalizer\": more than %d steps are not supported", loader->name, T5_STEPS_MAX);
    t5_step *step = &tokenizer->steps[tokenizer->num_steps++];
    if (strcmp(type, "Precompiled") == 0) {
        KX_TRY(read_charsmap(loader, step, object, err));
    } else if (strcmp(type, "Replace") == 0) {
        KX_TRY(read_replace(loader, step, object, err));
    } else if (strcmp(type, "Strip") == 0) {
        step->kind = T5_STEP_STRIP;
        KX_TRY(read_flag(&step->strips_left, object, "strip_left", true, loader->name, err));
        KX_TRY(read_flag(&step->strips_right, object, "strip_right", true, loader->name, err));
    } else {
        KX_FAIL(err, KX_ERR_MODEL,
                "%s: \"normalizer\": a step is not Precompiled, Strip, Replace or Sequence", loader->name);
    }
out:
    return status;
}

/* ---- Words ---- */

static kx_status read_metaspace(t5_loader *loader, const json_t *object, kx_error *err)
{
    kx_status status = KX_OK;
    kx_t5_tokenizer *tokenizer = loader->tokenizer;
    const json_t *marker = json_object_get(object, "replacement"),
                 *scheme = json_object_get(object, "prepend_scheme");
    const char *text = marker == NULL ? "\xe2\x96\x81" : json_string_value(marker);
    bool prefix;
    size_t length;
    KX_FAIL_IF(text == NULL || text[0] == 0 ||
                   (kx_utf8_decode((const uint8_t *)text, &length), text[length] != 0),
               err, KX_ERR_MODEL, "%s: \"replacement\" of Metaspace: expected one character", loader->name);
    memcpy(tokenizer->marker, text, length + 1);
    tokenizer->marker_bytes = length;
    KX_TRY(read_flag(&tokenizer->cuts_at_markers, object, "split", true, loader->name, err));
    KX_TRY(read_flag(&prefix, object, "add_prefix_space", true, loader->name, err));
    tokenizer->prepend = prefix ? T5_PREPEND_ALWAYS : T5_PREPEND_NEVER;
    if (scheme == NULL || json_is_null(scheme)) goto out;
    const char *said = json_is_string(scheme) ? json_string_value(scheme) : "";
    bool first = strcmp(said, "first") == 0, always = strcmp(said, "always") == 0;
    KX_FAIL_IF(!first && !always && strcmp(said, "never") != 0, err, KX_ERR_MODEL,
               "%s: \"prepend_scheme\" of Metaspace: expected \"first\", \"always\" or \"never\"",
               loader->name);
    tokenizer->prepend = first ? T5_PREPEND_FIRST : always ? T5_PREPEND_ALWAYS : T5_PREPEND_NEVER;
out:
    return status;
}

/* Metaspace, or the older Sequence [WhitespaceSplit, Metaspace]. */
static kx_status read_pre_tokenizer(t5_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *object = json_object_get(loader->root, "pre_tokenizer");
    const char *type;
    KX_TRY(type_of(&type, object, "pre_tokenizer", loader->name, err));
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list;
        KX_TRY(kx_json_member(&list, object, "pretokenizers", JSON_ARRAY, loader->name, err));
        KX_TRY(type_of(&type, json_array_get(list, 0), "pre_tokenizer", loader->name, err));
        loader->tokenizer->cuts_at_white_space = strcmp(type, "WhitespaceSplit") == 0;
        KX_FAIL_IF(json_array_size(list) != 1u + loader->tokenizer->cuts_at_white_space, err, KX_ERR_MODEL,
                   "%s: \"pre_tokenizer\": only Metaspace, also behind WhitespaceSplit, is supported",
                   loader->name);
        object = json_array_get(list, json_array_size(list) - 1);
        KX_TRY(type_of(&type, object, "pre_tokenizer", loader->name, err));
    }
    KX_FAIL_IF(strcmp(type, "Metaspace") != 0, err, KX_ERR_MODEL,
               "%s: \"pre_tokenizer\": only Metaspace, also behind WhitespaceSplit, is supported",
               loader->name);
    KX_TRY(read_metaspace(loader, object, err));
out:
    return status;
}

/* ---- Added and special tokens ---- */

/* The id of a text that is exactly one piece or added token, else -1. */
static int32_t id_of(const t5_loader *loader, const char *text, size_t bytes)
{
    size_t length = 0;
    int32_t id = kx_trie_longest(&loader->tokenizer->model.trie, (const uint8_t *)text, bytes, &length);
    if (id >= 0 && length == bytes) return id;
    for (size_t i = 0; i < loader->num_added; i++)
        if (loader->added[i].bytes == bytes && memcmp(loader->added[i].content, text, bytes) == 0)
            return loader->added[i].id;
    return -1;
}

static kx_status read_added_token(t5_loader *loader, const json_t *value, kx_added_token *token,
                                  kx_error *err)
{
    kx_status status = KX_OK;
    kx_t5_tokenizer *tokenizer = loader->tokenizer;
    size_t pieces = (size_t)tokenizer->max_id + 1, length = 0;
    KX_TRY(kx_added_token_read(token, value, loader->name, err));
    KX_TRY(kx_token_id_read(&token->id, json_object_get(value, "id"), loader->name, "an added token", err));
    KX_FAIL_IF(!kx_token_id_set_add(&loader->added_ids, token->id), err, KX_ERR_MODEL,
               "%s: two added tokens have the id %d", loader->name, token->id);
    int32_t known =
        kx_trie_longest(&tokenizer->model.trie, (const uint8_t *)token->content, token->bytes, &length);
    if (length != token->bytes) known = -1;
    KX_FAIL_IF(known >= 0 && known != token->id, err, KX_ERR_MODEL,
               "%s: the added token with id %d has id %d in the vocabulary", loader->name, token->id, known);
    KX_FAIL_IF(known < 0 && (size_t)token->id < pieces, err, KX_ERR_MODEL,
               "%s: the id %d of an added token belongs to another piece", loader->name, token->id);
    if (known < 0) tokenizer->vocabulary++;
out:
    return status;
}

static kx_status read_added_tokens(t5_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *list = json_object_get(loader->root, "added_tokens");
    int32_t highest = loader->tokenizer->max_id;
    size_t count = json_array_size(list);
    KX_FAIL_IF(list != NULL && !json_is_array(list), err, KX_ERR_MODEL,
               "%s: \"added_tokens\": expected an array, found %s", loader->name, kx_json_kind(list));
    KX_FAIL_IF(count > KX_ADDED_TOKENS_MAX, err, KX_ERR_MODEL,
               "%s: %zu added tokens, at most %d are expected", loader->name, count, KX_ADDED_TOKENS_MAX);
    loader->added = calloc(count + 1, sizeof loader->added[0]);
    KX_FAIL_IF(loader->added == NULL, err, KX_ERR_MEMORY, "out of memory: %zu added tokens", count);
    for (; loader->num_added < count; loader->num_added++) {
        kx_added_token *token = &loader->added[loader->num_added];
        KX_TRY(read_added_token(loader, json_array_get(list, loader->num_added), token, err));
        if (token->id > highest) highest = token->id;
    }
    loader->tokenizer->max_id = highest;
out:
    return status;
}

/* The tokens that are looked for in normalised text are normalised themselves. */
static kx_status build_added(t5_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    kx_t5_tokenizer *tokenizer = loader->tokenizer;
    char what[512];
    kx_arena contents = {0};
    kx_bytes normal = {.cap = 1u << 20}, other = {.cap = 1u << 20};
    snprintf(what, sizeof what, "%s: added tokens", loader->name);
    for (size_t i = 0; i < loader->num_added; i++) {
        kx_added_token *token = &loader->added[i];
        char *copy;
        if (!token->normalized || token->bytes == 0) continue;
        KX_FAIL_IF(token->bytes > KX_TRIE_KEY_BYTES, err, KX_ERR_MODEL,
                   "%s: the token with id %d has %zu bytes, at most %d are expected", what, token->id,
                   token->bytes, KX_TRIE_KEY_BYTES);
        KX_TRY(
            kx_t5_normalize(tokenizer, (const uint8_t *)token->content, token->bytes, &normal, &other, err));
        KX_TRY(kx_arena_copy_text(&contents, (const char *)normal.data, normal.size, &copy, err));
        token->content = copy;
        token->bytes = normal.size;
    }
    KX_TRY(kx_added_tokens_build(&tokenizer->raw, loader->added, loader->num_added, false, &tokenizer->arena,
                                 what, err));
    KX_TRY(kx_added_tokens_build(&tokenizer->normalized, loader->added, loader->num_added, true,
                                 &tokenizer->arena, what, err));
out:
    kx_arena_free(&contents);
    kx_bytes_free(&normal);
    kx_bytes_free(&other);
    return status;
}

static kx_status read_role(t5_loader *loader, const char *role, const char *fallback, int32_t *id,
                           kx_error *err)
{
    kx_status status = KX_OK;
    kx_added_token token;
    KX_TRY(kx_tokenizer_config_token(&loader->config, role, fallback, &token, err));
    *id = id_of(loader, token.content, token.bytes);
    KX_FAIL_IF(*id < 0, err, KX_ERR_MODEL, "%s: the vocabulary lacks the %s, which is \"%.*s\"", loader->name,
               role, token.bytes < 64 ? (int)token.bytes : 0, token.content);
out:
    return status;
}

kx_status kx_t5_tokenizer_read(kx_t5_tokenizer **out, const kx_t5_tokenizer_files *files, kx_error *err)
{
    kx_status status = KX_OK;
    t5_loader loader = {0};
    const kx_tokenizer_file *file = &files->whole;
    *out = NULL;
    kx_t5_tokenizer *tokenizer = loader.tokenizer = calloc(1, sizeof *tokenizer);
    KX_FAIL_IF(tokenizer == NULL, err, KX_ERR_MEMORY, "out of memory: a tokenizer");
    KX_TRY(kx_arena_copy_text(&tokenizer->arena, file->path, strlen(file->path), &tokenizer->name, err));
    loader.name = tokenizer->name;
    KX_FAIL_IF(file->text.data == NULL, err, KX_ERR_MODEL, "%s: the file is missing", file->path);
    KX_TRY(kx_token_id_set_create(&loader.added_ids, err));
    KX_TRY(kx_json_text_load(&loader.root, (const char *)file->text.data, file->text.size, file->path,
                             KX_ERR_MODEL, err));
    KX_FAIL_IF(!json_is_object(loader.root), err, KX_ERR_MODEL, "%s: expected an object, found %s",
               file->path, kx_json_kind(loader.root));
    KX_TRY(kx_tokenizer_config_read(&loader.config, &files->config, &files->special, err));
    KX_TRY(read_model(&loader, err));
    KX_TRY(read_normalizer(&loader, json_object_get(loader.root, "normalizer"), 0, err));
    KX_TRY(read_pre_tokenizer(&loader, err));
    KX_TRY(read_added_tokens(&loader, err));
    KX_TRY(read_role(&loader, "eos_token", "</s>", &tokenizer->eos_id, err));
    KX_TRY(read_role(&loader, "pad_token", "<pad>", &tokenizer->pad_id, err));
    tokenizer->max_tokens = kx_tokenizer_config_max_tokens(&loader.config, 1, T5_MAX_TOKENS);
    KX_TRY(build_added(&loader, err));
    *out = tokenizer;
    loader.tokenizer = NULL;
out:
    kx_t5_tokenizer_close(loader.tokenizer);
    kx_token_id_set_free(&loader.added_ids);
    kx_tokenizer_config_free(&loader.config);
    json_decref(loader.root);
    free(loader.added);
    return status;
}

kx_status kx_t5_tokenizer_open(kx_t5_tokenizer **out, const char *folder, kx_error *err)
{
    kx_status status = KX_OK;
    kx_t5_tokenizer_files files = {0};
    *out = NULL;
    KX_TRY(kx_tokenizer_file_read(&files.whole, folder, "tokenizer.json", err));
    KX_TRY(kx_tokenizer_file_read(&files.config, folder, "tokenizer_config.json", err));
    KX_TRY(kx_tokenizer_file_read(&files.special, folder, "special_tokens_map.json", err));
    KX_TRY(kx_t5_tokenizer_read(out, &files, err));
out:
    kx_tokenizer_file_free(&files.whole);
    kx_tokenizer_file_free(&files.config);
    kx_tokenizer_file_free(&files.special);
    return status;
}
