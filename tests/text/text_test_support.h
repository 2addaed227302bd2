/* What the tokenizer tests share. */
#pragma once

#include "test_support.h"

#include "engine/text/tokenizer_files.h"
#include "engine/text/tokens.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A tokenizer file in memory; the text is borrowed. NULL is an absent file. */
static inline kx_tokenizer_file file_of(const char *name, const char *text)
{
    kx_tokenizer_file file = {.path = (char *)(uintptr_t)name};
    if (text != NULL) {
        file.text.data = (uint8_t *)(uintptr_t)text;
        file.text.size = file.text.room = file.text.cap = strlen(text);
    }
    return file;
}

/* The first `count` ids are the expected ones. */
static inline void assert_ids(const char *text, const int32_t *ids, const int32_t *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] != expected[i])
            fail_msg("\"%.60s\": token %zu is %d, expected %d", text, i, ids[i], expected[i]);
}

static inline void assert_says(const kx_error *err, kx_status status, const char *words)
{
    if (err->status != status || strstr(err->message, words) == NULL)
        fail_msg("%s error \"%s\", expected %s with \"%s\"", kx_status_name(err->status), err->message,
                 kx_status_name(status), words);
}

/* Sentences are for people: one line, and no "(null)". */
static inline void assert_sentence(const kx_error *err)
{
    if (strchr(err->message, '\n') != NULL || strstr(err->message, "(null)") != NULL)
        fail_msg("not a sentence: \"%s\"", err->message);
}

static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* text repeated until it has `bytes` bytes (less a remainder); malloc'ed. */
static inline char *repeated(const char *text, size_t bytes, size_t *length)
{
    size_t unit = strlen(text);
    char *out = malloc(bytes + 1);
    assert_non_null(out);
    for (*length = 0; *length + unit <= bytes; *length += unit) memcpy(out + *length, text, unit);
    return out;
}
