/* The picture autoencoder of FLUX (model-spec 4): W x H pixels <-> W/8 x H/8 cells of 16 channels.
 *
 *     latent = scaling (mean - shift)          mean: the first half of the encoder's output ("moments")
 *     pixels = decoder(latent / scaling + shift)
 *
 * Residual blocks y = x + conv2(silu(GN2(conv1(silu(GN1(x)))))) on each level, one single-headed attention
 * block in the middle, 3x3 convolutions between the levels (stride 2 down; nearest x2 up). Maps are
 * channels-last.
 *
 * Memory. All maps live in two *planes*: the stream x of the current level in one, what a block needs besides
 * x (the hidden map; q, k and v) in the other; resampling moves x to the other plane. Blocks work in place,
 * also where the number of channels changes. So the largest moment of decoding is the widest full-size block,
 * (256 + 128) x W x H floats for FLUX (1.6 GB for 1024x1024), and of encoding (128 + 128) x W x H. What a
 * convolution takes besides (its packed weights, its workers' tiles) does not grow with the picture. Where
 * attention is summed in bf16 (kernels/ops_attention_sums.c), packed keys and values are 8 x W x H floats
 * more in decoding and 16 x W x H in encoding.
 */
#pragma once

#include "base/arena.h"
#include "engine/tensor/ops.h"

/* In the hints of kx_vae_load: 0 = not said; then the shapes or the published model's values decide. */
typedef struct kx_vae_config {
    int levels;              /* 4 */
    int64_t latent_channels; /* 16 */
    int64_t widest;          /* 512: channels in the middle */
    int64_t groups;          /* 32 */
    float eps;               /* 1e-6 */
    float scaling;           /* 0.3611 */
    float shift;             /* 0.1159; read only when scaling is said, since 0 is a shift too */
} kx_vae_config;

typedef struct kx_vae kx_vae;

/* Parameters under the original (BFL) names. hints may be NULL; of it only groups, eps, scaling and shift are
 * read. Errors: KX_ERR_MODEL, KX_ERR_MEMORY. */
kx_status kx_vae_load(kx_vae **vae, const kx_weight_source *source, const kx_vae_config *hints,
                      kx_error *err);
void kx_vae_free(kx_vae *vae);
const kx_vae_config *kx_vae_config_of(const kx_vae *vae);
/* Memory of its own: biases and norm scales. */
size_t kx_vae_bytes(const kx_vae *vae);
/* Pixels along a side of a latent cell: 8. */
int64_t kx_vae_cell_px(const kx_vae *vae);

/* pixels (H,W,3) in [-1,1], H and W multiples of 8 -> latent (H/8,W/8,16), scaled.
 * Traces: vae.encode.level.K, vae.encode.middle, vae.encode.moments. */
void kx_vae_encode(const kx_vae *vae, kx_ops *ops, const kx_tensor *pixels, kx_tensor *latent);
/* latent (h,w,16), scaled -> pixels (8h,8w,3) in about [-1,1], not clamped.
 * Traces: vae.decode.middle, vae.decode.level.K (K from the last, smallest level down to 0). */
void kx_vae_decode(const kx_vae *vae, kx_ops *ops, const kx_tensor *latent, kx_tensor *pixels);
