/* The JSON files beside the weights: only what the tensors do not tell.
 *
 * Every number has a default and a flag that says whether a file gave it. A default of 0 means "to be taken
 * from the tensors' shapes" (specification 0.1, item 12). A key that is absent or null counts as not given;
 * one of the wrong kind, out of range or naming something that is not implemented is KX_ERR_MODEL with file
 * and key. Keys that are not listed here are left alone.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct kx_known_int {
    int64_t value;
    bool known;
} kx_known_int;

typedef struct kx_known_real {
    double value;
    bool known;
} kx_known_real;

typedef struct kx_known_flag {
    bool value;
    bool known;
} kx_known_flag;

enum { KX_CONFIG_AXES = 3, KX_CONFIG_PREFERRED_MAX = 64 };

typedef struct kx_transformer_json { /* transformer/config.json */
    kx_known_int num_attention_heads, attention_head_dim, in_channels;
    int axes_dims_rope[KX_CONFIG_AXES];
    bool axes_known;
    kx_known_flag guidance_embeds; /* true */
} kx_transformer_json;

typedef struct kx_vae_json {      /* vae/config.json */
    kx_known_int norm_num_groups; /* 32 */
    kx_known_int layers_per_block, latent_channels;
    kx_known_real scaling_factor, shift_factor; /* 0.3611, 0.1159 */
} kx_vae_json;

typedef struct kx_clip_json { /* of the folder that holds the CLIP model */
    kx_known_int num_attention_heads;
    kx_known_int eos_token_id;            /* 2, which selects the largest id (specification 0.1, item 13) */
    kx_known_int max_position_embeddings; /* 0: rows of the position table */
    kx_known_real layer_norm_eps;         /* 1e-5 */
    bool exact_gelu;                      /* hidden_act "gelu"; else "quick_gelu" */
} kx_clip_json;

typedef struct kx_t5_json { /* of the folder that holds the T5 model */
    kx_known_int num_heads, d_kv;
    kx_known_int relative_attention_max_distance; /* 128 */
    kx_known_real layer_norm_epsilon;             /* 1e-6 */
} kx_t5_json;

typedef struct kx_scheduler_json {                      /* scheduler/scheduler_config.json */
    kx_known_real base_shift, max_shift;                /* 0.5, 1.15 */
    kx_known_int base_image_seq_len, max_image_seq_len; /* 256, 4096 */
    kx_known_real shift;                                /* 3, of the static rule */
    kx_known_flag use_dynamic_shifting;                 /* true */
    kx_known_int num_train_timesteps;                   /* 1000 */
} kx_scheduler_json;

typedef struct kx_kontext_json {         /* kontext.json */
    const char *name, *licence, *family; /* NULL when not given */
    kx_known_int native_area;            /* 1024 x 1024 pixels */
    kx_size preferred_sizes[KX_CONFIG_PREFERRED_MAX];
    size_t num_preferred_sizes; /* 17 */
    bool preferred_known;
    kx_known_int min_side, max_side; /* 16, 2048 pixels */
    kx_known_int max_text_tokens;    /* 512 */
    kx_known_int default_steps;      /* 28 */
    kx_known_real default_guidance;  /* 2.5 */
} kx_kontext_json;

typedef struct kx_configs {
    kx_transformer_json transformer;
    kx_vae_json vae;
    kx_clip_json clip;
    kx_t5_json t5;
    kx_scheduler_json scheduler;
    kx_kontext_json kontext;
    const char *pipeline_class; /* _class_name of model_index.json, or NULL */
} kx_configs;

typedef enum kx_config_kind {
    KX_CONFIG_TRANSFORMER = 0,
    KX_CONFIG_VAE,
    KX_CONFIG_CLIP,
    KX_CONFIG_T5,
    KX_CONFIG_SCHEDULER,
    KX_CONFIG_KONTEXT,
    KX_CONFIG_INDEX, /* model_index.json */
    KX_CONFIG_KINDS,
} kx_config_kind;

/* FLUX.1 Kontext [dev]. */
void kx_configs_default(kx_configs *configs);
/* Takes over what the object `root` says. `path` is for sentences; texts are copied into `arena`. */
kx_status kx_config_read(kx_configs *configs, kx_config_kind kind, const json_t *root, const char *path,
                         kx_arena *arena, kx_error *err);
/* The same from a file. A file that does not exist changes nothing. */
kx_status kx_config_load(kx_configs *configs, kx_config_kind kind, const char *path, kx_arena *arena,
                         kx_error *err);
