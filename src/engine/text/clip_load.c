/* Building the CLIP tokenizer from its files. The vocabulary's strings are needed only here: the finished
 * tokenizer knows 512 symbols (a byte, inside a word and at its end) and merges from pairs of ids to ids. */
#include "base/json_file.h"
#include "engine/text/clip_internal.h"
#include "engine/text/utf8.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIP_MAX_TOKENS = 77, MERGE_PIECE_BYTES = KX_TRIE_KEY_BYTES };

typedef struct clip_loader {
    kx_clip_tokenizer *tokenizer;
    const kx_clip_tokenizer_files *files;
    json_t *root;        /* of vocab.json or tokenizer.json */
    const json_t *vocab; /* piece -> id */
    const char *vocab_name;
    bool is_whole; /* tokenizer.json */
    kx_tokenizer_config config;
    kx_token_id_set ids;
    kx_added_token *added;
    size_t num_added;
} clip_loader;

/* ---- The vocabulary ---- */

static kx_status open_vocabulary(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_clip_tokenizer_files *files = loader->files;
    loader->is_whole = files->vocab.text.data == NULL && files->merges.text.data == NULL;
    const kx_tokenizer_file *file = loader->is_whole ? &files->whole : &files->vocab;
    const kx_tokenizer_file *missing = files->vocab.text.data == NULL ? &files->vocab : &files->merges;
    KX_FAIL_IF(file->text.data == NULL || (!loader->is_whole && files->merges.text.data == NULL), err,
               KX_ERR_MODEL, "%s: the file is missing%s", missing->path,
               loader->is_whole ? ", and so are merges.txt and tokenizer.json beside it" : "");
    KX_TRY(kx_json_text_load(&loader->root, (const char *)file->text.data, file->text.size, file->path,
                             KX_ERR_MODEL, err));
    loader->vocab = loader->root;
    loader->vocab_name = file->path;
    if (loader->is_whole) {
        const json_t *model, *type;
        KX_TRY(kx_json_member(&model, loader->root, "model", JSON_OBJECT, file->path, err));
        KX_TRY(kx_json_member(&type, model, "type", JSON_STRING, file->path, err));
        KX_FAIL_IF(strcmp(json_string_value(type), "BPE") != 0, err, KX_ERR_MODEL,
                   "%s: the model type is not BPE, which the CLIP tokenizer is", file->path);
        KX_TRY(kx_json_member(&loader->vocab, model, "vocab", JSON_OBJECT, file->path, err));
    }
    KX_FAIL_IF(!json_is_object(loader->vocab), err, KX_ERR_MODEL, "%s: expected an object, found %s",
               file->path, kx_json_kind(loader->vocab));
out:
    return status;
}

static kx_status check_vocabulary(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const char *piece;
    json_t *value;
    size_t number = 0;
    json_object_foreach((json_t *)(uintptr_t)loader->vocab, piece, value)
    {
        int32_t id;
        char where[48];
        snprintf(where, sizeof where, "entry %zu of the vocabulary", number++);
        KX_TRY(kx_token_id_read(&id, value, loader->vocab_name, where, err));
        KX_FAIL_IF(!kx_token_id_set_add(&loader->ids, id), err, KX_ERR_MODEL,
                   "%s: %s: the id %d stands twice", loader->vocab_name, where, id);
        if (id > loader->tokenizer->max_id) loader->tokenizer->max_id = id;
    }
    KX_FAIL_IF(number == 0, err, KX_ERR_MODEL, "%s: the vocabulary is empty", loader->vocab_name);
    loader->tokenizer->vocabulary = number;
out:
    return status;
}

/* -1 where the piece is not in the vocabulary, whose ids are checked. */
static int32_t id_of(const clip_loader *loader, const char *piece)
{
    const json_t *id = json_object_get(loader->vocab, piece);
    return id == NULL ? -1 : (int32_t)json_integer_value(id);
}

static void fill_symbols(clip_loader *loader)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char piece[16] = {0};
        size_t length = kx_utf8_encode(kx_bpe_byte_symbol((uint8_t)byte), (uint8_t *)piece);
        for (int last = 0; last < 2; last++) {
            if (last) memcpy(piece + length, "</w>", 5);
            int32_t id = id_of(loader, piece);
            loader->tokenizer->bpe.symbols[last][byte] = id >= 0 ? id : loader->tokenizer->unk_id;
        }
    }
}

/* ---- Merges ---- */

/* `where` is "line 7" or "merge 7". The pieces are not terminated. */
static kx_status put_merge(clip_loader *loader, const char *left, size_t left_bytes, const char *right,
                           size_t right_bytes, uint32_t rank, const char *name, const char *where,
                           kx_error *err)
{
    kx_status status = KX_OK;
    char piece[2 * MERGE_PIECE_BYTES + 1];
    KX_FAIL_IF(left_bytes == 0 || right_bytes == 0 || left_bytes > MERGE_PIECE_BYTES ||
                   right_bytes > MERGE_PIECE_BYTES || memchr(right, ' ', right_bytes) != NULL,
               err, KX_ERR_MODEL, "%s: %s: expected two pieces of at most %d bytes with one space between",
               name, where, MERGE_PIECE_BYTES);
    memcpy(piece, left, left_bytes);
    piece[left_bytes] = 0;
    int32_t left_id = id_of(loader, piece);
    memcpy(piece + left_bytes, right, right_bytes);
    piece[left_bytes + right_bytes] = 0;
    int32_t right_id = id_of(loader, piece + left_bytes), result = id_of(loader, piece);
    KX_FAIL_IF(left_id < 0 || right_id < 0 || result < 0, err, KX_ERR_MODEL,
               "%s: %s: the %s piece is not in the vocabulary", name, where,
               left_id < 0    ? "left"
               : right_id < 0 ? "right"
                              : "merged");
    kx_bpe_put_merge(&loader->tokenizer->bpe, (kx_bpe_merge){.left = (uint32_t)left_id,
                                                             .right = (uint32_t)right_id,
                                                             .rank = rank,
                                                             .result = result});
out:
    return status;
}

static kx_status read_merge_lines(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const char *name = loader->files->merges.path;
    const char *text = (const char *)loader->files->merges.text.data;
    size_t bytes = loader->files->merges.text.size, lines = 1;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    KX_TRY(kx_bpe_create_merges(&loader->tokenizer->bpe, lines, &loader->tokenizer->arena, err));
    uint32_t rank = 0;
    const char *end = text + bytes;
    for (size_t line = 1; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text)), *next;
        next = stop == NULL ? end : stop + 1;
        if (stop == NULL) stop = end;
        if (stop > text && stop[-1] == '\r') stop--;
        size_t length = (size_t)(stop - text);
        bool is_header = line == 1 && length >= 8 && memcmp(text, "#version", 8) == 0;
        if (length > 0 && !is_header) {
            char where[32];
            snprintf(where, sizeof where, "line %zu", line);
            const char *space = memchr(text, ' ', length);
            size_t left = space == NULL ? 0 : (size_t)(space - text);
            KX_TRY(put_merge(loader, text, left, text + left + 1, left == 0 ? 0 : length - left - 1, rank++,
                             name, where, err));
        }
        text = next;
    }
out:
    return status;
}

/* "a b" or ["a", "b"], in tokenizer.json. */
static kx_status read_merge_array(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *merges;
    const char *name = loader->vocab_name;
    KX_TRY(kx_json_member(&merges, json_object_get(loader->root, "model"), "merges", JSON_ARRAY, name, err));
    size_t count = json_array_size(merges);
    KX_TRY(kx_bpe_create_merges(&loader->tokenizer->bpe, count, &loader->tokenizer->arena, err));
    for (size_t i = 0; i < count; i++) {
        const json_t *merge = json_array_get(merges, i);
        const json_t *first = json_is_array(merge) ? json_array_get(merge, 0) : merge;
        const json_t *second = json_is_array(merge) ? json_array_get(merge, 1) : NULL;
        char where[32];
        snprintf(where, sizeof where, "merge %zu", i);
        KX_FAIL_IF(!json_is_string(first) || (json_is_array(merge) && !json_is_string(second)), err,
                   KX_ERR_MODEL, "%s: %s: expected two pieces", name, where);
        const char *left = json_string_value(first), *right = json_string_value(second);
        size_t left_bytes = json_string_length(first), right_bytes = json_string_length(second);
        if (second == NULL) {
            const char *space = strchr(left, ' ');
            KX_FAIL_IF(space == NULL, err, KX_ERR_MODEL, "%s: %s: expected two pieces", name, where);
            right = space + 1;
            right_bytes = left_bytes - (size_t)(space - left) - 1;
            left_bytes = (size_t)(space - left);
        }
        KX_TRY(put_merge(loader, left, left_bytes, right, right_bytes, (uint32_t)i, name, where, err));
    }
out:
    return status;
}

/* ---- Special and added tokens ---- */

static int32_t find_added(const clip_loader *loader, const kx_added_token *token)
{
    for (size_t i = 0; i < loader->num_added; i++)
        if (loader->added[i].bytes == token->bytes &&
            memcmp(loader->added[i].content, token->content, token->bytes) == 0)
            return loader->added[i].id;
    return -1;
}

/* An added token whose id is known: the vocabulary has it under this id, or the id is free. */
static kx_status put_added(clip_loader *loader, kx_added_token token, const char *name, kx_error *err)
{
    kx_status status = KX_OK;
    int32_t known = id_of(loader, token.content);
    KX_FAIL_IF(known >= 0 && known != token.id, err, KX_ERR_MODEL,
               "%s: the added token with id %d has id %d in the vocabulary", name, token.id, known);
    if (known < 0) {
        KX_FAIL_IF(!kx_token_id_set_add(&loader->ids, token.id), err, KX_ERR_MODEL,
                   "%s: the id %d of an added token belongs to another piece", name, token.id);
        if (token.id > loader->tokenizer->max_id) loader->tokenizer->max_id = token.id;
        loader->tokenizer->vocabulary++;
    }
    loader->added[loader->num_added++] = token;
out:
    return status;
}

static kx_status reserve_added(clip_loader *loader, size_t count, const char *name, kx_error *err)
{
    enum { ROLES = 4 };
    kx_status status = KX_OK;
    KX_FAIL_IF(count > KX_ADDED_TOKENS_MAX, err, KX_ERR_MODEL,
               "%s: %zu added tokens, at most %d are expected", name, count, KX_ADDED_TOKENS_MAX);
    loader->added = calloc(count + ROLES, sizeof loader->added[0]);
    KX_FAIL_IF(loader->added == NULL, err, KX_ERR_MEMORY, "out of memory: %zu added tokens", count);
out:
    return status;
}

/* "added_tokens_decoder": {"49406": {"content": ...}} of tokenizer_config.json. */
static kx_status read_added_decoder(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const char *name = loader->files->config.path, *key;
    json_t *decoder = json_object_get(loader->config.config, "added_tokens_decoder"), *value;
    KX_TRY(reserve_added(loader, json_object_size(decoder), name, err));
    KX_FAIL_IF(decoder != NULL && !json_is_object(decoder), err, KX_ERR_MODEL,
               "%s: \"added_tokens_decoder\": expected an object, found %s", name, kx_json_kind(decoder));
    json_object_foreach(decoder, key, value)
    {
        kx_added_token token = {0};
        size_t digits = strspn(key, "0123456789");
        unsigned long id = digits < 1 || digits > 9 || key[digits] != 0 ? ULONG_MAX : strtoul(key, NULL, 10);
        KX_FAIL_IF(id >= KX_TOKEN_ID_END, err, KX_ERR_MODEL,
                   "%s: \"added_tokens_decoder\": a key is not an id between 0 and %d", name,
                   KX_TOKEN_ID_END - 1);
        KX_TRY(kx_added_token_read(&token, value, name, err));
        token.id = (int32_t)id;
        KX_TRY(put_added(loader, token, name, err));
    }
out:
    return status;
}

/* "added_tokens": [{"id": 49406, "content": ...}] of tokenizer.json. */
static kx_status read_added_array(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    const char *name = loader->vocab_name;
    const json_t *list = json_object_get(loader->root, "added_tokens");
    KX_TRY(reserve_added(loader, json_array_size(list), name, err));
    KX_FAIL_IF(list != NULL && !json_is_array(list), err, KX_ERR_MODEL,
               "%s: \"added_tokens\": expected an array, found %s", name, kx_json_kind(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        kx_added_token token = {0};
        const json_t *value = json_array_get(list, i);
        KX_TRY(kx_added_token_read(&token, value, name, err));
        KX_TRY(kx_token_id_read(&token.id, json_object_get(value, "id"), name, "an added token", err));
        KX_TRY(put_added(loader, token, name, err));
    }
out:
    return status;
}

/* Finds the id of a special token, and makes it one that is cut out of prompts. */
static kx_status read_role(clip_loader *loader, const char *role, const char *fallback, int32_t *id,
                           kx_added_token *token, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_tokenizer_config_token(&loader->config, role, fallback, token, err));
    *id = find_added(loader, token);
    if (*id >= 0) goto out;
    *id = id_of(loader, token->content);
    KX_FAIL_IF(*id < 0, err, KX_ERR_MODEL, "%s: the vocabulary lacks the %s, which is \"%.*s\"",
               loader->vocab_name, role, token->bytes < 64 ? (int)token->bytes : 0, token->content);
    token->id = *id;
    KX_TRY(put_added(loader, *token, loader->vocab_name, err));
out:
    return status;
}

static kx_status read_roles(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    kx_clip_tokenizer *tokenizer = loader->tokenizer;
    kx_added_token eos, other;
    KX_TRY(read_role(loader, "bos_token", "<|startoftext|>", &tokenizer->bos_id, &other, err));
    KX_TRY(read_role(loader, "eos_token", "<|endoftext|>", &tokenizer->eos_id, &eos, err));
    KX_TRY(read_role(loader, "pad_token", eos.content, &tokenizer->pad_id, &other, err));
    KX_TRY(read_role(loader, "unk_token", eos.content, &tokenizer->unk_id, &other, err));
    tokenizer->max_tokens = kx_tokenizer_config_max_tokens(&loader->config, 2, CLIP_MAX_TOKENS);
out:
    return status;
}

/* The tokens that are looked for in cleaned text are cleaned themselves. */
static kx_status build_added(clip_loader *loader, kx_error *err)
{
    kx_status status = KX_OK;
    kx_clip_tokenizer *tokenizer = loader->tokenizer;
    const char *name = loader->is_whole || loader->files->config.text.data == NULL
                           ? loader->vocab_name
                           : loader->files->config.path;
    char what[512];
    kx_arena contents = {0};
    kx_bytes codes = {.cap = 1u << 20}, clean = {.cap = 1u << 20};
    snprintf(what, sizeof what, "%s: added tokens", name);
    for (size_t i = 0; i < loader->num_added; i++) {
        kx_added_token *token = &loader->added[i];
        char *copy;
        if (!token->normalized || token->bytes == 0) continue;
        KX_FAIL_IF(token->bytes > KX_TRIE_KEY_BYTES, err, KX_ERR_MODEL,
                   "%s: the token with id %d has %zu bytes, at most %d are expected", what, token->id,
                   token->bytes, KX_TRIE_KEY_BYTES);
        KX_TRY(kx_clip_clean((const uint8_t *)token->content, token->bytes, &codes, &clean, err));
        KX_TRY(kx_arena_copy_text(&contents, (const char *)clean.data, clean.size, &copy, err));
        token->content = copy;
        token->bytes = clean.size;
    }
    KX_TRY(kx_added_tokens_build(&tokenizer->raw, loader->added, loader->num_added, false, &tokenizer->arena,
                                 what, err));
    KX_TRY(kx_added_tokens_build(&tokenizer->normalized, loader->added, loader->num_added, true,
                                 &tokenizer->arena, what, err));
out:
    kx_arena_free(&contents);
    kx_bytes_free(&codes);
    kx_bytes_free(&clean);
    return status;
}

kx_status kx_clip_tokenizer_read(kx_clip_tokenizer **out, const kx_clip_tokenizer_files *files, kx_error *err)
{
    kx_status status = KX_OK;
    clip_loader loader = {.files = files};
    *out = NULL;
    loader.tokenizer = calloc(1, sizeof *loader.tokenizer);
    KX_FAIL_IF(loader.tokenizer == NULL, err, KX_ERR_MEMORY, "out of memory: a tokenizer");
    KX_TRY(kx_token_id_set_create(&loader.ids, err));
    KX_TRY(open_vocabulary(&loader, err));
    KX_TRY(check_vocabulary(&loader, err));
    KX_TRY(kx_tokenizer_config_read(&loader.config, &files->config, &files->special, err));
    KX_TRY(loader.is_whole ? read_added_array(&loader, err) : read_added_decoder(&loader, err));
    KX_TRY(read_roles(&loader, err));
    fill_symbols(&loader);
    KX_TRY(loader.is_whole ? read_merge_array(&loader, err) : read_merge_lines(&loader, err));
    KX_TRY(build_added(&loader, err));
    *out = loader.tokenizer;
    loader.tokenizer = NULL;
out:
    kx_clip_tokenizer_close(loader.tokenizer);
    kx_token_id_set_free(&loader.ids);
    kx_tokenizer_config_free(&loader.config);
    json_decref(loader.root);
    free(loader.added);
    return status;
}

kx_status kx_clip_tokenizer_open(kx_clip_tokenizer **out, const char *folder, kx_error *err)
{
    kx_status status = KX_OK;
    kx_clip_tokenizer_files files = {0};
    *out = NULL;
    KX_TRY(kx_tokenizer_file_read(&files.vocab, folder, "vocab.json", err));
    KX_TRY(kx_tokenizer_file_read(&files.merges, folder, "merges.txt", err));
    KX_TRY(kx_tokenizer_file_read(&files.whole, folder, "tokenizer.json", err));
    KX_TRY(kx_tokenizer_file_read(&files.config, folder, "tokenizer_config.json", err));
    KX_TRY(kx_tokenizer_file_read(&files.special, folder, "special_tokens_map.json", err));
    KX_TRY(kx_clip_tokenizer_read(out, &files, err));
out:
    kx_tokenizer_file_free(&files.vocab);
    kx_tokenizer_file_free(&files.merges);
    kx_tokenizer_file_free(&files.whole);
    kx_tokenizer_file_free(&files.config);
    kx_tokenizer_file_free(&files.special);
    return status;
}
