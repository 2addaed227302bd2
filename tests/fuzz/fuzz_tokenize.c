/* Prompts from anywhere, through two small tokenizers: the ids are in range, the counts add up, and a shorter
 * array gets the beginning of what a longer one gets. Input: the number of tokens, then the prompt. */
#include "engine/text/clip_tokenizer.h"
#include "engine/text/t5_tokenizer.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char t5_json[] =
    "{\"added_tokens\": [{\"id\": 1, \"content\": \"</s>\"}, {\"id\": 11, \"content\": \"<l>\", \"lstrip\": "
    "true, "
    "\"rstrip\": true}, {\"id\": 12, \"content\": \"cat\", \"single_word\": true, \"normalized\": true}], "
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Strip\", \"strip_left\": "
    "false}, "
    "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \"\\u2581\"}]}, "
    "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"first\"}, "
    "\"model\": {\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\": [[\"<pad>\", 0], [\"</s>\", 0], "
    "[\"<unk>\", 0], "
    "[\"\\u2581\", -2], [\"a\", -3], [\"b\", -3], [\"ab\", -4], [\"\\u2581a\", -4], [\"ba\", -5.5], "
    "[\"\\u00e9\", -3], "
    "[\"aaaa\", -7]]}}";
static char vocab_json[] =
    "{\"a\": 0, \"b\": 1, \"a</w>\": 2, \"b</w>\": 3, \"ab\": 4, \"ab</w>\": 5, \"aa\": 6, \"aaa</w>\": 7, "
    "\"\\u00c3\": 8, "
    "\"\\u00a9</w>\": 9, \"\\u00c3\\u00a9</w>\": 10, \"<|startoftext|>\": 11, \"<|endoftext|>\": 12}";
static char merges_text[] = "#version: 0.2\na b\na a\na b</w>\naa a</w>\n\xc3\x83 \xc2\xa9</w>\n";

static void check(int condition)
{
    if (!condition) abort();
}

static kx_tokenizer_file file_of(char *name, char *text)
{
    return (kx_tokenizer_file){.path = name, .text = {.data = (uint8_t *)text, .size = strlen(text)}};
}

typedef struct tokenizers {
    kx_t5_tokenizer *t5;
    kx_clip_tokenizer *clip;
} tokenizers;

/* Opened once: a fuzzing process runs many inputs. */
static const tokenizers *opened(void)
{
    static tokenizers both;
    kx_error err = {0};
    if (both.t5 != NULL) return &both;
    kx_t5_tokenizer_files t5 = {.whole = file_of("tokenizer.json", t5_json)};
    kx_clip_tokenizer_files clip = {.vocab = file_of("vocab.json", vocab_json),
                                    .merges = file_of("merges.txt", merges_text)};
    check(kx_t5_tokenizer_read(&both.t5, &t5, &err) == KX_OK);
    check(kx_clip_tokenizer_read(&both.clip, &clip, &err) == KX_OK);
    return &both;
}

enum { LONG = 4096 };

static void try_prompt(const char *text, size_t bytes, size_t max_tokens, int is_clip)
{
    const tokenizers *both = opened();
    static int32_t longer[LONG];
    int32_t *ids = malloc(max_tokens * sizeof ids[0]); /* exact, so that writing beyond it is found */
    kx_error err = {0};
    kx_token_count count, whole;
    size_t specials = is_clip ? 2 : 1;
    check(ids != NULL);
    kx_status status = is_clip
                           ? kx_clip_tokenizer_encode(both->clip, text, bytes, max_tokens, ids, &count, &err)
                           : kx_t5_tokenizer_encode(both->t5, text, bytes, max_tokens, ids, &count, &err);
    check((status == KX_OK) == (kx_text_check_utf8(text, bytes, &(kx_error){0}) == KX_OK));
    if (status != KX_OK) {
        check(status == KX_ERR_INPUT);
    } else {
        int32_t max_id = is_clip ? kx_clip_tokenizer_max_id(both->clip) : kx_t5_tokenizer_max_id(both->t5);
        for (size_t i = 0; i < max_tokens; i++) check(ids[i] >= 0 && ids[i] <= max_id);
        status = is_clip ? kx_clip_tokenizer_encode(both->clip, text, bytes, LONG, longer, &whole, &err)
                         : kx_t5_tokenizer_encode(both->t5, text, bytes, LONG, longer, &whole, &err);
        check(status == KX_OK);
        check(count.used <= max_tokens && count.used >= specials);
        check(count.used + count.cut == whole.used + whole.cut);
        check(count.cut == 0 || count.used == max_tokens);
        check(memcmp(ids, longer, (count.used - 1) * sizeof ids[0]) == 0);
    }
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    try_prompt(text, size - 1, data[0] + (size_t)1, 0);
    try_prompt(text, size - 1, data[0] + (size_t)2, 1);
    return 0;
}
