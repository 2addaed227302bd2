/* JSON from files and from memory, for everything that is written by somebody else: tokenizers,
 * configurations, the headers of safetensors files. The text must be UTF-8 and hold one object or array; a
 * key that stands twice in one object, nesting deeper than 2048, a number out of range and bytes behind the
 * end are errors. The sentence gives the line and column.
 *
 *     json_t *root = NULL;
 *     KX_TRY(kx_json_file_load(&root, path, KX_LIMIT_CONFIG_BYTES, KX_ERR_MODEL, err));
 *     ...
 *     json_decref(root);
 *
 * `blame` is the status of a missing, oversized or broken text. The caller owns *out; it is NULL after an
 * error.
 */
#pragma once

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

kx_status kx_json_file_load(json_t **out, const char *path, size_t cap_bytes, kx_status blame, kx_error *err);

/* `what` stands in front of error sentences in place of the path. */
kx_status kx_json_text_load(json_t **out, const char *text, size_t bytes, const char *what, kx_status blame,
                            kx_error *err);

/* The same with every number read as a real: for files that hold integers beyond 64 bits, such as the
 * 1000000000000000019884624838656 that stands for "no limit" in tokenizer configurations. */
kx_status kx_json_text_load_reals(json_t **out, const char *text, size_t bytes, const char *what,
                                  kx_status blame, kx_error *err);

/* What `value` is, for sentences: "an object", "a string", ...; NULL is "nothing". */
const char *kx_json_kind(const json_t *value);
