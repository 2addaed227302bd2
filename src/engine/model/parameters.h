/* How a network finds its parameters: by canonical name, printf-style, with every shape checked. Matrices
 * stay views of the mapped file (kx_weight); biases and norm scales are few and are read as f32 into the
 * arena.
 *
 *     KX_TRY(kx_parameters_linear(p, &block->up, mlp, hidden, "double_blocks.%d.img_mlp.0", i));
 *
 * Errors of all functions: KX_ERR_MODEL (missing, of another shape; the sentence names it), KX_ERR_MEMORY.
 */
#pragma once

#include "base/arena.h"
#include "engine/tensor/ops.h"

enum { KX_PARAMETERS_MAX_BLOCKS = 1024 /* of one kind; more is a broken file */ };

typedef struct kx_parameters {
    const kx_weight_source *source;
    kx_arena *arena;
    kx_error *err;
    bool rounded; /* what convolutions are told (kx_conv) */
} kx_parameters;

/* The parameter as it lies in the file. A negative extent accepts anything; every extent must be positive. */
__attribute__((format(printf, 5, 6))) kx_status kx_parameters_weight(const kx_parameters *p,
                                                                     kx_weight *weight, int rank,
                                                                     const int64_t *shape, const char *format,
                                                                     ...);
/* A vector (length), as f32. */
__attribute__((format(printf, 4, 5))) kx_status
kx_parameters_vector(const kx_parameters *p, const float **values, int64_t length, const char *format, ...);
/* NAME.weight (rows, cols) and NAME.bias (rows). */
__attribute__((format(printf, 5, 6))) kx_status kx_parameters_linear(const kx_parameters *p,
                                                                     kx_linear *linear, int64_t rows,
                                                                     int64_t cols, const char *format, ...);
/* NAME.weight and NAME.bias (length) of a normalisation. */
typedef struct kx_norm {
    const float *weight, *bias;
} kx_norm;
__attribute__((format(printf, 4, 5))) kx_status kx_parameters_norm(const kx_parameters *p, kx_norm *norm,
                                                                   int64_t length, const char *format, ...);
/* NAME.weight (out, in, k, k) and NAME.bias (out). */
__attribute__((format(printf, 6, 7))) kx_status kx_parameters_conv(const kx_parameters *p, kx_conv *conv,
                                                                   int64_t out_channels, int64_t in_channels,
                                                                   int64_t k, const char *format, ...);
__attribute__((format(printf, 3, 4))) kx_status kx_parameters_exists(const kx_parameters *p, bool *exists,
                                                                     const char *format, ...);
/* How many of the blocks 0, 1, ... are there; `format` names a parameter of block %d. */
kx_status kx_parameters_count(const kx_parameters *p, const char *before, const char *after, int *count);

/* The product of several linears of equal cols as one: rows stacked in order, biases (all or none) joined. */
kx_status kx_parameters_join(const kx_parameters *p, const kx_linear *parts, int count, kx_linear *joined);

/* Visits the matrices of the block `number` that a lower precision packs, as "double_blocks.3.img_attn.qkv".
 */
typedef struct kx_block_linear {
    const char *name; /* within the block */
    kx_linear *linear;
} kx_block_linear;
kx_status kx_parameters_visit_block(const char *blocks, int number, const kx_block_linear *linears,
                                    size_t count, kx_linear_visit *visit, void *context, kx_error *err);
