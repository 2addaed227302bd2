#include "engine/formats/part.h"

#include "base/json_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ------------------------------------------------------------------------------------------ */

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const kx_part_entry *)a)->name, ((const kx_part_entry *)b)->name);
}

/* The part whose prefix fits best, KX_PART_COUNT for none. */
static int owner_of(const kx_part_sign signs[KX_PART_COUNT], const char *name)
{
    int owner = KX_PART_COUNT;
    size_t longest = 0;
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        size_t length = strlen(signs[kind].prefix);
        if (!signs[kind].present || strncmp(signs[kind].prefix, name, length) != 0) continue;
        if (owner == KX_PART_COUNT || length > longest) {
            owner = kind;
            longest = length;
        }
    }
    return owner;
}

static bool is_helper(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *last = dot != NULL ? dot + 1 : name;
    return strcmp(last, "scale_weight") == 0 || strcmp(last, "weight_scale") == 0;
}

static bool ends_with(const char *name, const char *tail)
{
    size_t length = strlen(name), tail_length = strlen(tail);
    return length > tail_length && strcmp(name + length - tail_length, tail) == 0;
}

/* Of a packed part the parameters of the original are counted, and the bytes that are there. */
static void count_packed(kx_part *part)
{
    for (size_t i = 0; i < part->packed->num_parameters; i++) {
        const kx_packed_entry *parameter = &part->packed->parameters[i];
        part->num_tensors++;
        part->num_parameters += (uint64_t)parameter->rows * (uint64_t)parameter->cols;
    }
}

static void count_entry(kx_part *part, const kx_part_entry *entry)
{
    if (entry->foreign || is_helper(entry->name) || kx_names_is_ignored(part->kind, entry->name)) return;
    bool data = ends_with(entry->name, KX_PACKED_DATA);
    if (part->packed != NULL &&
        (data || ends_with(entry->name, KX_PACKED_SCALES) || ends_with(entry->name, KX_PACKED_SUMS))) {
        part->num_bytes += entry->tensor->bytes;
        part->dtype_tensors[entry->tensor->dtype] += data;
        return;
    }
    part->num_tensors++;
    part->num_parameters += entry->tensor->count;
    part->num_bytes += entry->tensor->bytes;
    part->dtype_tensors[entry->tensor->dtype]++;
}

static void collect_entries(kx_part *part, const kx_part_sign signs[KX_PART_COUNT])
{
    int first = 0;
    while (first < KX_PART_COUNT && !signs[first].present) first++;
    size_t room = 0;
    for (size_t f = 0; f < part->num_files; f++) room += part->files[f]->num_tensors;
    for (size_t f = 0; f < part->num_files; f++) {
        for (size_t i = 0; i < part->files[f]->num_tensors; i++) {
            const kx_safetensors_tensor *tensor = &part->files[f]->tensors[i];
            int owner = owner_of(signs, tensor->name);
            kx_part_entry entry = {.name = tensor->name, .tensor = tensor, .file = part->files[f]};
            if (owner == (int)part->kind) {
                entry.name += strlen(part->prefix);
                part->entries[part->num_entries++] = entry;
            } else if (owner == KX_PART_COUNT && first == (int)part->kind) {
                entry.foreign = true;
                part->entries[room - ++part->num_foreign] = entry;
            } else {
                continue;
            }
            count_entry(part, &entry);
        }
    }
    memmove(part->entries + part->num_entries, part->entries + room - part->num_foreign,
            part->num_foreign * sizeof *part->entries);
    qsort(part->entries, part->num_entries, sizeof *part->entries, compare_entries);
}

static kx_status check_doubles(const kx_part *part, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 1; i < part->num_entries; i++) {
        const kx_part_entry *a = &part->entries[i - 1], *b = &part->entries[i];
        KX_FAIL_IF(strcmp(a->name, b->name) == 0, err, KX_ERR_MODEL, "%s: tensor %s is in %s and in %s",
                   part->source.what, a->name, a->file->path, b->file->path);
    }
out:
    return status;
}

static int count_levels(const kx_part *part)
{
    static const char start[] = "decoder.up_blocks.";
    int levels = 0;
    for (size_t i = 0; i < part->num_entries; i++) {
        if (strncmp(part->entries[i].name, start, sizeof start - 1) != 0) continue;
        char digit = part->entries[i].name[sizeof start - 1];
        if (digit >= '0' && digit <= '9' && digit - '0' >= levels) levels = digit - '0' + 1;
    }
    return levels;
}

static kx_status check_format(const char *what, const char *layer, const json_t *description, kx_error *err)
{
    kx_status status = KX_OK;
    const char *format = json_string_value(json_object_get(description, "format"));
    KX_FAIL_IF(format == NULL || strcmp(format, "float8_e4m3fn") != 0, err, KX_ERR_MODEL,
               "%s: layer %s is quantised as %.64s; float8_e4m3fn is the only such format that can be read",
               what, layer, format != NULL ? format : "an unnamed format");
out:
    return status;
}

/* {"layers": {"double_blocks.0.img_attn.qkv": {"format": "float8_e4m3fn"}, ...}} in the file's metadata. */
static kx_status check_metadata(const kx_safetensors *file, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *root = NULL;
    const char *text = kx_safetensors_metadata(file, "_quantization_metadata");
    if (text == NULL) goto out;
    KX_FAIL_IF(strlen(text) > KX_LIMIT_CONFIG_BYTES, err, KX_ERR_MODEL,
               "%s: _quantization_metadata has %zu bytes, the limit is %u", file->path, strlen(text),
               KX_LIMIT_CONFIG_BYTES);
    KX_TRY(kx_json_text_load(&root, text, strlen(text), file->path, KX_ERR_MODEL, err));
    const char *layer;
    json_t *description;
    json_object_foreach(json_object_get(root, "layers"), layer, description)
    {
        KX_TRY(check_format(file->path, layer, description, err));
    }
out:
    json_decref(root);
    return status;
}

bool kx_part_can_be_packed(kx_part_kind kind)
{
    return kind != KX_PART_VAE;
}

/* A packed part is one file of nothing else, under names without a prefix. */
static kx_status read_packed(kx_part *part, kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < part->num_files && part->packed == NULL; i++)
        KX_TRY(kx_packed_index_read(&part->packed, part->files[i], arena, err));
    KX_FAIL_IF(part->packed != NULL && (part->num_files > 1 || part->prefix[0] != '\0'), err, KX_ERR_MODEL,
               "%s: a packed %s is expected in one file of its own", part->files[0]->path, part->source.what);
    KX_FAIL_IF(part->packed != NULL && !kx_part_can_be_packed(part->kind), err, KX_ERR_MODEL,
               "%s: a packed %s is not known", part->files[0]->path, part->source.what);
out:
    return status;
}

static kx_status find_weight(void *context, const char *name, kx_weight *weight, bool *found, kx_error *err);
static kx_status find_packed(void *context, const char *name, kx_packed *packed, bool *found, kx_error *err);

kx_status kx_part_open(kx_part *part, kx_part_kind kind, const kx_part_sign signs[KX_PART_COUNT],
                       const kx_safetensors *const *files, size_t num_files, kx_arena *arena, kx_error *err)
{
    kx_status status = KX_OK;
    char *prefix;
    size_t room = 0;
    *part = (kx_part){.kind = kind, .dialect = signs[kind].dialect, .files = files, .num_files = num_files};
    part->source = (kx_weight_source){.find = find_weight, .context = part, .what = kx_part_kind_name(kind)};
    KX_TRY(kx_arena_copy_text(arena, signs[kind].prefix, strlen(signs[kind].prefix), &prefix, err));
    part->prefix = prefix;
    KX_TRY(read_packed(part, arena, err));
    if (part->packed != NULL) {
        part->source.find_packed = find_packed;
        count_packed(part);
    }
    for (size_t i = 0; i < num_files; i++) {
        KX_TRY(check_metadata(files[i], err));
        room += files[i]->num_tensors;
    }
    KX_TRY(KX_ARENA_ARRAY(arena, room, &part->entries, err));
    collect_entries(part, signs);
    KX_TRY(check_doubles(part, err));
    part->vae_levels = count_levels(part);
out:
    return status;
}

/* ---- Finding ------------------------------------------------------------------------------------------ */

static kx_part_entry *lookup(const kx_part *part, const char *name)
{
    if (part->num_entries == 0) return NULL;
    kx_part_entry key = {.name = name};
    return bsearch(&key, part->entries, part->num_entries, sizeof key, compare_entries);
}

/* The entry LAYER.member for the weight LAYER.weight, marked as used; NULL when there is none. */
static kx_part_entry *lookup_member(const kx_part *part, const char *weight_name, const char *member)
{
    static const char tail[] = ".weight";
    char name[KX_LIMIT_TENSOR_NAME_BYTES + 32];
    size_t length = strlen(weight_name);
    if (length < sizeof tail || strcmp(weight_name + length - (sizeof tail - 1), tail) != 0) return NULL;
    snprintf(name, sizeof name, "%.*s.%s", (int)(length - (sizeof tail - 1)), weight_name, member);
    kx_part_entry *entry = lookup(part, name);
    if (entry != NULL) entry->used = true;
    return entry;
}

static kx_status read_scale(const kx_part *part, const char *weight_name, float *scale, kx_error *err)
{
    kx_status status = KX_OK;
    kx_part_entry *entry = lookup_member(part, weight_name, "weight_scale");
    kx_part_entry *older = lookup_member(part, weight_name, "scale_weight");
    if (entry == NULL) entry = older;
    *scale = 1;
    if (entry == NULL) goto out;
    KX_FAIL_IF(entry->tensor->count != 1 || !kx_dtype_is_weight(entry->tensor->dtype), err, KX_ERR_MODEL,
               "%s: tensor %s has %zu elements of type %s, one F32 number is expected", part->source.what,
               entry->tensor->name, entry->tensor->count, kx_dtype_name(entry->tensor->dtype));
    *scale = kx_dtype_get(entry->tensor->dtype, entry->tensor->data, 0);
    KX_FAIL_IF(!isfinite(*scale), err, KX_ERR_MODEL, "%s: tensor %s is not a finite number",
               part->source.what, entry->tensor->name);
out:
    return status;
}

static kx_status check_quantisation(const kx_part *part, const char *weight_name, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *root = NULL;
    const kx_part_entry *entry = lookup_member(part, weight_name, "comfy_quant");
    if (entry == NULL) goto out;
    const kx_safetensors_tensor *tensor = entry->tensor;
    KX_FAIL_IF(tensor->dtype != KX_U8 || tensor->bytes > KX_LIMIT_CONFIG_BYTES, err, KX_ERR_MODEL,
               "%s: tensor %s should hold a short JSON text as U8", part->source.what, tensor->name);
    KX_TRY(
        kx_json_text_load(&root, (const char *)tensor->data, tensor->bytes, tensor->name, KX_ERR_MODEL, err));
    KX_TRY(check_format(part->source.what, tensor->name, root, err));
out:
    json_decref(root);
    return status;
}

static kx_status weight_of(const kx_part *part, kx_part_entry *entry, kx_weight *weight, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_safetensors_tensor *tensor = entry->tensor;
    float scale;
    entry->used = true;
    KX_TRY(check_quantisation(part, entry->name, err));
    KX_FAIL_IF(!kx_dtype_is_weight(tensor->dtype), err, KX_ERR_MODEL,
               "%s: tensor %s has type %s; F32, BF16, F16 or F8 is expected", part->source.what, tensor->name,
               kx_dtype_name(tensor->dtype));
    KX_FAIL_IF(tensor->rank > KX_WEIGHT_MAX_RANK, err, KX_ERR_MODEL,
               "%s: tensor %s has %d dimensions, the most is %d", part->source.what, tensor->name,
               tensor->rank, KX_WEIGHT_MAX_RANK);
    KX_TRY(read_scale(part, entry->name, &scale, err));
    *weight = (kx_weight){.rank = tensor->rank, .num_segments = 1};
    for (int i = 0; i < tensor->rank; i++) weight->shape[i] = tensor->shape[i];
    weight->segments[0] = (kx_weight_segment){tensor->data, kx_weight_rows(weight), tensor->dtype, scale};
out:
    return status;
}

static kx_status stack_weight(const kx_part *part, const kx_part_entry *entry, kx_weight *weight,
                              const kx_weight *below, kx_error *err)
{
    kx_status status = KX_OK;
    bool fits = weight->rank == below->rank && weight->rank > 0;
    for (int i = 1; fits && i < weight->rank; i++) fits = weight->shape[i] == below->shape[i];
    if (!fits) {
        char shape[64];
        kx_safetensors_shape_text(entry->tensor, shape, sizeof shape);
        KX_FAIL(err, KX_ERR_MODEL, "%s: tensor %s has shape %s, which cannot be stacked with its neighbours",
                part->source.what, entry->tensor->name, shape);
    }
    *weight = kx_weight_stack(weight, below);
out:
    return status;
}

static kx_status swap_halves(const kx_part *part, const char *name, kx_weight *weight, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t rows = kx_weight_rows(weight);
    KX_FAIL_IF(weight->rank == 0 || rows % 2 != 0, err, KX_ERR_MODEL,
               "%s: tensor %s has %lld rows, an even number is expected", part->source.what, name,
               (long long)rows);
    kx_weight upper = kx_weight_slice(weight, 0, rows / 2),
              lower = kx_weight_slice(weight, rows / 2, rows / 2);
    *weight = kx_weight_stack(&lower, &upper);
out:
    return status;
}

/* The VAE's attention is made of 1x1 convolutions in one layout and of matrices in the other: always
 * matrices. */
static void flatten_attention(const kx_part *part, const char *canonical, kx_weight *weight)
{
    if (part->kind == KX_PART_VAE && strstr(canonical, ".attn_1.") != NULL && weight->rank == 4 &&
        weight->shape[2] == 1 && weight->shape[3] == 1)
        weight->rank = 2;
}

static kx_status follow_recipe(const kx_part *part, const kx_name_recipe *recipe, kx_weight *weight,
                               bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    kx_part_entry *entries[KX_NAME_MAX_SOURCES];
    const char *missing = NULL;
    *found = false;
    for (int i = 0; i < recipe->count; i++) {
        entries[i] = lookup(part, recipe->names[i]);
        if (entries[i] == NULL) missing = recipe->names[i];
        *found = *found || entries[i] != NULL;
    }
    if (!*found) goto out;
    KX_FAIL_IF(missing != NULL, err, KX_ERR_MODEL, "%s: tensor %s is missing", part->source.what, missing);
    KX_TRY(weight_of(part, entries[0], weight, err));
    for (int i = 1; i < recipe->count; i++) {
        kx_weight below;
        KX_TRY(weight_of(part, entries[i], &below, err));
        KX_TRY(stack_weight(part, entries[i], weight, &below, err));
    }
    if (recipe->swap_halves) KX_TRY(swap_halves(part, recipe->names[0], weight, err));
out:
    return status;
}

static kx_status find_weight(void *context, const char *name, kx_weight *weight, bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part *part = context;
    kx_name_recipe recipe;
    const kx_packed_entry *shape =
        part->packed != NULL ? kx_packed_index_parameter(part->packed, name) : NULL;
    *found = shape != NULL;
    if (shape != NULL) *weight = (kx_weight){.rank = 2, .shape = {shape->rows, shape->cols}};
    for (int i = 0; i < KX_NAME_ALTERNATIVES && !*found; i++) {
        if (!kx_names_recipe(part->kind, part->dialect, part->vae_levels, name, i, &recipe)) continue;
        KX_TRY(follow_recipe(part, &recipe, weight, found, err));
    }
    if (*found) flatten_attention(part, name, weight);
out:
    return status;
}

static kx_status find_packed(void *context, const char *name, kx_packed *packed, bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part *part = context;
    static const char *const tails[] = {KX_PACKED_DATA, KX_PACKED_SCALES, KX_PACKED_SUMS};
    KX_TRY(kx_packed_index_matrix(part->packed, part->files[0], name, packed, found, err));
    for (size_t i = 0; *found && i < sizeof tails / sizeof *tails; i++) {
        char full[KX_LIMIT_TENSOR_NAME_BYTES + 32];
        snprintf(full, sizeof full, "%s%s", name, tails[i]);
        kx_part_entry *entry = lookup(part, full);
        if (entry != NULL) entry->used = true;
    }
out:
    return status;
}

kx_status kx_part_check_extra(const kx_part *part, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part_entry *first = NULL;
    size_t count = 0;
    for (size_t i = 0; i < part->num_entries + part->num_foreign; i++) {
        const kx_part_entry *entry = &part->entries[i];
        if (entry->used || kx_names_is_ignored(part->kind, entry->name)) continue;
        if (first == NULL) first = entry;
        count++;
    }
    KX_FAIL_IF(first != NULL, err, KX_ERR_MODEL, "%s: %s holds %zu tensor%s of another model, such as %s",
               part->source.what, first->file->path, count, count == 1 ? "" : "s", first->tensor->name);
out:
    return status;
}
