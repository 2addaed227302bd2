/* T5 v1.1 encoder (google/t5-v1_1-xxl; model-spec 3.1): token ids -> one embedding per token.
 *
 *     x = E[ids]                                             no scaling by sqrt(width)
 *     per block:  x += Wo softmax(Q K^T + B) V,              Q, K, V from RMS(x); no 1/sqrt(d)
 *                 x += Wout (gelu_tanh(W0 y) * (W1 y)),      y from RMS(x)
 *     out = RMS(x)
 *
 * B depends on the head and on the distance key - query only, and is the same in all blocks; its table
 * belongs to block 0. There is no mask: padding takes part, as the transformer was trained with it.
 */
#pragma once

#include "base/arena.h"
#include "engine/tensor/ops.h"

/* In the hints of kx_t5_load: 0 = not said; then the shapes or the published model's values decide. */
typedef struct kx_t5_config {
    int64_t vocabulary;
    int64_t width;        /* 4096 */
    int64_t heads;        /* 64; columns of the bias table */
    int64_t head_dim;     /* 64 */
    int64_t hidden;       /* 10240 */
    int blocks;           /* 24 */
    int64_t buckets;      /* 32; rows of the bias table */
    int64_t max_distance; /* 128 */
    float eps;            /* 1e-6 */
} kx_t5_config;

typedef struct kx_t5 kx_t5;

/* Parameters under Hugging Face names. hints may be NULL; of it only max_distance and eps are read (heads,
 * when said, must agree). Errors: KX_ERR_MODEL, KX_ERR_MEMORY. */
kx_status kx_t5_load(kx_t5 **t5, const kx_weight_source *source, const kx_t5_config *hints, kx_error *err);
/* Visits every matrix that a lower precision packs: those of the blocks. */
kx_status kx_t5_each_linear(kx_t5 *t5, kx_linear_visit *visit, void *context, kx_error *err);
void kx_t5_free(kx_t5 *t5);
const kx_t5_config *kx_t5_config_of(const kx_t5 *t5);
/* Memory of its own: norm scales and the bias table. */
size_t kx_t5_bytes(const kx_t5 *t5);

/* Row of the bias table for the distance key - query. */
int64_t kx_t5_bucket(const kx_t5_config *config, int64_t distance);

/* ids (T) -> out (T, width). ids may be NULL when dry. Traces: t5.bias (heads, 2T-1), t5.block.K (T, width).
 * Errors: KX_ERR_MODEL for an id outside of the vocabulary. */
void kx_t5_encode(const kx_t5 *t5, kx_ops *ops, const int32_t *ids, int64_t T, kx_tensor *out);
