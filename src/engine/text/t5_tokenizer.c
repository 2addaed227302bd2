#include "engine/text/t5_tokenizer.h"

#include "base/limits.h"
#include "engine/text/t5_internal.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One call of encode. */
typedef struct t5_job {
    const kx_t5_tokenizer *tokenizer;
    kx_bytes normal, other; /* normalised text, and the step before */
    kx_bytes marked;        /* with markers */
    kx_bytes scratch;
    kx_token_sink sink;
} t5_job;

/* ---- Normalisation ---- */

static size_t stripped_end(const uint8_t *text, size_t end)
{
    while (end > 0) {
        size_t start = end - 1, length;
        while (start > 0 && (text[start] & 0xc0) == 0x80) start--;
        if (!kx_unicode_is_space(kx_utf8_decode(text + start, &length))) break;
        end = start;
    }
    return end;
}

static size_t stripped_start(const uint8_t *text, size_t end)
{
    size_t start = 0, length;
    while (start < end && kx_unicode_is_space(kx_utf8_decode(text + start, &length))) start += length;
    return start;
}

static kx_status replace_spaces(const char *replacement, const uint8_t *text, size_t bytes, kx_bytes *out,
                                kx_error *err)
{
    kx_status status = KX_OK;
    size_t replacement_bytes = strlen(replacement);
    for (size_t start = 0, end; start < bytes; start = end) {
        bool spaces = text[start] == ' ';
        for (end = start; end < bytes && (text[end] == ' ') == spaces;) end++;
        bool replaced = spaces && end - start >= 2;
        size_t length = replaced ? replacement_bytes : end - start;
        KX_FAIL_IF(length > out->cap - out->size, err, KX_ERR_INPUT,
                   "the prompt grows beyond %zu bytes when its spaces are replaced", out->cap);
        KX_TRY(kx_bytes_append(out, replaced ? (const uint8_t *)replacement : text + start, length, err));
    }
out:
    return status;
}

kx_status kx_t5_normalize(const kx_t5_tokenizer *tokenizer, const uint8_t *text, size_t bytes, kx_bytes *out,
                          kx_bytes *other, kx_error *err)
{
    kx_status status = KX_OK;
    out->size = 0;
    KX_TRY(kx_bytes_append(out, text, bytes, err));
    for (size_t i = 0; i < tokenizer->num_steps; i++) {
        const t5_step *step = &tokenizer->steps[i];
        size_t start = 0, end = out->size;
        if (end == 0) break;
        other->size = 0;
        switch (step->kind) {
        case T5_STEP_CHARSMAP:
            KX_TRY(kx_charsmap_apply(&step->charsmap, out->data, end, other, err));
            break;
        case T5_STEP_STRIP:
            if (step->strips_right) end = stripped_end(out->data, end);
            if (step->strips_left) start = stripped_start(out->data, end);
            KX_TRY(kx_bytes_append(other, out->data + start, end - start, err));
            break;
        case T5_STEP_SPACES:
            KX_TRY(replace_spaces(step->replacement, out->data, end, other, err));
            break;
        }
        kx_bytes swap = *out;
        *out = *other;
        *other = swap;
    }
out:
    return status;
}

/* ---- Words ---- */

static bool starts_with_marker(const kx_t5_tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    return bytes >= tokenizer->marker_bytes && memcmp(text, tokenizer->marker, tokenizer->marker_bytes) == 0;
}

/* The end of the word that starts the text: the next marker behind its first byte. */
static size_t word_end(const kx_t5_tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    if (!tokenizer->cuts_at_markers) return bytes;
    for (size_t end = 1; end < bytes; end++)
        if (text[end] == (uint8_t)tokenizer->marker[0] &&
            starts_with_marker(tokenizer, text + end, bytes - end))
            return end;
    return bytes;
}

/* Normalised text without added tokens. at_start: nothing of the prompt stands before it. */
static kx_status encode_marked(t5_job *job, const uint8_t *text, size_t bytes, bool at_start, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_t5_tokenizer *tokenizer = job->tokenizer;
    bool wanted =
        tokenizer->prepend == T5_PREPEND_ALWAYS || (tokenizer->prepend == T5_PREPEND_FIRST && at_start);
    job->marked.size = 0;
    if (bytes == 0) goto out;
    if (wanted && text[0] != ' ' && !starts_with_marker(tokenizer, text, bytes))
        KX_TRY(kx_bytes_append(&job->marked, tokenizer->marker, tokenizer->marker_bytes, err));
    for (size_t start = 0, end; start < bytes; start = end + 1) {
        const uint8_t *space = memchr(text + start, ' ', bytes - start);
        end = space == NULL ? bytes : (size_t)(space - text);
        KX_TRY(kx_bytes_append(&job->marked, text + start, end - start, err));
        if (space != NULL)
            KX_TRY(kx_bytes_append(&job->marked, tokenizer->marker, tokenizer->marker_bytes, err));
    }
    for (size_t start = 0, length; start < job->marked.size; start += length) {
        length = word_end(tokenizer, job->marked.data + start, job->marked.size - start);
        KX_TRY(kx_unigram_encode_word(&tokenizer->model, job->marked.data + start, length, &job->scratch,
                                      &job->sink, err));
    }
out:
    return status;
}

static kx_status encode_normal(t5_job *job, const uint8_t *text, size_t bytes, bool at_start, kx_error *err)
{
    kx_status status = KX_OK;
    if (!job->tokenizer->cuts_at_white_space) {
        KX_TRY(encode_marked(job, text, bytes, at_start, err));
        goto out;
    }
    for (size_t start = 0, end, length; start < bytes; start = end) {
        start += stripped_start(text + start, bytes - start);
        for (end = start; end < bytes && !kx_unicode_is_space(kx_utf8_decode(text + end, &length));)
            end += length;
        KX_TRY(encode_marked(job, text + start, end - start, at_start && start == 0, err));
    }
out:
    return status;
}

static kx_status encode_plain(t5_job *job, const uint8_t *text, size_t bytes, bool at_start, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_t5_normalize(job->tokenizer, text, bytes, &job->normal, &job->other, err));
    kx_added_iterator it =
        kx_added_tokens_start(&job->tokenizer->normalized, job->normal.data, job->normal.size);
    for (kx_added_span span; kx_added_tokens_next(&it, &span);) {
        if (span.id >= 0)
            kx_token_sink_put(&job->sink, span.id);
        else
            KX_TRY(encode_normal(job, job->normal.data + span.start, span.end - span.start,
                                 at_start && span.start == 0, err));
    }
out:
    return status;
}

kx_status kx_t5_tokenizer_encode(const kx_t5_tokenizer *tokenizer, const char *text, size_t bytes,
                                 size_t max_tokens, int32_t *ids, kx_token_count *count, kx_error *err)
{
    kx_status status = KX_OK;
    assert(max_tokens >= 1);
    size_t normal_cap = (size_t)4 * KX_LIMIT_PROMPT_BYTES;
    t5_job job = {.tokenizer = tokenizer,
                  .normal.cap = normal_cap,
                  .other.cap = normal_cap,
                  .marked.cap = 4 * normal_cap + sizeof tokenizer->marker,
                  .scratch.cap = (size_t)512 * KX_LIMIT_PROMPT_BYTES,
                  .sink = {.ids = ids, .room = max_tokens - 1}};
    *count = (kx_token_count){0};
    KX_FAIL_IF(bytes > KX_LIMIT_PROMPT_BYTES, err, KX_ERR_INPUT, "the prompt has %zu bytes, the limit is %u",
               bytes, KX_LIMIT_PROMPT_BYTES);
    KX_TRY(kx_text_check_utf8(text, bytes, err));
    kx_added_iterator it = kx_added_tokens_start(&tokenizer->raw, (const uint8_t *)text, bytes);
    for (kx_added_span span; kx_added_tokens_next(&it, &span);) {
        if (span.id >= 0)
            kx_token_sink_put(&job.sink, span.id);
        else
            KX_TRY(encode_plain(&job, (const uint8_t *)text + span.start, span.end - span.start,
                                span.start == 0, err));
    }
    size_t kept = job.sink.total < job.sink.room ? job.sink.total : job.sink.room;
    *count = (kx_token_count){.used = kept + 1, .cut = job.sink.total - kept};
    ids[kept] = tokenizer->eos_id;
    for (size_t i = kept + 1; i < max_tokens; i++) ids[i] = tokenizer->pad_id;
out:
    kx_bytes_free(&job.normal);
    kx_bytes_free(&job.other);
    kx_bytes_free(&job.marked);
    kx_bytes_free(&job.scratch);
    return status;
}

void kx_t5_tokenizer_close(kx_t5_tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    kx_arena_free(&tokenizer->arena);
    free(tokenizer);
}

size_t kx_t5_tokenizer_bytes(const kx_t5_tokenizer *tokenizer)
{
    return sizeof *tokenizer + kx_arena_bytes(&tokenizer->arena);
}

size_t kx_t5_tokenizer_vocabulary_size(const kx_t5_tokenizer *tokenizer)
{
    return tokenizer->vocabulary;
}

size_t kx_t5_tokenizer_max_tokens(const kx_t5_tokenizer *tokenizer)
{
    return tokenizer->max_tokens;
}

int32_t kx_t5_tokenizer_max_id(const kx_t5_tokenizer *tokenizer)
{
    return tokenizer->max_id;
}

int32_t kx_t5_tokenizer_eos_id(const kx_t5_tokenizer *tokenizer)
{
    return tokenizer->eos_id;
}

int32_t kx_t5_tokenizer_pad_id(const kx_t5_tokenizer *tokenizer)
{
    return tokenizer->pad_id;
}

int32_t kx_t5_tokenizer_unk_id(const kx_t5_tokenizer *tokenizer)
{
    return tokenizer->model.unk_id;
}
