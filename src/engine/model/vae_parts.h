/* Private to the VAE: its parts as loaded. vae_load.c fills them, vae.c runs them. */
#pragma once

#include "engine/model/parameters.h"
#include "engine/model/vae.h"

typedef struct kx_vae_block { /* a residual block */
    int64_t in_channels, out_channels;
    kx_norm norm1, norm2;
    kx_conv conv1, conv2;
    bool has_shortcut;
    kx_conv shortcut; /* 1x1 convolution of x, where the number of channels changes */
} kx_vae_block;

typedef struct kx_vae_level {
    int num_blocks;
    kx_vae_block *blocks;
    int64_t widest;   /* channels of the widest input or output of its blocks */
    kx_conv resample; /* to the next smaller level (encoder) or the next larger one (decoder), where there is
                         one */
} kx_vae_level;

typedef struct kx_vae_middle {
    kx_vae_block before, after;
    kx_norm norm;
    kx_conv q, k, v, out;
} kx_vae_middle;

typedef struct kx_vae_half {
    kx_conv first, last;
    int num_levels;
    kx_vae_level *levels; /* 0 is the full size, for both halves */
    kx_vae_middle middle;
    kx_norm norm;
} kx_vae_half;

struct kx_vae {
    kx_vae_config config;
    kx_arena arena;
    kx_vae_half encoder, decoder;
    /* latent_channels each: latent = encode_scale mean + encode_shift, and back */
    float *encode_scale, *encode_shift, *decode_scale, *decode_shift;
};
