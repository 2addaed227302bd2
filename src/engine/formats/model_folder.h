/* A model folder: finds the four parts and the two tokenizers by content, whatever the files are called.
 *
 * Looked at are the .safetensors (and .sft) files at the top and in transformer/, vae/, text_encoder/ and
 * text_encoder_2/, the layout of diffusers. Files listed by an *.safetensors.index.json are one model in
 * shards. A file may hold several parts behind prefixes (ComfyUI). Which part it is follows from tensor names
 * (names.h), never from the file's or folder's name. Two candidates for a part are an error: nothing is
 * chosen in silence.
 *
 *     kx_model_files *files = NULL;
 *     KX_TRY(kx_model_files_open(&files, "models/kontext", NULL, err));
 *     ... build the transformer from &files->parts[KX_PART_TRANSFORMER].source ...
 *     KX_TRY(kx_part_check_extra(&files->parts[KX_PART_TRANSFORMER], err));
 *     kx_model_files_close(files);      // last: weights point into its maps
 */
#pragma once

#include "base/arena.h"
#include "engine/formats/configs.h"
#include "engine/formats/part.h"

typedef struct kx_model_files {
    const char *path;
    kx_part parts[KX_PART_COUNT];
    kx_configs configs;
    const char *clip_tokenizer; /* folders */
    const char *t5_tokenizer;
    const char *config_files[KX_CONFIG_KINDS]; /* where each is looked for; it need not be there */
    kx_safetensors **files;                    /* all that hold a part, each once */
    size_t num_files;
    kx_arena arena;
} kx_model_files;

/* `path`: a folder. `tokenizers`: a folder with tokenizer/ and tokenizer_2/ for a model that has none, or
 * NULL. Maps the files and checks their headers and the configurations; reads no weights. Errors:
 * KX_ERR_MODEL, KX_ERR_MEMORY. */
kx_status kx_model_files_open(kx_model_files **out, const char *path, const char *tokenizers, kx_error *err);
/* Where the layout of diffusers has a part's file: "vae/diffusion_pytorch_model.safetensors". */
const char *kx_model_part_file(kx_part_kind kind);
void kx_model_files_close(kx_model_files *files);
