/* Writing the transformer, T5 or CLIP with its matrices packed (formats/packed_index.h).
 *
 * The network itself says what it reads: it is loaded over a source that notes every name, and then asked for
 * the matrices that lower precisions pack. A parameter whose bytes are in one of these matrices is packed;
 * all others are written as they are, under canonical names.
 *
 * Matrices are packed one after another through one buffer, and pages that were read are given back, so the
 * memory is that of the largest matrix.
 */
#pragma once

#include "engine/formats/part.h"
#include "engine/formats/ticker.h"
#include "engine/kernels/kernels.h"
#include "engine/model/clip.h"
#include "engine/model/mmdit.h"
#include "engine/model/t5.h"

/* The bytes of a source are announced before they are read, and given back afterwards. `before` may be NULL.
 */
typedef struct kx_part_feed {
    void (*before)(void *context, const void *data, size_t bytes);
    void (*after)(void *context, const void *data, size_t bytes);
    void *context;
} kx_part_feed;

typedef struct kx_packer_parameter {
    const char *name;
    kx_weight weight;
    bool packed;
} kx_packer_parameter;

/* How a parameter that is not packed is stored: as it is, or as f32 when it is made of pieces of different
 * types (which is exact). A scale other than 1 is a tensor of its own. */
typedef struct kx_plain_form {
    kx_dtype dtype;
    float scale;
} kx_plain_form;
kx_plain_form kx_part_packer_form(const kx_weight *weight);

typedef struct kx_packer_matrix {
    const char *name;
    const kx_linear *linear;
} kx_packer_matrix;

typedef struct kx_part_packer {
    const kx_part *part;
    kx_dtype dtype; /* KX_I8 or KX_BF16 */
    const kx_kernels *kernels;
    kx_pool *pool;
    kx_arena arena;
    kx_weight_source source; /* the part's, which notes what is found */
    kx_mmdit *mmdit;         /* one of the three */
    kx_t5 *t5;
    kx_clip *clip;
    kx_packer_parameter *parameters;
    size_t num_parameters;
    kx_packer_matrix *matrices;
    size_t num_matrices;
    uint64_t bytes; /* that will be written */
} kx_part_packer;

/* `packer` has part, dtype, kernels and pool, and must not move. axes: those of the transformer, or NULL for
 * the published ones. Errors: KX_ERR_MODEL, KX_ERR_MEMORY. */
kx_status kx_part_packer_open(kx_part_packer *packer, const kx_mmdit_config *axes, kx_error *err);
/* Errors: KX_ERR_OUTPUT, KX_ERR_CANCELLED, KX_ERR_MEMORY. */
kx_status kx_part_packer_write(const kx_part_packer *packer, const char *path, const kx_part_feed *feed,
                               kx_ticker *ticker, kx_error *err);
void kx_part_packer_close(kx_part_packer *packer);
