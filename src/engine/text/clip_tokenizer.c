#include "engine/text/clip_tokenizer.h"

#include "base/limits.h"
#include "engine/text/clip_internal.h"
#include "engine/text/unicode_nfc.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* One call of encode. Normalisation makes UTF-8 at most three times longer, which the caps leave room for. */
typedef struct clip_job {
    const kx_clip_tokenizer *tokenizer;
    kx_bytes codes;
    kx_bytes clean;
    kx_bytes scratch;
    kx_token_sink sink;
} clip_job;

static kx_status put_code(kx_bytes *out, uint32_t code, kx_error *err)
{
    uint8_t bytes[4];
    return kx_bytes_append(out, bytes, kx_utf8_encode(code, bytes), err);
}

kx_status kx_clip_clean(const uint8_t *text, size_t bytes, kx_bytes *codes, kx_bytes *clean, kx_error *err)
{
    enum { CAPITAL_I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
    kx_status status = KX_OK;
    bool after_space = false;
    codes->size = clean->size = 0;
    KX_TRY(kx_unicode_nfc(text, bytes, codes, err));
    const int32_t *code = (const int32_t *)(const void *)codes->data;
    for (size_t i = 0; i < codes->size / sizeof code[0]; i++) {
        bool space = kx_unicode_is_space((uint32_t)code[i]);
        if (space && !after_space) KX_TRY(put_code(clean, ' ', err));
        after_space = space;
        if (space) continue;
        /* The one letter whose lower case is two code points. */
        bool two = code[i] == CAPITAL_I_WITH_DOT;
        KX_TRY(put_code(clean, two ? 'i' : (uint32_t)utf8proc_tolower(code[i]), err));
        if (two) KX_TRY(put_code(clean, DOT_ABOVE, err));
    }
out:
    return status;
}

static size_t contraction_bytes(const uint8_t *text, size_t bytes)
{
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof contractions / sizeof contractions[0]; i++) {
        size_t length = strlen(contractions[i]);
        if (length <= bytes && memcmp(text, contractions[i], length) == 0) return length;
    }
    return 0;
}

typedef enum character_class { CLASS_SPACE, CLASS_LETTER, CLASS_NUMBER, CLASS_OTHER } character_class;

static character_class class_of(uint32_t code)
{
    if (kx_unicode_is_space(code)) return CLASS_SPACE;
    if (kx_unicode_is_letter(code)) return CLASS_LETTER;
    return kx_unicode_is_number(code) ? CLASS_NUMBER : CLASS_OTHER;
}

/* The bytes of the first word of cleaned text (at least one byte): a contraction, letters, one digit or other
 * characters; or of the spaces in front of it, with *is_space. */
static size_t word_bytes(const uint8_t *text, size_t bytes, bool *is_space)
{
    size_t length, end = contraction_bytes(text, bytes);
    *is_space = false;
    if (end > 0) return end;
    character_class class = class_of(kx_utf8_decode(text, &end));
    *is_space = class == CLASS_SPACE;
    if (class == CLASS_NUMBER) return end;
    while (end < bytes && class_of(kx_utf8_decode(text + end, &length)) == class) end += length;
    return end;
}

static kx_status encode_words(clip_job *job, const uint8_t *text, size_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0, length; i < bytes; i += length) {
        bool is_space;
        length = word_bytes(text + i, bytes - i, &is_space);
        if (is_space) continue;
        KX_TRY(kx_bpe_encode_word(&job->tokenizer->bpe, text + i, length, &job->scratch, &job->sink, err));
    }
out:
    return status;
}

static kx_status encode_plain(clip_job *job, const uint8_t *text, size_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_clip_clean(text, bytes, &job->codes, &job->clean, err));
    kx_added_iterator it =
        kx_added_tokens_start(&job->tokenizer->normalized, job->clean.data, job->clean.size);
    for (kx_added_span span; kx_added_tokens_next(&it, &span);) {
        if (span.id >= 0)
            kx_token_sink_put(&job->sink, span.id);
        else
            KX_TRY(encode_words(job, job->clean.data + span.start, span.end - span.start, err));
    }
out:
    return status;
}

kx_status kx_clip_tokenizer_encode(const kx_clip_tokenizer *tokenizer, const char *text, size_t bytes,
                                   size_t max_tokens, int32_t *ids, kx_token_count *count, kx_error *err)
{
    kx_status status = KX_OK;
    assert(max_tokens >= 2);
    clip_job job = {.tokenizer = tokenizer,
                    .codes.cap = (size_t)16 * KX_LIMIT_PROMPT_BYTES,
                    .clean.cap = (size_t)8 * KX_LIMIT_PROMPT_BYTES,
                    .scratch.cap = (size_t)512 * KX_LIMIT_PROMPT_BYTES,
                    .sink = {.ids = ids + 1, .room = max_tokens - 2}};
    *count = (kx_token_count){0};
    KX_FAIL_IF(bytes > KX_LIMIT_PROMPT_BYTES, err, KX_ERR_INPUT, "the prompt has %zu bytes, the limit is %u",
               bytes, KX_LIMIT_PROMPT_BYTES);
    KX_TRY(kx_text_check_utf8(text, bytes, err));
    kx_added_iterator it = kx_added_tokens_start(&tokenizer->raw, (const uint8_t *)text, bytes);
    for (kx_added_span span; kx_added_tokens_next(&it, &span);) {
        if (span.id >= 0)
            kx_token_sink_put(&job.sink, span.id);
        else
            KX_TRY(encode_plain(&job, (const uint8_t *)text + span.start, span.end - span.start, err));
    }
    size_t kept = job.sink.total < job.sink.room ? job.sink.total : job.sink.room;
    *count = (kx_token_count){.used = kept + 2, .cut = job.sink.total - kept};
    ids[0] = tokenizer->bos_id;
    ids[kept + 1] = tokenizer->eos_id;
    for (size_t i = kept + 2; i < max_tokens; i++) ids[i] = tokenizer->pad_id;
out:
    kx_bytes_free(&job.codes);
    kx_bytes_free(&job.clean);
    kx_bytes_free(&job.scratch);
    return status;
}

size_t kx_clip_tokenizer_pooled_position(const int32_t *ids, size_t count, int32_t config_eos_id)
{
    enum { OLD_CONFIG_EOS_ID = 2 };
    size_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (config_eos_id != OLD_CONFIG_EOS_ID && ids[i] == config_eos_id) return i;
        if (ids[i] > ids[largest]) largest = i;
    }
    return config_eos_id == OLD_CONFIG_EOS_ID ? largest : 0;
}

void kx_clip_tokenizer_close(kx_clip_tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    kx_arena_free(&tokenizer->arena);
    free(tokenizer);
}

size_t kx_clip_tokenizer_bytes(const kx_clip_tokenizer *tokenizer)
{
    return sizeof *tokenizer + kx_arena_bytes(&tokenizer->arena);
}

size_t kx_clip_tokenizer_vocabulary_size(const kx_clip_tokenizer *tokenizer)
{
    return tokenizer->vocabulary;
}

size_t kx_clip_tokenizer_max_tokens(const kx_clip_tokenizer *tokenizer)
{
    return tokenizer->max_tokens;
}

int32_t kx_clip_tokenizer_max_id(const kx_clip_tokenizer *tokenizer)
{
    return tokenizer->max_id;
}

int32_t kx_clip_tokenizer_bos_id(const kx_clip_tokenizer *tokenizer)
{
    return tokenizer->bos_id;
}

int32_t kx_clip_tokenizer_eos_id(const kx_clip_tokenizer *tokenizer)
{
    return tokenizer->eos_id;
}

int32_t kx_clip_tokenizer_pad_id(const kx_clip_tokenizer *tokenizer)
{
    return tokenizer->pad_id;
}
