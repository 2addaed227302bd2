#include "engine/text/tokenizer_files.h"

#include "base/file.h"
#include "base/json_file.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

kx_status kx_tokenizer_file_read(kx_tokenizer_file *file, const char *folder, const char *name, kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t zero = 0;
    *file = (kx_tokenizer_file){.text.cap = KX_LIMIT_TOKENIZER_BYTES};
    file->path = kx_file_join(folder, name);
    KX_FAIL_IF(file->path == NULL, err, KX_ERR_MEMORY, "out of memory: a path in %s", folder);
    if (!kx_file_exists(file->path)) goto out;
    KX_TRY(kx_file_read(file->path, &file->text, KX_ERR_MODEL, err));
    /* An empty file is there, so its data must not be NULL. */
    if (file->text.size == 0) {
        KX_TRY(kx_bytes_append(&file->text, &zero, 1, err));
        file->text.size = 0;
    }
out:
    return status;
}

void kx_tokenizer_file_free(kx_tokenizer_file *file)
{
    free(file->path);
    file->path = NULL;
    kx_bytes_free(&file->text);
}

static kx_status read_object(json_t **out, const kx_tokenizer_file *file, kx_error *err)
{
    kx_status status = KX_OK;
    if (file->text.data == NULL) goto out;
    KX_TRY(kx_json_text_load_reals(out, (const char *)file->text.data, file->text.size, file->path,
                                   KX_ERR_MODEL, err));
    KX_FAIL_IF(!json_is_object(*out), err, KX_ERR_MODEL, "%s: expected an object, found %s", file->path,
               kx_json_kind(*out));
out:
    return status;
}

kx_status kx_tokenizer_config_read(kx_tokenizer_config *config, const kx_tokenizer_file *config_file,
                                   const kx_tokenizer_file *special_file, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(read_object(&config->config, config_file, err));
    KX_TRY(read_object(&config->special, special_file, err));
out:
    return status;
}

void kx_tokenizer_config_free(kx_tokenizer_config *config)
{
    json_decref(config->config);
    json_decref(config->special);
    *config = (kx_tokenizer_config){0};
}

kx_status kx_tokenizer_config_token(const kx_tokenizer_config *config, const char *role, const char *fallback,
                                    kx_added_token *token, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *said = json_object_get(config->config, role);
    if (said == NULL || json_is_null(said)) said = json_object_get(config->special, role);
    *token = (kx_added_token){.content = fallback, .bytes = strlen(fallback)};
    if (json_is_string(said)) {
        token->content = json_string_value(said);
        token->bytes = json_string_length(said);
    } else if (said != NULL && !json_is_null(said)) {
        KX_TRY(kx_added_token_read(token, said, role, err));
    }
out:
    return status;
}

size_t kx_tokenizer_config_max_tokens(const kx_tokenizer_config *config, size_t lowest, size_t fallback)
{
    double said = json_number_value(json_object_get(config->config, "model_max_length"));
    if (!(said >= (double)lowest) || said > 1 << 20 || said != (double)(size_t)said) return fallback;
    return (size_t)said;
}

static kx_status read_flag(bool *flag, const json_t *object, const char *key, const char *name, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *value = json_object_get(object, key);
    KX_FAIL_IF(value != NULL && !json_is_boolean(value), err, KX_ERR_MODEL,
               "%s: %s of a token: expected true or false, found %s", name, key, kx_json_kind(value));
    *flag = json_is_true(value);
out:
    return status;
}

kx_status kx_added_token_read(kx_added_token *token, const json_t *object, const char *name, kx_error *err)
{
    kx_status status = KX_OK;
    const json_t *content;
    KX_FAIL_IF(!json_is_object(object), err, KX_ERR_MODEL, "%s: a token: expected an object, found %s", name,
               kx_json_kind(object));
    KX_TRY(kx_json_member(&content, object, "content", JSON_STRING, name, err));
    token->content = json_string_value(content);
    token->bytes = json_string_length(content);
    KX_TRY(read_flag(&token->normalized, object, "normalized", name, err));
    KX_TRY(read_flag(&token->single_word, object, "single_word", name, err));
    KX_TRY(read_flag(&token->strips_left, object, "lstrip", name, err));
    KX_TRY(read_flag(&token->strips_right, object, "rstrip", name, err));
out:
    return status;
}

kx_status kx_json_member(const json_t **out, const json_t *object, const char *key, json_type kind,
                         const char *name, kx_error *err)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string"};
    kx_status status = KX_OK;
    *out = json_object_get(object, key);
    KX_FAIL_IF(*out == NULL || json_typeof(*out) != kind, err, KX_ERR_MODEL,
               "%s: \"%s\": expected %s, found %s", name, key, kinds[kind], kx_json_kind(*out));
out:
    return status;
}

kx_status kx_token_id_read(int32_t *id, const json_t *value, const char *name, const char *where,
                           kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(!json_is_integer(value), err, KX_ERR_MODEL, "%s: %s: expected a whole number, found %s", name,
               where, kx_json_kind(value));
    json_int_t number = json_integer_value(value);
    KX_FAIL_IF(number < 0 || number >= KX_TOKEN_ID_END, err, KX_ERR_MODEL,
               "%s: %s: the id %lld is not between 0 and %d", name, where, (long long)number,
               KX_TOKEN_ID_END - 1);
    *id = (int32_t)number;
out:
    return status;
}

kx_status kx_token_id_set_create(kx_token_id_set *set, kx_error *err)
{
    kx_status status = KX_OK;
    set->bits = calloc(KX_TOKEN_ID_END / 8, 1);
    KX_FAIL_IF(set->bits == NULL, err, KX_ERR_MEMORY, "out of memory: %d bytes", KX_TOKEN_ID_END / 8);
out:
    return status;
}

void kx_token_id_set_free(kx_token_id_set *set)
{
    free(set->bits);
    set->bits = NULL;
}

bool kx_token_id_set_add(kx_token_id_set *set, int32_t id)
{
    uint8_t bit = (uint8_t)(1u << (id & 7));
    bool fresh = (set->bits[id >> 3] & bit) == 0;
    set->bits[id >> 3] |= bit;
    return fresh;
}
