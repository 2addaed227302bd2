/* A model folder out of another one, with its transformer, T5 and CLIP packed. The VAE, which
 * has no packed form, is copied, and so is what is not weights. */
#include "engine/formats/new_folder.h"
#include "engine/pipeline/model.h"
#include "engine/pipeline/part_packer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_FOR_HEADERS = 8 << 20 };

typedef struct conversion {
    kx_model *model;
    kx_part_packer packers[KX_PART_COUNT]; /* of the parts that are packed */
    kx_new_folder folder;
    kx_ticker ticker;
} conversion;

/* ---- What is not weights ------------------------------------------------------------------------------- */

static kx_status copy_file(conversion *c, const char *from, const char *to, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_ticker_advance(&c->ticker, 0, err));
    KX_TRY(kx_file_copy(from, to, KX_ERR_MODEL, err));
out:
    return status;
}

/* from_folder/name -> to_folder/name, whose folder is made. The model does without folders, pipes, devices
 * and links to nothing, so they are left out, the last three with a word: reading one might never end. */
static kx_status copy_named(conversion *c, const char *from_folder, const char *name, const char *to_folder,
                            kx_error *err)
{
    kx_status status = KX_OK;
    char *from = kx_file_join(from_folder, name), *to = kx_file_join(to_folder, name);
    KX_FAIL_IF(from == NULL || to == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    if (kx_file_is_directory(from)) goto out;
    if (!kx_file_is_regular(from)) {
        kx_log_warn(&c->model->log, "%s: is not a regular file and is left out of the copy", from);
        goto out;
    }
    KX_TRY(kx_file_make_directory(to_folder, err));
    KX_TRY(copy_file(c, from, to, err));
out:
    free(from);
    free(to);
    return status;
}

static kx_status copy_folder(conversion *c, const char *from, const char *name, kx_error *err)
{
    kx_status status = KX_OK;
    char *to = kx_file_join(c->folder.path, name);
    DIR *directory = opendir(from);
    KX_FAIL_IF(to == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    KX_FAIL_IF(directory == NULL, err, KX_ERR_MODEL, "%s: cannot be read", from);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.') KX_TRY(copy_named(c, from, entry->d_name, to, err));
out:
    if (directory != NULL) closedir(directory);
    free(to);
    return status;
}

/* A configuration goes where diffusers has it, from wherever it was found. */
static kx_status copy_config(conversion *c, kx_config_kind kind, const char *to_name, kx_error *err)
{
    kx_status status = KX_OK;
    const char *from = c->model->files->config_files[kind];
    char *to = kx_file_join(c->folder.path, to_name), *slash;
    KX_FAIL_IF(to == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    if (!kx_file_exists(from)) goto out;
    slash = strrchr(to, '/');
    *slash = '\0';
    KX_TRY(kx_file_make_directory(to, err));
    *slash = '/';
    KX_TRY(copy_file(c, from, to, err));
out:
    free(to);
    return status;
}

static bool is_about_the_model(const char *name)
{
    static const char *const starts[] = {"LICENSE", "LICENCE", "NOTICE", "README"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0) return true;
    return false;
}

static kx_status copy_texts(conversion *c, kx_error *err)
{
    kx_status status = KX_OK;
    const char *from = c->model->files->path;
    DIR *directory = opendir(from);
    KX_FAIL_IF(directory == NULL, err, KX_ERR_MODEL, "%s: cannot be read", from);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (is_about_the_model(entry->d_name))
            KX_TRY(copy_named(c, from, entry->d_name, c->folder.path, err));
out:
    if (directory != NULL) closedir(directory);
    return status;
}

static kx_status copy_rest(conversion *c, kx_error *err)
{
    kx_status status = KX_OK;
    static const char *const names[KX_CONFIG_KINDS] = {
        [KX_CONFIG_TRANSFORMER] = "transformer/config.json",
        [KX_CONFIG_VAE] = "vae/config.json",
        [KX_CONFIG_CLIP] = "text_encoder/config.json",
        [KX_CONFIG_T5] = "text_encoder_2/config.json",
        [KX_CONFIG_SCHEDULER] = "scheduler/scheduler_config.json",
        [KX_CONFIG_KONTEXT] = "kontext.json",
        [KX_CONFIG_INDEX] = "model_index.json",
    };
    for (int kind = 0; kind < KX_CONFIG_KINDS; kind++)
        KX_TRY(copy_config(c, (kx_config_kind)kind, names[kind], err));
    KX_TRY(copy_folder(c, c->model->files->clip_tokenizer, "tokenizer", err));
    KX_TRY(copy_folder(c, c->model->files->t5_tokenizer, "tokenizer_2", err));
    KX_TRY(copy_texts(c, err));
out:
    return status;
}

/* ---- Weights ------------------------------------------------------------------------------------------- */

static void drop(void *context, const void *data, size_t bytes)
{
    (void)context;
    kx_file_drop_range(data, bytes);
}

static kx_status write_part(conversion *c, kx_part_kind kind, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part_feed feed = {.after = drop};
    char *path = kx_file_join(c->folder.path, kx_model_part_file(kind)), *slash;
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory: a path");
    slash = strrchr(path, '/');
    *slash = '\0';
    KX_TRY(kx_file_make_directory(path, err));
    *slash = '/';
    if (kx_part_can_be_packed(kind))
        KX_TRY(kx_part_packer_write(&c->packers[kind], path, &feed, &c->ticker, err));
    else
        KX_TRY(kx_part_copy(&c->model->files->parts[kind], path, &c->ticker, err));
out:
    free(path);
    return status;
}

static kx_status measure(conversion *c, kx_precision precision, uint64_t *total, kx_error *err)
{
    kx_status status = KX_OK;
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        const kx_part *part = &c->model->files->parts[kind];
        kx_part_packer *packer = &c->packers[kind];
        if (kx_part_can_be_packed((kx_part_kind)kind)) {
            *packer = (kx_part_packer){.part = part,
                                       .dtype = kx_packed_dtype(precision),
                                       .kernels = c->model->kernels,
                                       .pool = c->model->pool};
            KX_TRY(kx_part_packer_open(packer, kx_mmdit_config_of(c->model->mmdit), err));
            *total += packer->bytes;
        } else {
            *total += kx_part_copy_bytes(part);
        }
    }
out:
    return status;
}

static kx_status open_source(conversion *c, const kx_model_options *options, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model_options source = *options;
    source.precision = KX_PRECISION_AUTO;
    KX_TRY(kx_model_open(&c->model, &source, err));
    KX_FAIL_IF(c->model->precision != KX_PRECISION_F32, err, KX_ERR_INPUT,
               "%s: is packed for %s already; convert the original", options->path,
               kx_precision_name(c->model->precision));
out:
    return status;
}

kx_status kx_model_convert(const kx_model_options *options, const char *folder, kx_precision precision,
                           const kx_callbacks *callbacks, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0};
    kx_error *err = caller_err != NULL ? caller_err : &own_err;
    conversion c = {.model = NULL};
    uint64_t total = 0;
    KX_FAIL_IF(precision != KX_PRECISION_INT8 && precision != KX_PRECISION_BF16, err, KX_ERR_INPUT,
               "a model can be packed for bf16 or int8, not for %s", kx_precision_name(precision));
    KX_TRY(kx_new_folder_check(folder, 0, err)); /* before the model is looked at */
    KX_TRY(open_source(&c, options, err));
    KX_TRY(measure(&c, precision, &total, err));
    KX_TRY(kx_new_folder_check(folder, total + ROOM_FOR_HEADERS, err));
    kx_ticker_start(&c.ticker, callbacks, "write", total);
    KX_TRY(kx_ticker_advance(&c.ticker, 0, err));
    KX_TRY(kx_new_folder_begin(&c.folder, folder, err));
    /* First what is small and may be unreadable; and whether it has left room for the weights. */
    KX_TRY(copy_rest(&c, err));
    KX_TRY(kx_new_folder_check(folder, total + ROOM_FOR_HEADERS, err));
    for (int kind = 0; kind < KX_PART_COUNT; kind++) KX_TRY(write_part(&c, (kx_part_kind)kind, err));
    KX_TRY(kx_new_folder_commit(&c.folder, err));
out:
    kx_new_folder_discard(&c.folder);
    for (int kind = 0; kind < KX_PART_COUNT; kind++) kx_part_packer_close(&c.packers[kind]);
    kx_model_close(c.model);
    return status;
}
