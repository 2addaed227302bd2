#include "engine/formats/packed_index.h"

#include "base/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *kx_packed_precision(kx_dtype dtype)
{
    return kx_precision_name(kx_precision_of(dtype));
}

kx_packed_shapes kx_packed_shapes_of(kx_dtype dtype, int64_t rows, int64_t cols, int64_t split)
{
    int64_t padded = kx_packed_rows(rows), block = KX_PACKED_COLUMNS * kx_plane_values(dtype);
    return (kx_packed_shapes){
        .data = {padded / KX_PACKED_COLUMNS, kx_packed_planes(dtype, cols, split), block},
        .entries = {kx_packed_groups(dtype, cols, split), padded},
    };
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const kx_packed_entry *)a)->name, ((const kx_packed_entry *)b)->name);
}

/* `numbers` extents: rows, cols and perhaps split. */
static kx_status read_entry(const char *path, const char *name, const json_t *value, size_t numbers,
                            kx_packed_entry *entry, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t *const fields[3] = {&entry->rows, &entry->cols, &entry->split};
    KX_FAIL_IF(json_array_size(value) != numbers || strlen(name) > KX_LIMIT_TENSOR_NAME_BYTES, err,
               KX_ERR_MODEL, "%s: " KX_PACKED_METADATA ": %.200s is not described by %zu numbers", path, name,
               numbers);
    for (size_t i = 0; i < numbers; i++) {
        const json_t *number = json_array_get(value, i);
        json_int_t extent = json_is_integer(number) ? json_integer_value(number) : -1, least = i < 2 ? 1 : 0;
        KX_FAIL_IF(extent < least || extent > KX_PACKED_MAX_EXTENT, err, KX_ERR_MODEL,
                   "%s: " KX_PACKED_METADATA ": the numbers of %.200s must be %lld to %d", path, name,
                   (long long)least, KX_PACKED_MAX_EXTENT);
        *fields[i] = extent;
    }
    KX_FAIL_IF(entry->split >= entry->cols, err, KX_ERR_MODEL,
               "%s: " KX_PACKED_METADATA ": %.200s has %lld columns and is split at %lld", path, name,
               (long long)entry->cols, (long long)entry->split);
out:
    return status;
}

static kx_status read_entries(const char *path, const json_t *object, size_t numbers, kx_arena *arena,
                              kx_packed_entry **out, size_t *count, kx_error *err)
{
    kx_status status = KX_OK;
    const char *name;
    json_t *value;
    char *copy;
    kx_packed_entry *entries;
    *count = json_object_size(object);
    KX_FAIL_IF(*count == 0 || *count > KX_LIMIT_TENSORS, err, KX_ERR_MODEL,
               "%s: " KX_PACKED_METADATA " lists no matrices and parameters", path);
    KX_TRY(KX_ARENA_ARRAY(arena, *count, &entries, err));
    *out = entries;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        KX_TRY(read_entry(path, name, value, numbers, entries, err));
        KX_TRY(kx_arena_copy_text(arena, name, strlen(name), &copy, err));
        entries++->name = copy;
    }
    qsort(*out, *count, sizeof **out, compare_entries);
out:
    return status;
}

static kx_status read_head(const char *path, const json_t *root, kx_dtype *dtype, kx_error *err)
{
    kx_status status = KX_OK;
    const char *precision = json_string_value(json_object_get(root, "precision"));
    json_int_t version = json_integer_value(json_object_get(root, "version"));
    json_int_t group = json_integer_value(json_object_get(root, "group"));
    KX_FAIL_IF(version != KX_PACKED_VERSION, err, KX_ERR_MODEL,
               "%s: is packed in format %lld, this program reads format %d; convert the original again", path,
               (long long)version, KX_PACKED_VERSION);
    bool is_int8 = precision != NULL && strcmp(precision, kx_packed_precision(KX_I8)) == 0;
    bool is_bf16 = precision != NULL && strcmp(precision, kx_packed_precision(KX_BF16)) == 0;
    KX_FAIL_IF(!is_int8 && !is_bf16, err, KX_ERR_MODEL, "%s: is packed for %.32s; int8 or bf16 is expected",
               path, precision != NULL ? precision : "an unnamed precision");
    *dtype = is_int8 ? KX_I8 : KX_BF16;
    KX_FAIL_IF(group != kx_group_values(*dtype), err, KX_ERR_MODEL,
               "%s: is packed in groups of %lld values, %lld are expected", path, (long long)group,
               (long long)kx_group_values(*dtype));
out:
    return status;
}

kx_status kx_packed_index_read(kx_packed_index **out, const kx_safetensors *file, kx_arena *arena,
                               kx_error *err)
{
    kx_status status = KX_OK;
    kx_packed_index *index;
    json_t *root = NULL;
    const char *text = kx_safetensors_metadata(file, KX_PACKED_METADATA), *path = file->path;
    *out = NULL;
    if (text == NULL) return KX_OK;
    KX_FAIL_IF(strlen(text) > KX_LIMIT_CONFIG_BYTES, err, KX_ERR_MODEL,
               "%s: " KX_PACKED_METADATA " has %zu bytes, the limit is %u", path, strlen(text),
               KX_LIMIT_CONFIG_BYTES);
    KX_TRY(kx_json_text_load(&root, text, strlen(text), path, KX_ERR_MODEL, err));
    KX_TRY(KX_ARENA_ARRAY(arena, 1, &index, err));
    KX_TRY(read_head(path, root, &index->dtype, err));
    KX_TRY(read_entries(path, json_object_get(root, "matrices"), 3, arena, &index->matrices,
                        &index->num_matrices, err));
    KX_TRY(read_entries(path, json_object_get(root, "parameters"), 2, arena, &index->parameters,
                        &index->num_parameters, err));
    *out = index;
out:
    json_decref(root);
    return status;
}

/* ---- Finding ------------------------------------------------------------------------------------------- */

static const kx_packed_entry *find_entry(const kx_packed_entry *entries, size_t count, const char *name)
{
    kx_packed_entry key = {.name = name};
    return bsearch(&key, entries, count, sizeof key, compare_entries);
}

const kx_packed_entry *kx_packed_index_parameter(const kx_packed_index *index, const char *name)
{
    return find_entry(index->parameters, index->num_parameters, name);
}

/* One of the tensors of a matrix; its shape and type are as they must be, and its address is aligned. */
static kx_status need_tensor(const kx_safetensors *file, const char *matrix, const char *tail, kx_dtype dtype,
                             int rank, const int64_t *shape, const void **data, kx_error *err)
{
    kx_status status = KX_OK;
    char name[KX_LIMIT_TENSOR_NAME_BYTES + 32];
    snprintf(name, sizeof name, "%s%s", matrix, tail);
    const kx_safetensors_tensor *tensor = kx_safetensors_find(file, name);
    KX_FAIL_IF(tensor == NULL, err, KX_ERR_MODEL, "%s: tensor %s is missing", file->path, name);
    bool fits = tensor->dtype == dtype && tensor->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = tensor->shape[i] == shape[i];
    if (!fits) {
        kx_safetensors_tensor wanted = {.rank = rank};
        char found[96], expected[96];
        for (int i = 0; i < rank; i++) wanted.shape[i] = shape[i];
        kx_safetensors_shape_text(tensor, found, sizeof found);
        kx_safetensors_shape_text(&wanted, expected, sizeof expected);
        KX_FAIL(err, KX_ERR_MODEL, "%s: tensor %s is %s %s, %s %s is expected", file->path, name,
                kx_dtype_name(tensor->dtype), found, kx_dtype_name(dtype), expected);
    }
    KX_FAIL_IF((uintptr_t)tensor->data % KX_PACKED_ALIGN != 0, err, KX_ERR_MODEL,
               "%s: tensor %s does not begin at a multiple of %d bytes", file->path, name, KX_PACKED_ALIGN);
    *data = tensor->data;
out:
    return status;
}

kx_status kx_packed_index_matrix(const kx_packed_index *index, const kx_safetensors *file, const char *name,
                                 kx_packed *packed, bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_packed_entry *entry = find_entry(index->matrices, index->num_matrices, name);
    const void *scales = NULL, *sums = NULL;
    *found = entry != NULL;
    if (entry == NULL) return KX_OK;
    *packed =
        (kx_packed){.dtype = index->dtype, .rows = entry->rows, .cols = entry->cols, .split = entry->split};
    kx_packed_shapes shapes = kx_packed_shapes_of(index->dtype, entry->rows, entry->cols, entry->split);
    KX_TRY(need_tensor(file, name, KX_PACKED_DATA, index->dtype, 3, shapes.data, &packed->data, err));
    if (index->dtype == KX_I8) {
        KX_TRY(need_tensor(file, name, KX_PACKED_SCALES, KX_F32, 2, shapes.entries, &scales, err));
        KX_TRY(need_tensor(file, name, KX_PACKED_SUMS, KX_I32, 2, shapes.entries, &sums, err));
    }
    packed->scales = scales;
    packed->sums = sums;
out:
    return status;
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

static kx_status append(kx_bytes *text, const char *more, kx_error *err)
{
    return kx_bytes_append(text, more, strlen(more), err);
}

/* Names are canonical ones: letters, digits, dots and underscores. */
static kx_status append_entries(kx_bytes *text, const char *key, const kx_packed_entry *entries, size_t count,
                                bool with_split, kx_error *err)
{
    kx_status status = KX_OK;
    char line[KX_LIMIT_TENSOR_NAME_BYTES + 96];
    snprintf(line, sizeof line, ",\"%s\":{", key);
    KX_TRY(append(text, line, err));
    for (size_t i = 0; i < count; i++) {
        KX_FAIL_IF(entries[i].rows > KX_PACKED_MAX_EXTENT || entries[i].cols > KX_PACKED_MAX_EXTENT, err,
                   KX_ERR_MODEL, "%s has %lld rows of %lld columns, %d of each are the most that is packed",
                   entries[i].name, (long long)entries[i].rows, (long long)entries[i].cols,
                   KX_PACKED_MAX_EXTENT);
        int used = snprintf(line, sizeof line, "%s\"%s\":[%lld,%lld", i > 0 ? "," : "", entries[i].name,
                            (long long)entries[i].rows, (long long)entries[i].cols);
        if (with_split)
            snprintf(line + used, sizeof line - (size_t)used, ",%lld", (long long)entries[i].split);
        KX_TRY(append(text, line, err));
        KX_TRY(append(text, "]", err));
    }
    KX_TRY(append(text, "}", err));
out:
    return status;
}

kx_status kx_packed_index_text(const kx_packed_index *index, kx_bytes *text, kx_error *err)
{
    kx_status status = KX_OK;
    char head[96];
    text->cap = KX_LIMIT_CONFIG_BYTES;
    snprintf(head, sizeof head, "{\"version\":%d,\"precision\":\"%s\",\"group\":%lld", KX_PACKED_VERSION,
             kx_packed_precision(index->dtype), (long long)kx_group_values(index->dtype));
    KX_TRY(append(text, head, err));
    KX_TRY(append_entries(text, "matrices", index->matrices, index->num_matrices, true, err));
    KX_TRY(append_entries(text, "parameters", index->parameters, index->num_parameters, false, err));
    KX_TRY(append(text, "}", err));
    KX_TRY(kx_bytes_append(text, "", 1, err));
out:
    return status;
}
