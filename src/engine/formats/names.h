/* The names of parameters. Every public layout of FLUX.1 cuts and names the same numbers differently; model
 * code knows one set of names only, the canonical one:
 *
 *     transformer, VAE   the original (BFL) files: double_blocks.0.img_attn.qkv.weight,
 * decoder.up.3.block.0.conv1.bias CLIP               Hugging Face without text_model.:
 * encoder.layers.0.self_attn.q_proj.weight T5                 Hugging Face: shared.weight,
 * encoder.block.0.layer.0.SelfAttention.q.weight
 *
 * all without a container's prefix ("model.diffusion_model.", "text_encoders.t5xxl.transformer.", ...). This
 * file says which parts a file holds, under which prefix and in which dialect, and from which tensors of the
 * file a canonical parameter is made. It knows names only; part.h turns them into weights. Tables:
 * specification 5.1 to 5.5.
 */
#pragma once

#include "base/limits.h"
#include "engine/formats/safetensors.h"

typedef enum kx_part_kind {
    KX_PART_TRANSFORMER = 0,
    KX_PART_VAE,
    KX_PART_CLIP,
    KX_PART_T5,
    KX_PART_COUNT,
} kx_part_kind;

typedef enum kx_dialect {
    KX_DIALECT_BFL = 0,   /* transformer, VAE: canonical names */
    KX_DIALECT_HF,        /* CLIP, T5: canonical names */
    KX_DIALECT_COMFYUI,   /* canonical names behind a container's prefix */
    KX_DIALECT_DIFFUSERS, /* transformer, VAE */
} kx_dialect;

const char *kx_part_kind_name(kx_part_kind kind); /* "transformer", "vae", "clip", "t5" */
const char *kx_dialect_name(kx_dialect dialect);  /* "bfl", "hf", "comfyui", "diffusers" */

enum { KX_NAME_PREFIX_BYTES = 64, KX_NAME_MAX_SOURCES = 4, KX_NAME_ALTERNATIVES = 2 };

typedef struct kx_part_sign {
    bool present;
    kx_dialect dialect;
    char prefix[KX_NAME_PREFIX_BYTES];
} kx_part_sign;

/* Which parts the tensors of `files` (one file, or the shards of one model) hold together. */
void kx_names_recognise(const kx_safetensors *const *files, size_t num_files,
                        kx_part_sign signs[KX_PART_COUNT]);

/* The tensors of a file, without the prefix, whose rows stacked are one canonical parameter. */
typedef struct kx_name_recipe {
    int count;
    bool swap_halves; /* afterwards the lower half of the rows comes first */
    char names[KX_NAME_MAX_SOURCES][KX_LIMIT_TENSOR_NAME_BYTES + 1];
} kx_name_recipe;

/* The recipe for `canonical`. Some parameters go by two names: `alternative` 0 and 1 are tried in turn.
 * vae_levels: resolutions of the decoder, which diffusers counts from the other end (4 in all known models).
 * False: there is no such alternative. */
bool kx_names_recipe(kx_part_kind kind, kx_dialect dialect, int vae_levels, const char *canonical,
                     int alternative, kx_name_recipe *recipe);

/* Tensors that known files carry and that an edit does not need: position_ids, logit_scale, the decoder of a
 * whole T5, scales of activations, ... `name` without the prefix. */
bool kx_names_is_ignored(kx_part_kind kind, const char *name);
