/* What the tests of files share. */
#pragma once

#include "test_support.h"

#include "base/file.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/safetensors_writer.h"
#include "engine/tensor/weight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A status, and words that the sentence must hold; resets the error. */
static inline void assert_says(kx_error *err, kx_status status, kx_status expected, const char *words)
{
    if (status != expected) fail_msg("status %d, %d is expected: %s", status, expected, err->message);
    if (strstr(err->message, words) == NULL) fail_msg("\"%s\" does not say \"%s\"", err->message, words);
    *err = (kx_error){0};
}

/* A safetensors file from the text of its header and a count of data bytes (0, 1, 2, ...). malloc'ed. */
static inline uint8_t *raw_file(const char *header, size_t data_bytes, size_t *bytes)
{
    size_t length = strlen(header);
    uint8_t *file = malloc(8 + length + data_bytes);
    if (file == NULL) abort();
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) file[8 + length + i] = (uint8_t)i;
    *bytes = 8 + length + data_bytes;
    return file;
}

/* One tensor to be written. */
typedef struct test_item {
    const char *name;
    kx_dtype dtype;
    int rank;
    int64_t shape[4];
    const void *data;
} test_item;

static inline void write_items(const char *path, const test_item *items, size_t count, const char *key,
                               const char *value)
{
    kx_error err = {0};
    kx_safetensors_writer writer = {0};
    if (key != NULL) assert_ok(kx_safetensors_writer_metadata(&writer, key, value, &err));
    for (size_t i = 0; i < count; i++)
        assert_ok(kx_safetensors_writer_declare(&writer, items[i].name, items[i].dtype, items[i].rank,
                                                items[i].shape, &err));
    assert_ok(kx_safetensors_writer_open(&writer, path, &err));
    for (size_t i = 0; i < count; i++) {
        size_t bytes = kx_dtype_bytes(items[i].dtype);
        for (int k = 0; k < items[i].rank; k++) bytes *= (size_t)items[i].shape[k];
        assert_ok(kx_safetensors_writer_append(&writer, items[i].data, bytes, &err));
    }
    assert_ok(kx_safetensors_writer_commit(&writer, &err));
}

/* "folder/name"; valid until the next 512 calls. */
static inline const char *path_in(const char *folder, const char *name)
{
    static char paths[512][1024];
    static unsigned next;
    char path[sizeof paths[0]]; /* `folder` may be one of the buffers */
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return memcpy(paths[next++ % 512], path, sizeof path);
}

static inline const char *fresh_folder(const char *name)
{
    kx_error err = {0};
    const char *folder = path_in(test_temporary_folder(), name);
    assert_ok(kx_file_make_directory(folder, &err));
    return folder;
}

static inline void write_text_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) fail_msg("cannot write %s", path);
}
