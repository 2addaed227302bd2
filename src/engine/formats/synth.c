#include "engine/formats/synth.h"

#include "base/file.h"
#include "engine/formats/model_folder.h"
#include "engine/formats/new_folder.h"
#include "engine/formats/safetensors_writer.h"
#include "engine/formats/synth_numbers.h"
#include "engine/formats/synth_shapes.h"
#include "engine/formats/synth_source.h"
#include "engine/formats/ticker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_ELEMENTS = 1 << 20, /* 2 MiB of bf16 at once */
    MAX_SHARDS = 64,
};

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
    kx_synth_source sources[KX_PART_COUNT]; /* with a packer */
    const char *folder;                     /* the temporary one */
} synth;

/* ---- Files -------------------------------------------------------------------------------------------- */

static kx_status write_tensor(synth *s, kx_safetensors_writer *writer, const kx_synth_tensor *tensor,
                              kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t done = 0; done < tensor->count;) {
        size_t count = tensor->count - done < BUFFER_ELEMENTS ? tensor->count - done : BUFFER_ELEMENTS;
        kx_synth_fill(s->buffer, count, tensor, s->options->seed, done);
        KX_TRY(kx_safetensors_writer_append(writer, s->buffer, 2 * count, err));
        KX_TRY(kx_ticker_advance(&s->ticker, 2 * count, err));
        done += count;
    }
out:
    return status;
}

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
    kx_safetensors_writer writer = {.checksums = s->options->packer != NULL};
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

static bool is_packed(const synth *s, kx_part_kind kind)
{
    return s->options->packer != NULL && kx_part_can_be_packed(kind);
}

static kx_status write_packed(synth *s, kx_part_kind kind, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_synth_packer *packer = s->options->packer;
    char *path = kx_file_join(s->folder, kx_model_part_file(kind));
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    KX_TRY(packer->write(packer->context, &s->sources[kind], path, &s->ticker, err));
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
    if (is_packed(s, kind)) {
        KX_TRY(write_packed(s, kind, err));
        goto out;
    }
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

/* ---- All of it ----------------------------------------------------------------------------------------- */

static kx_status write_all(synth *s, kx_error *err)
{
    kx_status status = KX_OK;
    void *buffer;
    KX_TRY(kx_arena_take_array(&s->arena, BUFFER_ELEMENTS, sizeof *s->buffer, &buffer, err));
    s->buffer = buffer;
    for (int kind = 0; kind < KX_PART_COUNT; kind++) KX_TRY(write_part(s, (kx_part_kind)kind, err));
    KX_TRY(write_rest(s, err));
out:
    return status;
}

/* The bytes of a part's weights, which are counted before anything is written. */
static kx_status measure_part(synth *s, kx_part_kind kind, uint64_t *bytes, kx_error *err)
{
    kx_status status = KX_OK;
    kx_synth_list *list = &s->lists[kind];
    list->arena = &s->arena;
    KX_TRY(kx_synth_list_part(list, &s->sizes, kind, err));
    *bytes = list->bytes;
    if (!is_packed(s, kind)) goto out;
    KX_TRY(kx_synth_source_open(&s->sources[kind], kind, list, s->options->seed, &s->arena, err));
    KX_TRY(s->options->packer->measure(s->options->packer->context, &s->sources[kind].part, bytes, err));
out:
    return status;
}

kx_status kx_synth_write(const char *folder, const kx_synth_options *options, const kx_callbacks *callbacks,
                         kx_error *err)
{
    kx_status status = KX_OK;
    kx_new_folder fresh = {0};
    synth s = {.options = options, .sizes = kx_synth_sizes_of(options)};
    uint64_t total = 0, bytes = 0;
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        KX_TRY(measure_part(&s, (kx_part_kind)kind, &bytes, err));
        total += bytes;
    }
    KX_TRY(kx_new_folder_check(folder, total + (8 << 20), err)); /* headers, configurations, tokenizers */
    kx_ticker_start(&s.ticker, callbacks, "write", total);
    KX_TRY(kx_ticker_advance(&s.ticker, 0, err));
    KX_TRY(kx_new_folder_begin(&fresh, folder, err));
    s.folder = fresh.path;
    KX_TRY(write_all(&s, err));
    KX_TRY(kx_new_folder_commit(&fresh, err));
out:
    kx_new_folder_discard(&fresh);
    for (int kind = 0; kind < KX_PART_COUNT; kind++) kx_synth_source_close(&s.sources[kind]);
    kx_arena_free(&s.arena);
    return status;
}
