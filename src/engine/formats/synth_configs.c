/* The JSON files of the synthetic models, such that diffusers and transformers load them as well. */
#include "engine/formats/synth_shapes.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 4))) static kx_status append(kx_bytes *text, kx_error *err,
                                                              const char *format, ...)
{
    char buffer[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    text->cap = 1 << 16;
    return kx_bytes_append(text, buffer, (size_t)length < sizeof buffer ? (size_t)length : sizeof buffer - 1,
                           err);
}

static kx_status config_transformer(const kx_synth_sizes *s, kx_bytes *text, kx_error *err)
{
    return append(text, err,
                  "{\n"
                  "  \"_class_name\": \"FluxTransformer2DModel\",\n"
                  "  \"attention_head_dim\": %d,\n"
                  "  \"axes_dims_rope\": [%d, %d, %d],\n"
                  "  \"guidance_embeds\": true,\n"
                  "  \"in_channels\": %d,\n"
                  "  \"joint_attention_dim\": %d,\n"
                  "  \"num_attention_heads\": %d,\n"
                  "  \"num_layers\": %d,\n"
                  "  \"num_single_layers\": %d,\n"
                  "  \"patch_size\": 1,\n"
                  "  \"pooled_projection_dim\": %d\n"
                  "}\n",
                  s->head_dim, s->axes[0], s->axes[1], s->axes[2], 4 * s->latent_channels, s->t5_width,
                  s->heads, s->double_blocks, s->single_blocks, s->clip_width);
}

static kx_status config_vae(const kx_synth_sizes *s, kx_bytes *text, kx_error *err)
{
    static const char down[] = "\"DownEncoderBlock2D\"", up[] = "\"UpDecoderBlock2D\"";
    return append(text, err,
                  "{\n"
                  "  \"_class_name\": \"AutoencoderKL\",\n"
                  "  \"act_fn\": \"silu\",\n"
                  "  \"block_out_channels\": [%d, %d, %d, %d],\n"
                  "  \"down_block_types\": [%s, %s, %s, %s],\n"
                  "  \"force_upcast\": true,\n"
                  "  \"in_channels\": 3,\n"
                  "  \"latent_channels\": %d,\n"
                  "  \"layers_per_block\": %d,\n"
                  "  \"mid_block_add_attention\": true,\n"
                  "  \"norm_num_groups\": %d,\n"
                  "  \"out_channels\": 3,\n"
                  "  \"sample_size\": 1024,\n"
                  "  \"scaling_factor\": 0.3611,\n"
                  "  \"shift_factor\": 0.1159,\n"
                  "  \"up_block_types\": [%s, %s, %s, %s],\n"
                  "  \"use_post_quant_conv\": false,\n"
                  "  \"use_quant_conv\": false\n"
                  "}\n",
                  s->vae_channels[0], s->vae_channels[1], s->vae_channels[2], s->vae_channels[3], down, down,
                  down, down, s->latent_channels, s->vae_blocks, s->vae_groups, up, up, up, up);
}

/* eos_token_id 2, as in the published file, selects the largest id: right for every vocabulary that ends with
 * the end token, whatever the number of rows. */
static kx_status config_clip(const kx_synth_sizes *s, kx_bytes *text, kx_error *err)
{
    return append(text, err,
                  "{\n"
                  "  \"architectures\": [\"CLIPTextModel\"],\n"
                  "  \"bos_token_id\": 0,\n"
                  "  \"eos_token_id\": 2,\n"
                  "  \"hidden_act\": \"quick_gelu\",\n"
                  "  \"hidden_size\": %d,\n"
                  "  \"intermediate_size\": %d,\n"
                  "  \"layer_norm_eps\": 1e-05,\n"
                  "  \"max_position_embeddings\": 77,\n"
                  "  \"model_type\": \"clip_text_model\",\n"
                  "  \"num_attention_heads\": %d,\n"
                  "  \"num_hidden_layers\": %d,\n"
                  "  \"pad_token_id\": 1,\n"
                  "  \"projection_dim\": %d,\n"
                  "  \"torch_dtype\": \"bfloat16\",\n"
                  "  \"vocab_size\": %d\n"
                  "}\n",
                  s->clip_width, s->clip_hidden, s->clip_heads, s->clip_layers, s->clip_width, s->clip_rows);
}

static kx_status config_t5(const kx_synth_sizes *s, kx_bytes *text, kx_error *err)
{
    return append(text, err,
                  "{\n"
                  "  \"architectures\": [\"T5EncoderModel\"],\n"
                  "  \"d_ff\": %d,\n"
                  "  \"d_kv\": %d,\n"
                  "  \"d_model\": %d,\n"
                  "  \"dense_act_fn\": \"gelu_new\",\n"
                  "  \"eos_token_id\": 1,\n"
                  "  \"feed_forward_proj\": \"gated-gelu\",\n"
                  "  \"is_encoder_decoder\": false,\n"
                  "  \"is_gated_act\": true,\n"
                  "  \"layer_norm_epsilon\": 1e-06,\n"
                  "  \"model_type\": \"t5\",\n"
                  "  \"num_heads\": %d,\n"
                  "  \"num_layers\": %d,\n"
                  "  \"pad_token_id\": 0,\n"
                  "  \"relative_attention_max_distance\": 128,\n"
                  "  \"relative_attention_num_buckets\": 32,\n"
                  "  \"torch_dtype\": \"bfloat16\",\n"
                  "  \"vocab_size\": %d\n"
                  "}\n",
                  s->t5_hidden, s->t5_head_dim, s->t5_width, s->t5_heads, s->t5_layers, s->t5_rows);
}

kx_status kx_synth_config_part(const kx_synth_sizes *sizes, kx_part_kind kind, kx_bytes *text, kx_error *err)
{
    switch (kind) {
    case KX_PART_TRANSFORMER:
        return config_transformer(sizes, text, err);
    case KX_PART_VAE:
        return config_vae(sizes, text, err);
    case KX_PART_CLIP:
        return config_clip(sizes, text, err);
    default:
        return config_t5(sizes, text, err);
    }
}

kx_status kx_synth_config_index(kx_bytes *text, kx_error *err)
{
    return append(text, err,
                  "{\n"
                  "  \"_class_name\": \"FluxKontextPipeline\",\n"
                  "  \"feature_extractor\": [null, null],\n"
                  "  \"image_encoder\": [null, null],\n"
                  "  \"scheduler\": [\"diffusers\", \"FlowMatchEulerDiscreteScheduler\"],\n"
                  "  \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],\n"
                  "  \"text_encoder_2\": [\"transformers\", \"T5EncoderModel\"],\n"
                  "  \"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],\n"
                  "  \"tokenizer_2\": [\"transformers\", \"T5TokenizerFast\"],\n"
                  "  \"transformer\": [\"diffusers\", \"FluxTransformer2DModel\"],\n"
                  "  \"vae\": [\"diffusers\", \"AutoencoderKL\"]\n"
                  "}\n");
}

kx_status kx_synth_config_scheduler(kx_bytes *text, kx_error *err)
{
    return append(text, err,
                  "{\n"
                  "  \"_class_name\": \"FlowMatchEulerDiscreteScheduler\",\n"
                  "  \"base_image_seq_len\": 256,\n"
                  "  \"base_shift\": 0.5,\n"
                  "  \"max_image_seq_len\": 4096,\n"
                  "  \"max_shift\": 1.15,\n"
                  "  \"num_train_timesteps\": 1000,\n"
                  "  \"shift\": 3.0,\n"
                  "  \"use_dynamic_shifting\": true\n"
                  "}\n");
}

kx_status kx_synth_config_kontext(const kx_synth_options *options, kx_bytes *text, kx_error *err)
{
    static const char *const names[] = {
        [KX_SYNTH_TINY] = "tiny", [KX_SYNTH_SLICE] = "slice", [KX_SYNTH_FULL] = "full"};
    kx_status status = KX_OK;
    KX_TRY(append(text, err,
                  "{\n"
                  "  \"name\": \"synthetic %s, seed %llu\",\n"
                  "  \"licence\": \"CC0-1.0\",\n"
                  "  \"family\": \"kontext\"",
                  names[options->preset], (unsigned long long)options->seed));
    if (options->preset == KX_SYNTH_TINY) {
        KX_TRY(append(text, err,
                      ",\n"
                      "  \"native_area\": 16384,\n"
                      "  \"preferred_sizes\": [[80, 208], [96, 176], [112, 144], [128, 128], [144, 112], "
                      "[176, 96], [208, 80]],\n"
                      "  \"max_text_tokens\": 64,\n"
                      "  \"default_steps\": 4,\n"
                      "  \"default_guidance\": 2.5"));
    }
    KX_TRY(append(text, err, "\n}\n"));
out:
    return status;
}
