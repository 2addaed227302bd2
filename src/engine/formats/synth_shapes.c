#include "engine/formats/synth_shapes.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TENSORS = 2048 };

kx_synth_sizes kx_synth_sizes_of(const kx_synth_options *options)
{
    kx_synth_sizes sizes = {
        .heads = 24,
        .head_dim = 128,
        .double_blocks = 19,
        .single_blocks = 38,
        .axes = {16, 56, 56},
        .t5_width = 4096,
        .t5_heads = 64,
        .t5_head_dim = 64,
        .t5_hidden = 10240,
        .t5_layers = 24,
        .clip_width = 768,
        .clip_heads = 12,
        .clip_hidden = 3072,
        .clip_layers = 12,
        .vae_channels = {128, 256, 512, 512},
        .vae_blocks = 2,
        .vae_groups = 32,
        .latent_channels = 16,
        .text_tokens = 512,
    };
    if (options->preset == KX_SYNTH_SLICE) {
        sizes.double_blocks = 2;
        sizes.single_blocks = 4;
        sizes.t5_layers = sizes.clip_layers = 2;
    } else if (options->preset == KX_SYNTH_TINY) {
        sizes = (kx_synth_sizes){
            .heads = 3,
            .head_dim = 32,
            .double_blocks = 2,
            .single_blocks = 3,
            .axes = {4, 14, 14},
            .t5_width = 64,
            .t5_heads = 4,
            .t5_head_dim = 16,
            .t5_hidden = 128,
            .t5_layers = 2,
            .clip_width = 32,
            .clip_heads = 4,
            .clip_hidden = 128,
            .clip_layers = 2,
            .vae_channels = {32, 32, 32, 64},
            .vae_blocks = 2,
            .vae_groups = 32,
            .latent_channels = 16,
            .text_tokens = 64,
        };
    }
    size_t t5_vocab = options->t5_vocab > 0 ? options->t5_vocab : 32128;
    size_t clip_vocab = options->clip_vocab > 0 ? options->clip_vocab : 49408;
    sizes.t5_rows = (int)((t5_vocab + 127) / 128 * 128);
    sizes.clip_rows = (int)clip_vocab;
    return sizes;
}

/* ---- Lists -------------------------------------------------------------------------------------------- */

/* Appends one tensor; name from a format. Adding cannot fail half-way: the sticky status is looked at in the
 * end. */
typedef struct adder {
    kx_synth_list *list;
    kx_status status;
    kx_error *err;
    char scope[128]; /* stands in front of every name */
} adder;

static void add(adder *a, const char *name, const char *member, int rank, const int64_t *shape, double mean,
                double deviation)
{
    kx_synth_list *list = a->list;
    char full[KX_LIMIT_TENSOR_NAME_BYTES], *copy;
    if (a->status != KX_OK) return;
    if (list->count == MAX_TENSORS) {
        a->status =
            kx_error_set(a->err, KX_ERR_INTERNAL, __FILE__, __LINE__, "more than %d tensors", MAX_TENSORS);
        return;
    }
    int length = snprintf(full, sizeof full, "%s%s.%s", a->scope, name, member);
    a->status = kx_arena_copy_text(list->arena, full, (size_t)length, &copy, a->err);
    if (a->status != KX_OK) return;
    kx_synth_tensor tensor = {.name = copy, .rank = rank, .count = 1, .mean = mean, .deviation = deviation};
    for (int i = 0; i < rank; i++) {
        tensor.shape[i] = shape[i];
        tensor.count *= (size_t)shape[i];
    }
    list->tensors[list->count++] = tensor;
    list->bytes += 2 * (uint64_t)tensor.count;
}

/* W (out,in), deviation gain / sqrt(in): an input of size 1 gives an output of size `gain`. */
static void add_matrix(adder *a, const char *name, int64_t out, int64_t in, double gain)
{
    add(a, name, "weight", 2, (int64_t[]){out, in}, 0, gain / sqrt((double)in));
}

static void add_linear(adder *a, const char *name, int64_t out, int64_t in, double gain)
{
    add_matrix(a, name, out, in, gain);
    add(a, name, "bias", 1, &out, 0, 0.05 * gain);
}

static void add_conv(adder *a, const char *name, int64_t out, int64_t in, int64_t side, double gain)
{
    add(a, name, "weight", 4, (int64_t[]){out, in, side, side}, 0, gain / sqrt((double)(in * side * side)));
    add(a, name, "bias", 1, &out, 0, 0.05 * gain);
}

static void add_scale(adder *a, const char *name, int64_t width)
{
    add(a, name, "weight", 1, &width, 1, 0.1);
}

static void add_norm(adder *a, const char *name, int64_t width)
{
    add_scale(a, name, width);
    add(a, name, "bias", 1, &width, 0, 0.05);
}

__attribute__((format(printf, 2, 3))) static void set_scope(adder *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(a->scope, sizeof a->scope, format, arguments);
    va_end(arguments);
}

/* ---- Transformer -------------------------------------------------------------------------------------- */

/* Gates, shifts and scales come out at about 0.2, so that 57 blocks add about as much as the stream held. */
static const double modulation_gain = 0.3;

static void add_attention(adder *a, const char *q, const char *k, const char *v, int64_t width)
{
    add_linear(a, q, width, width, 1);
    add_linear(a, k, width, width, 1);
    add_linear(a, v, width, width, 1);
}

static void add_transformer(adder *a, const kx_synth_sizes *s)
{
    int64_t width = (int64_t)s->heads * s->head_dim, channels = 4 * (int64_t)s->latent_channels;
    static const char *const embedders[] = {"timestep_embedder", "guidance_embedder", "text_embedder"};
    add_linear(a, "x_embedder", width, channels, 1);
    add_linear(a, "context_embedder", width, s->t5_width, 1);
    for (int i = 0; i < 3; i++) {
        set_scope(a, "time_text_embed.%s.", embedders[i]);
        add_linear(a, "linear_1", width, i == 2 ? s->clip_width : 256, 1);
        add_linear(a, "linear_2", width, width, 1);
    }
    for (int i = 0; i < s->double_blocks; i++) {
        set_scope(a, "transformer_blocks.%d.", i);
        add_linear(a, "norm1.linear", 6 * width, width, modulation_gain);
        add_linear(a, "norm1_context.linear", 6 * width, width, modulation_gain);
        add_attention(a, "attn.to_q", "attn.to_k", "attn.to_v", width);
        add_attention(a, "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", width);
        add_scale(a, "attn.norm_q", s->head_dim);
        add_scale(a, "attn.norm_k", s->head_dim);
        add_scale(a, "attn.norm_added_q", s->head_dim);
        add_scale(a, "attn.norm_added_k", s->head_dim);
        add_linear(a, "attn.to_out.0", width, width, 1);
        add_linear(a, "attn.to_add_out", width, width, 1);
        add_linear(a, "ff.net.0.proj", 4 * width, width, 1);
        add_linear(a, "ff.net.2", width, 4 * width, 1);
        add_linear(a, "ff_context.net.0.proj", 4 * width, width, 1);
        add_linear(a, "ff_context.net.2", width, 4 * width, 1);
    }
    for (int i = 0; i < s->single_blocks; i++) {
        set_scope(a, "single_transformer_blocks.%d.", i);
        add_linear(a, "norm.linear", 3 * width, width, modulation_gain);
        add_attention(a, "attn.to_q", "attn.to_k", "attn.to_v", width);
        add_scale(a, "attn.norm_q", s->head_dim);
        add_scale(a, "attn.norm_k", s->head_dim);
        add_linear(a, "proj_mlp", 4 * width, width, 1);
        add_linear(a, "proj_out", width, 5 * width, 1);
    }
    set_scope(a, "%s", "");
    add_linear(a, "norm_out.linear", 2 * width, width, modulation_gain);
    add_linear(a, "proj_out", channels, width, 1);
}

/* ---- VAE ---------------------------------------------------------------------------------------------- */

static void add_resnet(adder *a, int64_t in, int64_t out)
{
    add_norm(a, "norm1", in);
    add_conv(a, "conv1", out, in, 3, 1);
    add_norm(a, "norm2", out);
    add_conv(a, "conv2", out, out, 3, 0.5);
    if (in != out) add_conv(a, "conv_shortcut", out, in, 1, 1);
}

static void add_vae_middle(adder *a, const char *half, int64_t width)
{
    for (int i = 0; i < 2; i++) {
        set_scope(a, "%s.mid_block.resnets.%d.", half, i);
        add_resnet(a, width, width);
    }
    set_scope(a, "%s.mid_block.attentions.0.", half);
    add_norm(a, "group_norm", width);
    add_linear(a, "to_q", width, width, 1);
    add_linear(a, "to_k", width, width, 1);
    add_linear(a, "to_v", width, width, 1);
    add_linear(a, "to_out.0", width, width, 0.5);
}

static void add_encoder(adder *a, const kx_synth_sizes *s)
{
    const int *channels = s->vae_channels;
    set_scope(a, "encoder.");
    add_conv(a, "conv_in", channels[0], 3, 3, 1);
    for (int level = 0; level < 4; level++) {
        for (int i = 0; i < s->vae_blocks; i++) {
            set_scope(a, "encoder.down_blocks.%d.resnets.%d.", level, i);
            add_resnet(a, channels[i == 0 && level > 0 ? level - 1 : level], channels[level]);
        }
        set_scope(a, "encoder.down_blocks.%d.", level);
        if (level < 3) add_conv(a, "downsamplers.0.conv", channels[level], channels[level], 3, 1);
    }
    add_vae_middle(a, "encoder", channels[3]);
    set_scope(a, "encoder.");
    add_norm(a, "conv_norm_out", channels[3]);
    add_conv(a, "conv_out", 2 * (int64_t)s->latent_channels, channels[3], 3, 1);
}

static void add_decoder(adder *a, const kx_synth_sizes *s)
{
    const int *channels = s->vae_channels;
    set_scope(a, "decoder.");
    add_conv(a, "conv_in", channels[3], s->latent_channels, 3, 1);
    add_vae_middle(a, "decoder", channels[3]);
    for (int level = 3; level >= 0; level--) { /* diffusers counts from the lowest resolution */
        for (int i = 0; i < s->vae_blocks + 1; i++) {
            set_scope(a, "decoder.up_blocks.%d.resnets.%d.", 3 - level, i);
            add_resnet(a, channels[i == 0 && level < 3 ? level + 1 : level], channels[level]);
        }
        set_scope(a, "decoder.up_blocks.%d.", 3 - level);
        if (level > 0) add_conv(a, "upsamplers.0.conv", channels[level], channels[level], 3, 1);
    }
    set_scope(a, "decoder.");
    add_norm(a, "conv_norm_out", channels[0]);
    add_conv(a, "conv_out", 3, channels[0], 3, 0.7);
}

/* ---- Text encoders ------------------------------------------------------------------------------------ */

static void add_clip(adder *a, const kx_synth_sizes *s)
{
    int64_t width = s->clip_width;
    set_scope(a, "text_model.embeddings.");
    add(a, "token_embedding", "weight", 2, (int64_t[]){s->clip_rows, width}, 0, 1);
    add(a, "position_embedding", "weight", 2, (int64_t[]){77, width}, 0, 0.3);
    for (int i = 0; i < s->clip_layers; i++) {
        set_scope(a, "text_model.encoder.layers.%d.", i);
        add_norm(a, "layer_norm1", width);
        add_linear(a, "self_attn.q_proj", width, width, 1);
        add_linear(a, "self_attn.k_proj", width, width, 1);
        add_linear(a, "self_attn.v_proj", width, width, 1);
        add_linear(a, "self_attn.out_proj", width, width, 0.5);
        add_norm(a, "layer_norm2", width);
        add_linear(a, "mlp.fc1", s->clip_hidden, width, 1);
        add_linear(a, "mlp.fc2", width, s->clip_hidden, 0.5);
    }
    set_scope(a, "text_model.");
    add_norm(a, "final_layer_norm", width);
}

static void add_t5(adder *a, const kx_synth_sizes *s)
{
    int64_t width = s->t5_width, inner = (int64_t)s->t5_heads * s->t5_head_dim;
    set_scope(a, "%s", "");
    add(a, "shared", "weight", 2, (int64_t[]){s->t5_rows, width}, 0, 1);
    for (int i = 0; i < s->t5_layers; i++) {
        set_scope(a, "encoder.block.%d.layer.0.", i);
        /* T5 does not divide its scores by sqrt(head size); its queries are that much smaller. */
        add_matrix(a, "SelfAttention.q", inner, width, 1 / sqrt((double)s->t5_head_dim));
        add_matrix(a, "SelfAttention.k", inner, width, 1);
        add_matrix(a, "SelfAttention.v", inner, width, 1);
        add_matrix(a, "SelfAttention.o", width, inner, 0.5);
        if (i == 0)
            add(a, "SelfAttention.relative_attention_bias", "weight", 2, (int64_t[]){32, s->t5_heads}, 0,
                0.5);
        add_scale(a, "layer_norm", width);
        set_scope(a, "encoder.block.%d.layer.1.", i);
        add_matrix(a, "DenseReluDense.wi_0", s->t5_hidden, width, 1);
        add_matrix(a, "DenseReluDense.wi_1", s->t5_hidden, width, 1);
        add_matrix(a, "DenseReluDense.wo", width, s->t5_hidden, 0.5);
        add_scale(a, "layer_norm", width);
    }
    set_scope(a, "encoder.");
    add_scale(a, "final_layer_norm", width);
}

kx_status kx_synth_list_part(kx_synth_list *list, const kx_synth_sizes *sizes, kx_part_kind kind,
                             kx_error *err)
{
    kx_status status = KX_OK;
    adder a = {.list = list, .err = err};
    if (list->tensors == NULL) KX_TRY(KX_ARENA_ARRAY(list->arena, MAX_TENSORS, &list->tensors, err));
    switch (kind) {
    case KX_PART_TRANSFORMER:
        add_transformer(&a, sizes);
        break;
    case KX_PART_VAE:
        add_encoder(&a, sizes);
        add_decoder(&a, sizes);
        break;
    case KX_PART_CLIP:
        add_clip(&a, sizes);
        break;
    default:
        add_t5(&a, sizes);
        break;
    }
    status = a.status;
out:
    return status;
}
