#include "engine/pipeline/model_pack.h"
#include "engine/pipeline/model_packed.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

kx_model_options kx_model_options_default(void)
{
    return (kx_model_options){.precision = KX_PRECISION_AUTO, .cache_bytes = KX_CACHE_BYTES};
}

static kx_status open_tokenizers(kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_clip_tokenizer_open(&model->clip_tokenizer, model->files->clip_tokenizer, err));
    KX_TRY(kx_t5_tokenizer_open(&model->t5_tokenizer, model->files->t5_tokenizer, err));
out:
    return status;
}

static kx_status load_encoders(kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_configs *configs = &model->files->configs;
    KX_FAIL_IF(configs->clip.exact_gelu, err, KX_ERR_MODEL,
               "clip: hidden_act is \"gelu\", \"quick_gelu\" is expected (a text encoder of another model)");
    kx_clip_config clip = {
        .heads = configs->clip.num_attention_heads.value,
        .eos_id = (int32_t)configs->clip.eos_token_id.value,
        .eps = (float)configs->clip.layer_norm_eps.value,
    };
    KX_TRY(kx_clip_load(&model->clip, &model->files->parts[KX_PART_CLIP].source, &clip, err));
    kx_t5_config t5 = {
        .heads = configs->t5.num_heads.value,
        .max_distance = configs->t5.relative_attention_max_distance.value,
        .eps = (float)configs->t5.layer_norm_epsilon.value,
    };
    KX_TRY(kx_t5_load(&model->t5, &model->files->parts[KX_PART_T5].source, &t5, err));
out:
    return status;
}

static kx_status load_vae(kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_configs *configs = &model->files->configs;
    kx_vae_config vae = {
        .groups = configs->vae.norm_num_groups.value,
        .scaling = (float)configs->vae.scaling_factor.value,
        .shift = (float)configs->vae.shift_factor.value,
    };
    KX_TRY(kx_vae_load(&model->vae, &model->files->parts[KX_PART_VAE].source, &vae, err));
    int64_t channels = kx_vae_config_of(model->vae)->latent_channels, cell = kx_vae_cell_px(model->vae);
    KX_FAIL_IF(
        channels != KX_LATENT_CHANNELS || cell != KX_TOKEN_PX / 2, err, KX_ERR_MODEL,
        "vae: a latent has %lld channels of %lld pixels, %d channels of %d pixels are expected (a VAE of "
        "another model)",
        (long long)channels, (long long)cell, KX_LATENT_CHANNELS, KX_TOKEN_PX / 2);
out:
    return status;
}

static kx_status load_transformer(kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_transformer_json *config = &model->files->configs.transformer;
    kx_mmdit_config hints = {0};
    if (config->axes_known)
        for (int i = 0; i < KX_POSITION_AXES; i++) hints.axes[i] = config->axes_dims_rope[i];
    KX_TRY(kx_mmdit_load(&model->mmdit, &model->files->parts[KX_PART_TRANSFORMER].source, &hints, err));
    const kx_mmdit_config *mmdit = kx_mmdit_config_of(model->mmdit);
    KX_FAIL_IF(config->num_attention_heads.known && config->num_attention_heads.value != mmdit->heads, err,
               KX_ERR_MODEL, "transformer: config.json says %lld heads, the tensors have %lld",
               (long long)config->num_attention_heads.value, (long long)mmdit->heads);
    KX_FAIL_IF(
        mmdit->in_channels != KX_TOKEN_FEATURES || mmdit->out_channels != KX_TOKEN_FEATURES, err,
        KX_ERR_MODEL,
        "transformer: a token has %lld features in and %lld out, %d are expected (FLUX.1 Kontext; not Fill, "
        "Canny or Depth)",
        (long long)mmdit->in_channels, (long long)mmdit->out_channels, KX_TOKEN_FEATURES);
    int64_t context = kx_t5_config_of(model->t5)->width, pooled = kx_clip_config_of(model->clip)->width;
    KX_FAIL_IF(mmdit->context != context, err, KX_ERR_MODEL,
               "transformer and t5 do not fit: text embeddings have %lld values, the transformer takes %lld",
               (long long)context, (long long)mmdit->context);
    KX_FAIL_IF(
        mmdit->pooled != pooled, err, KX_ERR_MODEL,
        "transformer and clip do not fit: the pooled vector has %lld values, the transformer takes %lld",
        (long long)pooled, (long long)mmdit->pooled);
out:
    return status;
}

/* A tokenizer of another model would ask for rows that the embedding does not have. */
static kx_status check_vocabularies(const kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t clip_rows = kx_clip_config_of(model->clip)->vocabulary,
            t5_rows = kx_t5_config_of(model->t5)->vocabulary;
    int32_t clip_id = kx_clip_tokenizer_max_id(model->clip_tokenizer);
    int32_t t5_id = kx_t5_tokenizer_max_id(model->t5_tokenizer);
    KX_FAIL_IF(clip_id >= clip_rows, err, KX_ERR_MODEL,
               "%s: has token id %d, but the CLIP model has %lld embeddings", model->files->clip_tokenizer,
               clip_id, (long long)clip_rows);
    KX_FAIL_IF(t5_id >= t5_rows, err, KX_ERR_MODEL,
               "%s: has token id %d, but the T5 model has %lld embeddings", model->files->t5_tokenizer, t5_id,
               (long long)t5_rows);
out:
    return status;
}

static void read_settings(kx_model *model)
{
    const kx_configs *configs = &model->files->configs;
    const kx_scheduler_json *scheduler = &configs->scheduler;
    const kx_kontext_json *kontext = &configs->kontext;
    model->schedule = (kx_schedule){
        .dynamic_shifting = scheduler->use_dynamic_shifting.value,
        .base_shift = scheduler->base_shift.value,
        .max_shift = scheduler->max_shift.value,
        .base_tokens = (double)scheduler->base_image_seq_len.value,
        .max_tokens = (double)scheduler->max_image_seq_len.value,
        .shift = scheduler->shift.value,
        .train_timesteps = (double)scheduler->num_train_timesteps.value,
    };
    model->rules = (kx_geometry_rules){
        .preferred_sizes = kontext->preferred_sizes,
        .num_preferred_sizes = kontext->num_preferred_sizes,
        .native_area_px = (uint64_t)kontext->native_area.value,
        .min_side_px = (int)kontext->min_side.value,
        .max_side_px = (int)kontext->max_side.value,
    };
    model->default_steps = (int)kontext->default_steps.value;
    model->default_guidance = kontext->default_guidance.value;
    model->max_text_tokens = (size_t)kontext->max_text_tokens.value;
}

static kx_status load_parts(kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(open_tokenizers(model, err));
    KX_TRY(load_encoders(model, err));
    KX_TRY(load_vae(model, err));
    KX_TRY(load_transformer(model, err));
    KX_TRY(kx_model_packed_attach(model, err));
    for (int i = 0; i < KX_PART_COUNT; i++) KX_TRY(kx_part_check_extra(&model->files->parts[i], err));
    KX_TRY(check_vocabularies(model, err));
    read_settings(model);
out:
    return status;
}

kx_status kx_model_open(kx_model **out, const kx_model_options *options, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0};
    kx_error *err = caller_err != NULL ? caller_err : &own_err;
    kx_model *model = calloc(1, sizeof *model);
    *out = NULL;
    KX_FAIL_IF(model == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_FAIL_IF(options->path == NULL, err, KX_ERR_MODEL, "no model folder is given");
    KX_FAIL_IF((unsigned)options->precision > KX_PRECISION_INT8, err, KX_ERR_INPUT, "unknown precision %d",
               (int)options->precision);
    model->log = (kx_log){options->warn, options->user};
    KX_TRY(kx_kernels_choose(options->cpu, &model->kernels, err));
    KX_TRY(kx_reuse_open(&model->reuse, options->cache_bytes, err));
    KX_TRY(kx_pool_create(&model->pool, options->threads, err));
    KX_TRY(kx_model_files_open(&model->files, options->path, options->tokenizers, err));
    KX_TRY(kx_model_packed_precision(model->files, options->precision, &model->precision, err));
    KX_TRY(load_parts(model, err));
    if (model->files->configs.kontext.licence == NULL)
        kx_log_warn(&model->log, "licence: %s", KX_MODEL_LICENCE_UNKNOWN);
    *out = model;
    model = NULL;
out:
    kx_model_close(model);
    return status;
}

void kx_model_close(kx_model *model)
{
    if (model == NULL) return;
    kx_model_pack_free(model);
    kx_mmdit_free(model->mmdit);
    kx_vae_free(model->vae);
    kx_t5_free(model->t5);
    kx_clip_free(model->clip);
    kx_t5_tokenizer_close(model->t5_tokenizer);
    kx_clip_tokenizer_close(model->clip_tokenizer);
    kx_model_files_close(model->files);
    kx_pool_destroy(model->pool);
    kx_reuse_close(model->reuse);
    free(model);
}
