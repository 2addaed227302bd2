#include "engine/formats/synth.h"

#include "base/file.h"
#include "engine/formats/safetensors_writer.h"
#include "engine/formats/synth_shapes.h"
#include "engine/formats/ticker.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STEPS = 511,               /* values of the sum of two bytes */
    BUFFER_ELEMENTS = 1 << 20, /* 2 MiB of bf16 at once */
    MAX_SHARDS = 64,
};
static const double sum_deviation = 104.5108; /* of that sum: sqrt(2 (256^2 - 1) / 12) */

static const struct {
    const char *folder, *stem;
    uint64_t shard_bytes; /* the sizes that diffusers and transformers use */
} part_files[KX_PART_COUNT] = {
    {"transformer", "diffusion_pytorch_model", 9990000000u},
    {"vae", "diffusion_pytorch_model", 9990000000u},
    {"text_encoder", "model", 4990000000u},
    {"text_encoder_2", "model", 4990000000u},
};

/* One run of kx_synth_write. */
typedef struct synth {
    const kx_synth_options *options;
    kx_synth_sizes sizes;
    kx_arena arena;
    kx_synth_list lists[KX_PART_COUNT];
    uint16_t *buffer; /* BUFFER_ELEMENTS */
    kx_ticker ticker;
    const char *folder; /* the temporary one */
} synth;

/* ---- Numbers ------------------------------------------------------------------------------------------ */

/* splitmix64 (Steele, Lea, Flood 2014): the finaliser of a counter. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t hash_name(uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *name != '\0'; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return mix(hash ^ mix(seed + 0x9e3779b97f4a7c15u));
}

/* values (count) bf16: a bell of two uniform bytes, looked up by their sum. The first has the number `first`,
 * a multiple of 4. */
static void fill(uint16_t *values, size_t count, uint64_t key, uint64_t first, const uint16_t table[STEPS])
{
    for (size_t i = 0; i < count; i += 4) {
        uint64_t bits = mix(key + (first + i) / 4 * 0x9e3779b97f4a7c15u);
        size_t last = count - i < 4 ? count - i : 4;
        for (size_t k = 0; k < last; k++) {
            values[i + k] = table[(bits & 255) + (bits >> 8 & 255)];
            bits >>= 16;
        }
    }
}

static kx_status write_tensor(synth *s, kx_safetensors_writer *writer, const kx_synth_tensor *tensor,
                              kx_error *err)
{
    kx_status status = KX_OK;
    uint16_t table[STEPS];
    for (int i = 0; i < STEPS; i++)
        table[i] =
            kx_bf16_from_f32((float)(tensor->mean + tensor->deviation * (i - STEPS / 2) / sum_deviation));
    uint64_t key = hash_name(s->options->seed, tensor->name);
    for (size_t done = 0; done < tensor->count;) {
        size_t count = tensor->count - done < BUFFER_ELEMENTS ? tensor->count - done : BUFFER_ELEMENTS;
        fill(s->buffer, count, key, done, table);
        KX_TRY(kx_safetensors_writer_append(writer, s->buffer, 2 * count, err));
        KX_TRY(kx_ticker_advance(&s->ticker, 2 * count, err));
        done += count;
    }
out:
    return status;
}

/* ---- Files -------------------------------------------------------------------------------------------- */

static kx_status write_text(const synth *s, const char *name, const kx_bytes *text, kx_error *err)
{
    kx_status status = KX_OK;
    kx_file_write file = {.fd = -1};
    char *path = kx_file_join(s->folder, name);
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    KX_TRY(kx_file_write_open(&file, path, err));
    KX_TRY(kx_file_write_bytes(&file, text->data, text->size, err));
    KX_TRY(kx_file_write_commit(&file, err));
out:
    kx_file_write_discard(&file);
    free(path);
    return status;
}

/* Tensors first .. end-1 of a part as one file. */
static kx_status write_shard(synth *s, kx_part_kind kind, size_t first, size_t end, const char *name,
                             kx_error *err)
{
    kx_status status = KX_OK;
    kx_safetensors_writer writer = {0};
    const kx_synth_tensor *tensors = s->lists[kind].tensors;
    char *path = kx_file_join(s->folder, name);
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    KX_TRY(kx_safetensors_writer_metadata(&writer, "format", "pt", err));
    for (size_t i = first; i < end; i++) {
        KX_TRY(kx_safetensors_writer_declare(&writer, tensors[i].name, KX_BF16, tensors[i].rank,
                                             tensors[i].shape, err));
    }
    KX_TRY(kx_safetensors_writer_open(&writer, path, err));
    for (size_t i = first; i < end; i++) KX_TRY(write_tensor(s, &writer, &tensors[i], err));
    KX_TRY(kx_safetensors_writer_commit(&writer, err));
out:
    kx_safetensors_writer_discard(&writer);
    free(path);
    return status;
}

/* Where each shard of a list begins; starts[*shards] = the end. A shard takes tensors while they fit. */
static void cut_shards(const kx_synth_list *list, uint64_t shard_bytes, size_t starts[MAX_SHARDS + 1],
                       size_t *shards)
{
    uint64_t filled = 0;
    *shards = 1;
    starts[0] = 0;
    for (size_t i = 0; i < list->count; i++) {
        uint64_t bytes = 2 * (uint64_t)list->tensors[i].count;
        if (filled > 0 && filled + bytes > shard_bytes && *shards < MAX_SHARDS) {
            starts[(*shards)++] = i;
            filled = 0;
        }
        filled += bytes;
    }
    starts[*shards] = list->count;
}

static void name_shard(kx_part_kind kind, size_t shard, size_t shards, bool with_folder, char *out,
                       size_t room)
{
    const char *folder = with_folder ? part_files[kind].folder : "", *slash = with_folder ? "/" : "";
    if (shards == 1) {
        snprintf(out, room, "%s%s%s.safetensors", folder, slash, part_files[kind].stem);
    } else {
        snprintf(out, room, "%s%s%s-%05zu-of-%05zu.safetensors", folder, slash, part_files[kind].stem,
                 shard + 1, shards);
    }
}

static kx_status write_index(const synth *s, kx_part_kind kind, const size_t *starts, size_t shards,
                             kx_error *err)
{
    kx_status status = KX_OK;
    const kx_synth_list *list = &s->lists[kind];
    kx_bytes text = {.cap = KX_LIMIT_CONFIG_BYTES};
    char line[512], name[128];
    int length = snprintf(line, sizeof line,
                          "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {",
                          (unsigned long long)list->bytes);
    KX_TRY(kx_bytes_append(&text, line, (size_t)length, err));
    for (size_t shard = 0; shard < shards; shard++) {
        name_shard(kind, shard, shards, false, name, sizeof name);
        for (size_t i = starts[shard]; i < starts[shard + 1]; i++) {
            length = snprintf(line, sizeof line, "%s\n    \"%s\": \"%s\"", i > 0 ? "," : "",
                              list->tensors[i].name, name);
            KX_TRY(kx_bytes_append(&text, line, (size_t)length, err));
        }
    }
    KX_TRY(kx_bytes_append(&text, "\n  }\n}\n", 7, err));
    snprintf(name, sizeof name, "%s/%s.safetensors.index.json", part_files[kind].folder,
             part_files[kind].stem);
    KX_TRY(write_text(s, name, &text, err));
out:
    kx_bytes_free(&text);
    return status;
}

static kx_status make_folder(const synth *s, const char *name, kx_error *err)
{
    kx_status status = KX_OK;
    char *path = kx_file_join(s->folder, name);
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    KX_TRY(kx_file_make_directory(path, err));
out:
    free(path);
    return status;
}

static kx_status write_part(synth *s, kx_part_kind kind, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes config = {0};
    size_t starts[MAX_SHARDS + 1], shards;
    char name[128];
    KX_TRY(make_folder(s, part_files[kind].folder, err));
    KX_TRY(kx_synth_config_part(&s->sizes, kind, &config, err));
    snprintf(name, sizeof name, "%s/config.json", part_files[kind].folder);
    KX_TRY(write_text(s, name, &config, err));
    uint64_t shard_bytes =
        s->options->shard_bytes > 0 ? s->options->shard_bytes : part_files[kind].shard_bytes;
    cut_shards(&s->lists[kind], shard_bytes, starts, &shards);
    if (shards > 1) KX_TRY(write_index(s, kind, starts, shards, err));
    for (size_t i = 0; i < shards; i++) {
        name_shard(kind, i, shards, true, name, sizeof name);
        KX_TRY(write_shard(s, kind, starts[i], starts[i + 1], name, err));
    }
out:
    kx_bytes_free(&config);
    return status;
}

static kx_status write_rest(synth *s, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes index = {0}, scheduler = {0}, kontext = {0};
    KX_TRY(kx_synth_config_index(&index, err));
    KX_TRY(write_text(s, "model_index.json", &index, err));
    KX_TRY(make_folder(s, "scheduler", err));
    KX_TRY(kx_synth_config_scheduler(&scheduler, err));
    KX_TRY(write_text(s, "scheduler/scheduler_config.json", &scheduler, err));
    KX_TRY(kx_synth_config_kontext(s->options, &kontext, err));
    KX_TRY(write_text(s, "kontext.json", &kontext, err));
    if (s->options->add_files != NULL) KX_TRY(s->options->add_files(s->options->context, s->folder, err));
out:
    kx_bytes_free(&index);
    kx_bytes_free(&scheduler);
    kx_bytes_free(&kontext);
    return status;
}

/* ---- All or nothing ----------------------------------------------------------------------------------- */

/* Removes what is under our own temporary folder, and it. Links are removed, never followed. */
static void remove_tree(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) return;
    if (!S_ISDIR(info.st_mode)) {
        unlink(path);
        return;
    }
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *below = kx_file_join(path, entry->d_name);
        if (below != NULL) remove_tree(below);
        free(below);
    }
    if (directory != NULL) closedir(directory);
    rmdir(path);
}

/* Bytes of `path` that name a folder that exists already; the folders behind it would be made by us. */
static size_t existing_length(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) return strlen(path);
    size_t length = strlen(copy);
    while (length > 0 && !kx_file_exists(copy)) {
        while (length > 0 && copy[length - 1] != '/') length--;
        while (length > 0 && copy[length - 1] == '/') length--;
        copy[length] = '\0';
    }
    free(copy);
    return length;
}

/* Removes the empty folders of `path` that are longer than `kept` bytes, from the end. */
static void remove_parents(char *path, size_t kept)
{
    for (size_t length = strlen(path); length > kept;) {
        path[length] = '\0';
        if (rmdir(path) != 0 && errno != ENOENT) return;
        while (length > 0 && path[length - 1] != '/') length--;
        while (length > 0 && path[length - 1] == '/') length--;
    }
}

static kx_status check_target(const char *folder, uint64_t needed, kx_error *err)
{
    kx_status status = KX_OK;
    uint64_t available;
    DIR *directory = NULL;
    KX_FAIL_IF(kx_file_exists(folder) && !kx_file_is_directory(folder), err, KX_ERR_OUTPUT,
               "%s: exists and is not a directory", folder);
    directory = opendir(folder);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        KX_FAIL_IF(strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0, err, KX_ERR_OUTPUT,
                   "%s: is not empty; a new folder is expected", folder);
    }
    KX_TRY(kx_file_free_bytes(folder, &available, err));
    KX_FAIL_IF(available < needed, err, KX_ERR_OUTPUT, "%s: the model needs %.1f GB, %.1f GB are free there",
               folder, (double)needed * 1e-9, (double)available * 1e-9);
out:
    if (directory != NULL) closedir(directory);
    return status;
}

static kx_status write_all(synth *s, const char *target, kx_error *err)
{
    kx_status status = KX_OK;
    void *buffer;
    KX_TRY(kx_arena_take_array(&s->arena, BUFFER_ELEMENTS, sizeof *s->buffer, &buffer, err));
    s->buffer = buffer;
    KX_TRY(kx_file_make_directory(s->folder, err));
    for (int kind = 0; kind < KX_PART_COUNT; kind++) KX_TRY(write_part(s, (kx_part_kind)kind, err));
    KX_TRY(write_rest(s, err));
    /* An empty folder of that name is replaced. */
    KX_FAIL_IF(rename(s->folder, target) != 0, err, KX_ERR_OUTPUT, "%s: cannot write there: %s", target,
               strerror(errno));
out:
    return status;
}

kx_status kx_synth_write(const char *folder, const kx_synth_options *options, const kx_callbacks *callbacks,
                         kx_error *err)
{
    kx_status status = KX_OK;
    synth s = {.options = options, .sizes = kx_synth_sizes_of(options)};
    char *target = NULL, *temporary = NULL;
    uint64_t total = 0;
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') length--;
    KX_TRY(kx_arena_copy_text(&s.arena, folder, length, &target, err));
    KX_TRY(kx_arena_take(&s.arena, length + 32, (void **)&temporary, err));
    snprintf(temporary, length + 32, "%s.part-%ld", target, (long)getpid());
    s.folder = temporary;
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        s.lists[kind].arena = &s.arena;
        KX_TRY(kx_synth_list_part(&s.lists[kind], &s.sizes, (kx_part_kind)kind, err));
        total += s.lists[kind].bytes;
    }
    KX_TRY(check_target(target, total + (8 << 20), err)); /* headers, configurations, tokenizers */
    size_t kept = existing_length(temporary);
    kx_ticker_start(&s.ticker, callbacks, "write", total);
    status = kx_ticker_advance(&s.ticker, 0, err);
    if (status == KX_OK) status = write_all(&s, target, err);
    if (status != KX_OK) {
        remove_tree(temporary);
        remove_parents(temporary, kept);
    }
out:
    kx_arena_free(&s.arena);
    return status;
}
