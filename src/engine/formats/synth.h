/* Models with random weights, in the layout of diffusers, for tests of everything but the pictures' beauty.
 *
 *     tiny    a few MB: head size 32, 2 + 3 blocks, small text encoders, a narrow VAE, native size 128x128
 *     slice   the true widths, 2 + 4 blocks, 2 layers in each text encoder, the whole VAE: 3.9 GB
 *     full    the true shapes of FLUX.1 Kontext [dev]: 33.7 GB
 *
 * All weights are bf16 and follow from the seed and the tensor's name, by an integer hash: the same bytes on
 * every machine. They are scaled so that activations keep their size through all blocks.
 */
#pragma once

#include "base/error.h"

struct kx_part;
struct kx_synth_source; /* synth_source.h */
struct kx_ticker;

/* Who writes the parts that can be packed of a model that is to be: knowing which matrices products use is
 * not for this folder. */
typedef struct kx_synth_packer {
    /* The bytes that `write` will report for the part. */
    kx_status (*measure)(void *context, const struct kx_part *part, uint64_t *bytes, kx_error *err);
    kx_status (*write)(void *context, struct kx_synth_source *source, const char *path,
                       struct kx_ticker *ticker, kx_error *err);
    void *context;
} kx_synth_packer;

typedef struct kx_synth_options {
    kx_synth_preset preset;
    uint64_t seed;
    size_t clip_vocab; /* 0: the published 49408 */
    size_t t5_vocab;   /* 0: the published 32128. Its table is rounded up to a multiple of 128 rows */
    const kx_synth_packer *packer; /* NULL: bf16, as the model is published */
    uint64_t shard_bytes;          /* the most of one file; 0: the sizes of the published files */
    /* Adds the tokenizers (and whatever else) to `folder`, before the model appears under its name. May be
     * NULL. */
    kx_status (*add_files)(void *context, const char *folder, kx_error *err);
    void *context;
} kx_synth_options;

/* `folder` must not exist, or be empty. The model appears there complete, or not at all. Progress stage
 * "write", in bytes. Errors: KX_ERR_OUTPUT (also when the disk lacks room, before anything is written),
 * KX_ERR_CANCELLED. */
kx_status kx_synth_write(const char *folder, const kx_synth_options *options, const kx_callbacks *callbacks,
                         kx_error *err);
