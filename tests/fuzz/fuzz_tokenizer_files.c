/* Tokenizer files from anywhere: opening ends in a tokenizer that encodes, or in a sentence.
 *
 * Input: a letter, then files with a zero byte between them.
 *   t  tokenizer.json, tokenizer_config.json          of T5
 *   c  vocab.json, merges.txt, tokenizer_config.json  of CLIP
 *   w  tokenizer.json, tokenizer_config.json          of CLIP
 *   m  the binary form of a character map */
#include "engine/text/charsmap.h"
#include "engine/text/clip_tokenizer.h"
#include "engine/text/t5_tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char prompt[] = "A cat's  ab </s> x<|endoftext|>y\n\xe2\x96\x81 \xc3\xa9 e\xcc\x81 \xef\xac\x81 "
                             "\xe7\x8c\xab\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9 12 ";

enum { MAX_TOKENS = 24 };

static void check(int condition)
{
    if (!condition) abort();
}

/* Takes the next file off the input: up to a zero byte. Copied, so that reading beyond it is found. */
static kx_tokenizer_file next_file(char *name, const uint8_t **data, size_t *size)
{
    kx_tokenizer_file file = {.path = name};
    if (*size == 0) return file;
    const uint8_t *end = memchr(*data, 0, *size);
    size_t length = end == NULL ? *size : (size_t)(end - *data);
    file.text.data = malloc(length + (length == 0));
    check(file.text.data != NULL);
    memcpy(file.text.data, *data, length);
    file.text.size = length;
    length += end != NULL;
    *data += length;
    *size -= length;
    return file;
}

static void check_outcome(kx_status status, const kx_error *err, const void *made)
{
    check(status == err->status);
    check((status == KX_OK) == (made != NULL));
    check(status == KX_OK || status == KX_ERR_MODEL || status == KX_ERR_MEMORY);
    check(status == KX_OK || err->message[0] != 0);
}

static void try_t5(const uint8_t *data, size_t size)
{
    kx_error err = {0};
    kx_t5_tokenizer *t5 = NULL;
    int32_t ids[MAX_TOKENS];
    kx_token_count count;
    kx_t5_tokenizer_files files = {0};
    files.whole = next_file("tokenizer.json", &data, &size);
    files.config = next_file("tokenizer_config.json", &data, &size);
    kx_status status = kx_t5_tokenizer_read(&t5, &files, &err);
    check_outcome(status, &err, t5);
    free(files.whole.text.data);
    free(files.config.text.data);
    if (t5 != NULL &&
        kx_t5_tokenizer_encode(t5, prompt, sizeof prompt - 1, MAX_TOKENS, ids, &count, &err) == KX_OK)
        for (size_t i = 0; i < MAX_TOKENS; i++) check(ids[i] >= 0 && ids[i] <= kx_t5_tokenizer_max_id(t5));
    kx_t5_tokenizer_close(t5);
}

static void try_clip(const uint8_t *data, size_t size, int whole)
{
    kx_error err = {0};
    kx_clip_tokenizer *clip = NULL;
    int32_t ids[MAX_TOKENS];
    kx_token_count count;
    kx_clip_tokenizer_files files = {
        .vocab.path = "vocab.json", .merges.path = "merges.txt", .whole.path = "tokenizer.json"};
    if (whole) {
        files.whole = next_file("tokenizer.json", &data, &size);
    } else {
        files.vocab = next_file("vocab.json", &data, &size);
        files.merges = next_file("merges.txt", &data, &size);
    }
    files.config = next_file("tokenizer_config.json", &data, &size);
    kx_status status = kx_clip_tokenizer_read(&clip, &files, &err);
    check_outcome(status, &err, clip);
    free(files.vocab.text.data);
    free(files.merges.text.data);
    free(files.whole.text.data);
    free(files.config.text.data);
    if (clip != NULL &&
        kx_clip_tokenizer_encode(clip, prompt, sizeof prompt - 1, MAX_TOKENS, ids, &count, &err) == KX_OK)
        for (size_t i = 0; i < MAX_TOKENS; i++)
            check(ids[i] >= 0 && ids[i] <= kx_clip_tokenizer_max_id(clip));
    kx_clip_tokenizer_close(clip);
}

static void try_charsmap(const uint8_t *data, size_t size)
{
    kx_error err = {0};
    kx_arena arena = {0};
    kx_charsmap map = {0};
    kx_bytes out = {.cap = 1 << 20};
    if (kx_charsmap_read(&map, data, size, "map", &arena, &err) == KX_OK)
        kx_charsmap_apply(&map, (const uint8_t *)prompt, sizeof prompt - 1, &out, &err);
    kx_bytes_free(&out);
    kx_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    if (data[0] == 't') try_t5(data + 1, size - 1);
    if (data[0] == 'c') try_clip(data + 1, size - 1, 0);
    if (data[0] == 'w') try_clip(data + 1, size - 1, 1);
    if (data[0] == 'm') try_charsmap(data + 1, size - 1);
    return 0;
}
