#include "base/json_file.h"

#include "base/bytes.h"
#include "base/file.h"

#include <string.h>

static kx_status load_text(json_t **out, const char *text, size_t bytes, size_t flags, const char *what,
                           kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    json_error_t broken;
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | flags, &broken);
    if (*out == NULL) {
        KX_FAIL_IF(json_error_code(&broken) == json_error_out_of_memory, err, KX_ERR_MEMORY,
                   "%s: out of memory for %zu bytes of JSON", what, bytes);
        /* jansson quotes the input, cut anywhere: the quotation may not be UTF-8 and says less than the line.
         */
        char *quotation = strstr(broken.text, " near '");
        if (quotation != NULL) *quotation = 0;
        KX_FAIL(err, blame, "%s: not valid JSON at line %d, column %d: %s", what, broken.line, broken.column,
                broken.text);
    }
out:
    return status;
}

kx_status kx_json_text_load(json_t **out, const char *text, size_t bytes, const char *what, kx_status blame,
                            kx_error *err)
{
    return load_text(out, text, bytes, 0, what, blame, err);
}

kx_status kx_json_text_load_reals(json_t **out, const char *text, size_t bytes, const char *what,
                                  kx_status blame, kx_error *err)
{
    return load_text(out, text, bytes, JSON_DECODE_INT_AS_REAL, what, blame, err);
}

const char *kx_json_kind(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a real",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return value == NULL ? "nothing" : kinds[json_typeof(value)];
}

kx_status kx_json_file_load(json_t **out, const char *path, size_t cap_bytes, kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes text = {.cap = cap_bytes};
    *out = NULL;
    KX_TRY(kx_file_read(path, &text, blame, err));
    KX_FAIL_IF(text.size == 0, err, blame, "%s: the file is empty, JSON is expected", path);
    KX_TRY(kx_json_text_load(out, (const char *)text.data, text.size, path, blame, err));
out:
    kx_bytes_free(&text);
    return status;
}
