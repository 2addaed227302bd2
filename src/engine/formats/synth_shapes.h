/* The tensors and configurations of the synthetic models. */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "engine/formats/names.h"
#include "engine/formats/synth.h"

typedef struct kx_synth_tensor {
    const char *name; /* as in the files of diffusers */
    int rank;
    int64_t shape[4];
    size_t count;
    double mean, deviation;
} kx_synth_tensor;

typedef struct kx_synth_list {
    kx_arena *arena;
    kx_synth_tensor *tensors;
    size_t count;
    uint64_t bytes; /* of all, in bf16 */
} kx_synth_list;

typedef struct kx_synth_sizes {
    int heads, head_dim, double_blocks, single_blocks;
    int axes[3];
    int t5_width, t5_heads, t5_head_dim, t5_hidden, t5_layers, t5_rows;
    int clip_width, clip_heads, clip_hidden, clip_layers, clip_rows;
    int vae_channels[4], vae_blocks, vae_groups, latent_channels;
    int text_tokens;
} kx_synth_sizes;

kx_synth_sizes kx_synth_sizes_of(const kx_synth_options *options);
/* Appends all tensors of one part, in the order of the file. */
kx_status kx_synth_list_part(kx_synth_list *list, const kx_synth_sizes *sizes, kx_part_kind kind,
                             kx_error *err);
/* The text of a part's config.json, behind what `text` holds already. */
kx_status kx_synth_config_part(const kx_synth_sizes *sizes, kx_part_kind kind, kx_bytes *text, kx_error *err);
/* model_index.json, scheduler/scheduler_config.json, kontext.json. */
kx_status kx_synth_config_index(kx_bytes *text, kx_error *err);
kx_status kx_synth_config_scheduler(kx_bytes *text, kx_error *err);
kx_status kx_synth_config_kontext(const kx_synth_options *options, kx_bytes *text, kx_error *err);
