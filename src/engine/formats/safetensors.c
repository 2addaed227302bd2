#include "engine/formats/safetensors.h"

#include "base/checked.h"
#include "base/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8 };

/* JSON values of one tensor: the object, its three members, and up to rank + 2 numbers. */
static const size_t values_per_tensor = KX_LIMIT_TENSOR_RANK + 6;

/* What the parse of one file carries along. */
typedef struct header {
    kx_safetensors *file;
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
    kx_status blame;
} header;

static uint64_t read_u64(const uint8_t *p)
{
    uint64_t value = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) value = value << 8 | p[i];
    return value;
}

/* A JSON tree is many times larger than its text. Values are separated by commas and opened by braces and
 * brackets, so counting these outside strings bounds the tree before it is built. */
static size_t count_json_values(const uint8_t *text, size_t bytes)
{
    size_t count = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        if (quoted && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            quoted = !quoted;
        } else if (!quoted) {
            count += text[i] == ',' || text[i] == '{' || text[i] == '[';
        }
    }
    return count;
}

static kx_status read_extent(const header *h, const char *name, const char *what, const json_t *value,
                             size_t *out, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(!json_is_integer(value) || json_integer_value(value) < 0, err, h->blame,
               "%s: tensor %s: %s must hold whole numbers from 0", h->file->path, name, what);
    *out = (size_t)json_integer_value(value);
out:
    return status;
}

static kx_status read_shape(const header *h, kx_safetensors_tensor *tensor, const json_t *shape,
                            kx_error *err)
{
    kx_status status = KX_OK;
    const char *path = h->file->path;
    KX_FAIL_IF(!json_is_array(shape), err, h->blame, "%s: tensor %s has no list \"shape\"", path,
               tensor->name);
    size_t rank = json_array_size(shape);
    KX_FAIL_IF(rank > KX_LIMIT_TENSOR_RANK, err, h->blame,
               "%s: tensor %s has %zu dimensions, the limit is %d", path, tensor->name, rank,
               KX_LIMIT_TENSOR_RANK);
    tensor->rank = (int)rank;
    tensor->count = 1;
    bool fits = true;
    for (size_t i = 0; i < rank; i++) {
        size_t extent = 0;
        KX_TRY(read_extent(h, tensor->name, "\"shape\"", json_array_get(shape, i), &extent, err));
        tensor->shape[i] = (int64_t)extent;
        fits = fits && kx_checked_mul(tensor->count, extent, &tensor->count);
    }
    fits = fits && kx_checked_mul(tensor->count, kx_dtype_bytes(tensor->dtype), &tensor->bytes);
    KX_FAIL_IF(!fits || tensor->bytes > INT64_MAX, err, h->blame, "%s: tensor %s: the shape overflows", path,
               tensor->name);
out:
    return status;
}

static kx_status read_offsets(const header *h, kx_safetensors_tensor *tensor, const json_t *offsets,
                              kx_error *err)
{
    kx_status status = KX_OK;
    const char *path = h->file->path;
    size_t begin = 0, end = 0;
    KX_FAIL_IF(json_array_size(offsets) != 2, err, h->blame, "%s: tensor %s has no pair \"data_offsets\"",
               path, tensor->name);
    KX_TRY(read_extent(h, tensor->name, "\"data_offsets\"", json_array_get(offsets, 0), &begin, err));
    KX_TRY(read_extent(h, tensor->name, "\"data_offsets\"", json_array_get(offsets, 1), &end, err));
    KX_FAIL_IF(begin > end || end - begin != tensor->bytes, err, h->blame,
               "%s: tensor %s: data_offsets [%zu,%zu] do not hold the %zu bytes of its shape and type", path,
               tensor->name, begin, end, tensor->bytes);
    KX_FAIL_IF(end > h->data_bytes, err, h->blame,
               "%s: the file is truncated: tensor %s ends at data byte %zu, the file holds %zu", path,
               tensor->name, end, h->data_bytes);
    tensor->data = h->data + begin;
out:
    return status;
}

static kx_status read_tensor(const header *h, kx_safetensors_tensor *tensor, const char *name,
                             const json_t *value, kx_error *err)
{
    kx_status status = KX_OK;
    const char *path = h->file->path;
    size_t length = strlen(name);
    KX_FAIL_IF(length == 0 || length > KX_LIMIT_TENSOR_NAME_BYTES, err, h->blame,
               "%s: a tensor's name has %zu bytes, 1 to %d are expected", path, length,
               KX_LIMIT_TENSOR_NAME_BYTES);
    char *copy;
    KX_TRY(kx_arena_copy_text(&h->file->arena, name, length, &copy, err));
    tensor->name = copy;
    KX_FAIL_IF(!json_is_object(value), err, h->blame, "%s: tensor %s is not described by an object", path,
               name);
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    KX_FAIL_IF(dtype == NULL, err, h->blame, "%s: tensor %s has no text \"dtype\"", path, name);
    KX_FAIL_IF(!kx_dtype_parse(dtype, &tensor->dtype), err, h->blame,
               "%s: tensor %s has the unknown type %.32s", path, name, dtype);
    KX_TRY(read_shape(h, tensor, json_object_get(value, "shape"), err));
    KX_TRY(read_offsets(h, tensor, json_object_get(value, "data_offsets"), err));
out:
    return status;
}

static kx_status read_metadata(const header *h, const json_t *metadata, kx_error *err)
{
    kx_status status = KX_OK;
    kx_safetensors *file = h->file;
    KX_FAIL_IF(!json_is_object(metadata), err, h->blame, "%s: __metadata__ is not an object", file->path);
    KX_TRY(KX_ARENA_ARRAY(&file->arena, json_object_size(metadata), &file->metadata, err));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        KX_FAIL_IF(!json_is_string(value), err, h->blame, "%s: __metadata__ entry %.64s is not a text",
                   file->path, key);
        char *key_copy, *value_copy;
        KX_TRY(kx_arena_copy_text(&file->arena, key, strlen(key), &key_copy, err));
        KX_TRY(kx_arena_copy_text(&file->arena, json_string_value(value), json_string_length(value),
                                  &value_copy, err));
        file->metadata[file->num_metadata++] = (kx_safetensors_text){key_copy, value_copy};
    }
out:
    return status;
}

static int compare_places(const void *a, const void *b)
{
    const kx_safetensors_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty tensors stand before their neighbour */
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const kx_safetensors_tensor *)a)->name, ((const kx_safetensors_tensor *)b)->name);
}

/* Without holes and overlaps from the first data byte to the last of the file. */
static kx_status check_tiling(const header *h, kx_error *err)
{
    kx_status status = KX_OK;
    kx_safetensors *file = h->file;
    qsort(file->tensors, file->num_tensors, sizeof *file->tensors, compare_places);
    size_t reached = 0;
    for (size_t i = 0; i < file->num_tensors; i++) {
        const kx_safetensors_tensor *tensor = &file->tensors[i];
        size_t begin = (size_t)(tensor->data - h->data);
        KX_FAIL_IF(begin < reached, err, h->blame, "%s: tensors %s and %s overlap", file->path,
                   file->tensors[i - 1].name, tensor->name);
        KX_FAIL_IF(begin > reached, err, h->blame, "%s: %zu data bytes before tensor %s belong to no tensor",
                   file->path, begin - reached, tensor->name);
        reached = begin + tensor->bytes;
    }
    KX_FAIL_IF(reached != h->data_bytes, err, h->blame,
               "%s: the file is %zu bytes longer than its header describes", file->path,
               h->data_bytes - reached);
out:
    return status;
}

static kx_status read_header(const header *h, const json_t *root, kx_error *err)
{
    kx_status status = KX_OK;
    kx_safetensors *file = h->file;
    KX_FAIL_IF(!json_is_object(root), err, h->blame, "%s: the header is not a JSON object", file->path);
    size_t members = json_object_size(root);
    KX_FAIL_IF(members > KX_LIMIT_TENSORS, err, h->blame, "%s: the header lists %zu tensors, the limit is %d",
               file->path, members, KX_LIMIT_TENSORS);
    KX_TRY(KX_ARENA_ARRAY(&file->arena, members, &file->tensors, err));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            KX_TRY(read_metadata(h, value, err));
        } else {
            KX_TRY(read_tensor(h, &file->tensors[file->num_tensors++], name, value, err));
        }
    }
    KX_TRY(check_tiling(h, err));
    if (file->num_tensors > 0) qsort(file->tensors, file->num_tensors, sizeof *file->tensors, compare_names);
out:
    return status;
}

kx_status kx_safetensors_open_memory(kx_safetensors *file, const void *data, size_t bytes, const char *what,
                                     kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    const uint8_t *start = data;
    json_t *root = NULL;
    char *path;
    *file = (kx_safetensors){.bytes = bytes};
    KX_TRY(kx_arena_copy_text(&file->arena, what, strlen(what), &path, err));
    file->path = path;
    static const char pointer[] = "version https://git-lfs";
    KX_FAIL_IF(bytes >= sizeof pointer - 1 && memcmp(start, pointer, sizeof pointer - 1) == 0, err, blame,
               "%s: is a Git LFS pointer, not the file itself", path);
    KX_FAIL_IF(bytes < LENGTH_BYTES, err, blame,
               "%s: not a safetensors file: %zu bytes, at least %d are needed", path, bytes, LENGTH_BYTES);
    uint64_t length = read_u64(start);
    KX_FAIL_IF(length > KX_LIMIT_HEADER_BYTES, err, blame,
               "%s: not a safetensors file: a header of %llu bytes, the limit is %u", path,
               (unsigned long long)length, KX_LIMIT_HEADER_BYTES);
    KX_FAIL_IF(length > bytes - LENGTH_BYTES, err, blame,
               "%s: the file is truncated: a header of %llu bytes, the file has %zu", path,
               (unsigned long long)length, bytes);
    const uint8_t *text = start + LENGTH_BYTES;
    KX_FAIL_IF(length == 0 || text[0] != '{', err, blame,
               "%s: not a safetensors file: the header is no JSON object", path);
    KX_FAIL_IF(count_json_values(text, (size_t)length) > KX_LIMIT_TENSORS * values_per_tensor, err, blame,
               "%s: the header lists too many values, the limit is %d tensors", path, KX_LIMIT_TENSORS);
    KX_TRY(kx_json_text_load(&root, (const char *)text, (size_t)length, path, blame, err));
    header h = {file, text + length, bytes - LENGTH_BYTES - (size_t)length, blame};
    KX_TRY(read_header(&h, root, err));
out:
    json_decref(root);
    if (status != KX_OK) kx_safetensors_close(file);
    return status;
}

kx_status kx_safetensors_open(kx_safetensors *file, const char *path, kx_status blame, kx_error *err)
{
    kx_status status = KX_OK;
    kx_file_map map = {0};
    *file = (kx_safetensors){0};
    KX_TRY(kx_file_map_open(&map, path, blame, err));
    KX_TRY(kx_safetensors_open_memory(file, map.data, map.bytes, path, blame, err));
    file->map = map;
    map = (kx_file_map){0};
out:
    kx_file_map_close(&map);
    return status;
}

void kx_safetensors_close(kx_safetensors *file)
{
    kx_file_map_close(&file->map);
    kx_arena_free(&file->arena);
    *file = (kx_safetensors){0};
}

const kx_safetensors_tensor *kx_safetensors_find(const kx_safetensors *file, const char *name)
{
    if (file->num_tensors == 0) return NULL;
    kx_safetensors_tensor key = {.name = name};
    return bsearch(&key, file->tensors, file->num_tensors, sizeof key, compare_names);
}

const char *kx_safetensors_metadata(const kx_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->num_metadata; i++) {
        if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
    }
    return NULL;
}

void kx_safetensors_shape_text(const kx_safetensors_tensor *tensor, char *out, size_t room)
{
    size_t used = (size_t)snprintf(out, room, "[");
    for (int i = 0; i < tensor->rank && used < room; i++)
        used +=
            (size_t)snprintf(out + used, room - used, i > 0 ? ",%lld" : "%lld", (long long)tensor->shape[i]);
    if (used < room) snprintf(out + used, room - used, "]");
}
