#include "engine/formats/model_folder.h"

#include "engine/formats/folder_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where diffusers keeps each part, in the order of kx_part_kind. */
static const char *const part_folders[KX_PART_COUNT] = {"transformer", "vae", "text_encoder",
                                                        "text_encoder_2"};
static const char *const part_titles[KX_PART_COUNT] = {"transformer", "VAE", "CLIP text encoder",
                                                       "T5 text encoder"};

static kx_status join(kx_arena *arena, const char *folder, const char *name, const char **out, kx_error *err)
{
    kx_status status = KX_OK;
    size_t room = strlen(folder) + strlen(name) + 2;
    char *path;
    KX_TRY(kx_arena_take(arena, room, (void **)&path, err));
    snprintf(path, room, "%s/%s", folder, name);
    *out = path;
out:
    return status;
}

/* ---- Parts -------------------------------------------------------------------------------------------- */

static bool holds_a_part(const kx_candidate *candidate)
{
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        if (candidate->signs[kind].present) return true;
    }
    return false;
}

/* Tensors are told apart by prefix, so two parts of one file need different ones. */
static kx_status check_prefixes(const kx_candidate *candidate, kx_error *err)
{
    kx_status status = KX_OK;
    for (int a = 0; a < KX_PART_COUNT; a++) {
        for (int b = a + 1; b < KX_PART_COUNT; b++) {
            const kx_part_sign *x = &candidate->signs[a], *y = &candidate->signs[b];
            KX_FAIL_IF(x->present && y->present && strcmp(x->prefix, y->prefix) == 0, err, KX_ERR_MODEL,
                       "%s: holds both a %s and a %s, and no prefix tells their tensors apart",
                       candidate->path, part_titles[a], part_titles[b]);
        }
    }
out:
    return status;
}

static kx_status choose(const kx_folder_scan *scan, const char *path,
                        const kx_candidate *chosen[KX_PART_COUNT], kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < scan->num_candidates; i++) {
        const kx_candidate *candidate = &scan->candidates[i];
        KX_TRY(check_prefixes(candidate, err));
        for (int kind = 0; kind < KX_PART_COUNT; kind++) {
            if (!candidate->signs[kind].present) continue;
            KX_FAIL_IF(chosen[kind] != NULL, err, KX_ERR_MODEL,
                       "%s: two candidates for the %s: %s and %s; keep one of them there", path,
                       part_titles[kind], chosen[kind]->path, candidate->path);
            chosen[kind] = candidate;
        }
    }
out:
    return status;
}

static void append(char *out, size_t room, const char *separator, const char *text)
{
    size_t used = strlen(out);
    if (used < room) snprintf(out + used, room - used, "%s%s", used > 0 ? separator : "", text);
}

/* `path` behind the model's folder, which the sentence names already. */
static const char *relative(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/' ? path + length + 1 : path;
}

static kx_status check_missing(const kx_folder_scan *scan, const char *path,
                               const kx_candidate *const chosen[KX_PART_COUNT], kx_error *err)
{
    kx_status status = KX_OK;
    char missing[160] = "", found[512] = "";
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        if (chosen[kind] == NULL) {
            append(missing, sizeof missing, ", ", part_titles[kind]);
            continue;
        }
        char line[256];
        snprintf(line, sizeof line, "%s in %s", part_titles[kind], relative(chosen[kind]->path, path));
        append(found, sizeof found, ", ", line);
    }
    for (size_t i = 0; i < scan->num_candidates; i++) {
        if (holds_a_part(&scan->candidates[i])) continue;
        char line[256];
        snprintf(line, sizeof line, "something else in %s", relative(scan->candidates[i].path, path));
        append(found, sizeof found, ", ", line);
    }
    KX_FAIL_IF(missing[0] != '\0', err, KX_ERR_MODEL, "%s: missing: %s; found: %s%s%s", path, missing,
               found[0] != '\0' ? found : "no safetensors files",
               scan->unread[0] != '\0' ? "; cannot be read: " : "", scan->unread);
out:
    return status;
}

static kx_status take_files(kx_model_files *files, kx_folder_scan *scan, kx_error *err)
{
    kx_status status = KX_OK;
    size_t count = 0;
    for (size_t i = 0; i < scan->num_candidates; i++) count += scan->candidates[i].num_files;
    KX_TRY(KX_ARENA_ARRAY(&files->arena, count, &files->files, err));
    for (size_t i = 0; i < scan->num_candidates; i++) {
        kx_candidate *candidate = &scan->candidates[i];
        if (!holds_a_part(candidate)) continue; /* closed with the scan */
        for (size_t k = 0; k < candidate->num_files; k++)
            files->files[files->num_files++] = candidate->files[k];
        candidate->num_files = 0;
    }
out:
    return status;
}

static kx_status open_parts(kx_model_files *files, const kx_candidate *const chosen[KX_PART_COUNT],
                            kx_error *err)
{
    kx_status status = KX_OK;
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        KX_TRY(kx_part_open(&files->parts[kind], (kx_part_kind)kind, chosen[kind]->signs,
                            (const kx_safetensors *const *)chosen[kind]->files, chosen[kind]->num_files,
                            &files->arena, err));
    }
out:
    return status;
}

/* ---- What else is in the folder ----------------------------------------------------------------------- */

static kx_status load_config(kx_model_files *files, kx_config_kind kind, const char *folder, const char *name,
                             kx_error *err)
{
    kx_status status = KX_OK;
    const char *path;
    KX_TRY(join(&files->arena, folder, name, &path, err));
    files->config_files[kind] = path;
    KX_TRY(kx_config_load(&files->configs, kind, path, &files->arena, err));
out:
    return status;
}

/* A part's config.json lies beside its file; for a file at the top, in the subfolder of diffusers if there is
 * one. */
static kx_status load_configs(kx_model_files *files, const kx_candidate *const chosen[KX_PART_COUNT],
                              kx_error *err)
{
    kx_status status = KX_OK;
    static const kx_config_kind kinds[KX_PART_COUNT] = {KX_CONFIG_TRANSFORMER, KX_CONFIG_VAE, KX_CONFIG_CLIP,
                                                        KX_CONFIG_T5};
    kx_configs_default(&files->configs);
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        const char *folder = chosen[kind]->folder;
        if (strcmp(folder, files->path) == 0)
            KX_TRY(join(&files->arena, files->path, part_folders[kind], &folder, err));
        KX_TRY(load_config(files, kinds[kind], folder, "config.json", err));
    }
    KX_TRY(load_config(files, KX_CONFIG_SCHEDULER, files->path, "scheduler/scheduler_config.json", err));
    KX_TRY(load_config(files, KX_CONFIG_INDEX, files->path, "model_index.json", err));
    KX_TRY(load_config(files, KX_CONFIG_KONTEXT, files->path, "kontext.json", err));
out:
    return status;
}

static kx_status find_tokenizer(kx_model_files *files, const char *tokenizers, const char *name,
                                const char **out, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(join(&files->arena, files->path, name, out, err));
    if (kx_file_is_directory(*out)) goto out;
    KX_FAIL_IF(
        tokenizers == NULL, err, KX_ERR_MODEL,
        "%s: the model has no folder %s/; name one that holds tokenizer/ and tokenizer_2/ with --tokenizers",
        files->path, name);
    KX_TRY(join(&files->arena, tokenizers, name, out, err));
    KX_FAIL_IF(!kx_file_is_directory(*out), err, KX_ERR_MODEL,
               "%s: there is no folder %s/ there, nor in the model %s", tokenizers, name, files->path);
out:
    return status;
}

/* ---- Is it the right model? --------------------------------------------------------------------------- */

static kx_status check_transformer(const kx_model_files *files, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part *part = &files->parts[KX_PART_TRANSFORMER];
    const char *path = part->files[0]->path;
    kx_weight weight;
    bool found;
    KX_TRY(part->source.find(part->source.context, "img_in.weight", &weight, &found, err));
    int64_t inputs = found && weight.rank == 2 ? weight.shape[1] : 0;
    KX_FAIL_IF(inputs == 128 || inputs == 384, err, KX_ERR_MODEL,
               "%s: is a FLUX.1 %s model (%lld input channels); FLUX.1 Kontext or dev (64) is expected", path,
               inputs == 128 ? "Canny or Depth" : "Fill", (long long)inputs);
    KX_TRY(part->source.find(part->source.context, "guidance_in.in_layer.weight", &weight, &found, err));
    KX_FAIL_IF(!found && files->configs.transformer.guidance_embeds.value &&
                   files->configs.transformer.guidance_embeds.known,
               err, KX_ERR_MODEL, "%s: there is no guidance_in, which config.json promises (guidance_embeds)",
               path);
    KX_FAIL_IF(!found, err, KX_ERR_MODEL,
               "%s: is a FLUX.1 schnell model (no guidance_in); FLUX.1 Kontext or dev is expected", path);
out:
    return status;
}

static kx_status check_vae(const kx_model_files *files, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part *part = &files->parts[KX_PART_VAE];
    kx_weight weight;
    bool found;
    KX_TRY(part->source.find(part->source.context, "decoder.conv_in.weight", &weight, &found, err));
    KX_FAIL_IF(found && weight.rank == 4 && weight.shape[1] != 16, err, KX_ERR_MODEL,
               "%s: is a VAE of %lld latent channels, of another family of models; the VAE of FLUX.1 (16) is "
               "expected",
               part->files[0]->path, (long long)weight.shape[1]);
out:
    return status;
}

/* ---- All of it ---------------------------------------------------------------------------------------- */

static kx_status scan_folder(kx_folder_scan *scan, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(!kx_file_exists(path), err, KX_ERR_MODEL, "%s: there is no such model folder", path);
    KX_FAIL_IF(!kx_file_is_directory(path), err, KX_ERR_MODEL,
               "%s: is a file; the folder that holds the model is expected", path);
    KX_TRY(kx_folder_scan_add(scan, path, err));
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        const char *folder;
        KX_TRY(join(scan->arena, path, part_folders[kind], &folder, err));
        KX_TRY(kx_folder_scan_add(scan, folder, err));
    }
out:
    return status;
}

kx_status kx_model_files_open(kx_model_files **out, const char *path, const char *tokenizers, kx_error *err)
{
    kx_status status = KX_OK;
    kx_folder_scan scan = {0};
    const kx_candidate *chosen[KX_PART_COUNT] = {NULL};
    *out = NULL;
    kx_model_files *files = calloc(1, sizeof *files);
    KX_FAIL_IF(files == NULL, err, KX_ERR_MEMORY, "out of memory");
    scan.arena = &files->arena;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    char *copy;
    KX_TRY(kx_arena_copy_text(&files->arena, path, length, &copy, err));
    files->path = copy;
    KX_TRY(scan_folder(&scan, files->path, err));
    KX_TRY(choose(&scan, files->path, chosen, err));
    KX_TRY(check_missing(&scan, files->path, chosen, err));
    KX_TRY(open_parts(files, chosen, err));
    KX_TRY(take_files(files, &scan, err));
    KX_TRY(load_configs(files, chosen, err));
    KX_TRY(check_transformer(files, err));
    KX_TRY(check_vae(files, err));
    KX_TRY(find_tokenizer(files, tokenizers, "tokenizer", &files->clip_tokenizer, err));
    KX_TRY(find_tokenizer(files, tokenizers, "tokenizer_2", &files->t5_tokenizer, err));
    *out = files;
    files = NULL;
out:
    for (size_t i = 0; i < scan.num_candidates; i++) kx_candidate_close(&scan.candidates[i]);
    free(scan.candidates);
    kx_model_files_close(files);
    return status;
}

const char *kx_model_part_file(kx_part_kind kind)
{
    static const char *const names[KX_PART_COUNT] = {
        "transformer/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors", "text_encoder_2/model.safetensors"};
    return names[kind];
}

void kx_model_files_close(kx_model_files *files)
{
    if (files == NULL) return;
    for (size_t i = 0; i < files->num_files; i++) {
        kx_safetensors_close(files->files[i]);
        free(files->files[i]);
    }
    kx_arena_free(&files->arena);
    free(files);
}
