/* CLIP text encoder (openai/clip-vit-large-patch14, text half; model-spec 3.3): 77 token ids -> one pooled
 * vector.
 *
 *     x = E_token[ids] + E_position
 *     per layer:  x += Wo softmax(Q K^T / sqrt(d) + causal) V,   Q, K, V from LN1(x)
 *                 x += W2 quick_gelu(W1 LN2(x))
 *     pooled = LN_final(x)[p]
 *
 * p is the position of the end token. The mask is causal, so what stands behind p has no influence and is not
 * computed. FLUX uses the pooled vector as it is, without the text projection.
 */
#pragma once

#include "base/arena.h"
#include "engine/tensor/ops.h"

/* In the hints of kx_clip_load: 0 = not said; then the shapes or the published model's values decide. */
typedef struct kx_clip_config {
    int64_t vocabulary;
    int64_t positions; /* 77 */
    int64_t width;     /* 768 */
    int64_t heads;     /* 12; not said: width / 64 */
    int64_t mlp;       /* 3072 */
    int layers;        /* 12 */
    int32_t eos_id; /* 2 (old configs; not said): the pooled position is that of the largest id; else of the
                       first eos_id */
    float eps;      /* 1e-5 */
} kx_clip_config;

typedef struct kx_clip kx_clip;

/* Parameters under Hugging Face names without `text_model.`. hints may be NULL; of it only heads, eos_id and
 * eps are read. Errors: KX_ERR_MODEL, KX_ERR_MEMORY. */
kx_status kx_clip_load(kx_clip **clip, const kx_weight_source *source, const kx_clip_config *hints,
                       kx_error *err);
/* Visits every matrix that a lower precision packs: those of the layers. */
kx_status kx_clip_each_linear(kx_clip *clip, kx_linear_visit *visit, void *context, kx_error *err);
void kx_clip_free(kx_clip *clip);
const kx_clip_config *kx_clip_config_of(const kx_clip *clip);
/* Memory of its own: biases and norm scales. */
size_t kx_clip_bytes(const kx_clip *clip);

/* The pooled position among `n` ids. */
int64_t kx_clip_pooled_position(const kx_clip *clip, const int32_t *ids, int64_t n);

/* ids (n), n <= positions -> pooled (1, width). When dry, ids may be NULL: the longest prompt is measured.
 * Traces: clip.layer.K (p+1, width). Errors: KX_ERR_MODEL for an id outside of the vocabulary. */
void kx_clip_encode(const kx_clip *clip, kx_ops *ops, const int32_t *ids, int64_t n, kx_tensor *pooled);
