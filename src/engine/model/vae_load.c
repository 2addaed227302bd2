#include "engine/model/vae_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* What the names of the two halves differ in. */
typedef struct half_names {
    const char *half, *stack, *resample;
} half_names;

static const half_names encoder_names = {"encoder", "down", "downsample"};
static const half_names decoder_names = {"decoder", "up", "upsample"};

static kx_status check_groups(const kx_parameters *p, const kx_vae_config *config, int64_t channels)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(channels % config->groups != 0, p->err, KX_ERR_MODEL,
               "%s: %lld channels cannot be normalised in %lld groups", p->source->what, (long long)channels,
               (long long)config->groups);
out:
    return status;
}

/* A residual block of `in` channels; *out is what it gives. */
static kx_status load_block(const kx_parameters *p, const kx_vae_config *config, const char *name, int64_t in,
                            int64_t *out_channels, kx_vae_block *block)
{
    kx_status status = KX_OK;
    KX_TRY(check_groups(p, config, in));
    KX_TRY(kx_parameters_norm(p, &block->norm1, in, "%s.norm1", name));
    KX_TRY(kx_parameters_conv(p, &block->conv1, -1, in, 3, "%s.conv1", name));
    int64_t out_width = block->conv1.weight.shape[0];
    KX_TRY(check_groups(p, config, out_width));
    KX_TRY(kx_parameters_norm(p, &block->norm2, out_width, "%s.norm2", name));
    KX_TRY(kx_parameters_conv(p, &block->conv2, out_width, out_width, 3, "%s.conv2", name));
    KX_TRY(kx_parameters_exists(p, &block->has_shortcut, "%s.nin_shortcut.weight", name));
    block->has_shortcut |= in != out_width; /* then it has to be there */
    if (block->has_shortcut)
        KX_TRY(kx_parameters_conv(p, &block->shortcut, out_width, in, 1, "%s.nin_shortcut", name));
    block->in_channels = in;
    block->out_channels = *out_channels = out_width;
out:
    return status;
}

static kx_status check_kept(const kx_parameters *p, const char *name, int64_t channels, int64_t kept)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(kept != channels, p->err, KX_ERR_MODEL,
               "%s: %s turns %lld channels into %lld, which must stay", p->source->what, name,
               (long long)channels, (long long)kept);
out:
    return status;
}

static kx_status load_middle(const kx_parameters *p, const kx_vae_config *config, const char *half,
                             int64_t channels, kx_vae_middle *middle)
{
    kx_status status = KX_OK;
    static const char *const names[4] = {"q", "k", "v", "proj_out"};
    kx_conv *const convs[4] = {&middle->q, &middle->k, &middle->v, &middle->out};
    char name[64];
    int64_t kept;
    snprintf(name, sizeof name, "%s.mid.block_1", half);
    KX_TRY(load_block(p, config, name, channels, &kept, &middle->before));
    KX_TRY(check_kept(p, name, channels, kept));
    KX_TRY(kx_parameters_norm(p, &middle->norm, channels, "%s.mid.attn_1.norm", half));
    for (int i = 0; i < 4; i++) {
        kx_linear linear;
        KX_TRY(kx_parameters_linear(p, &linear, channels, channels, "%s.mid.attn_1.%s", half, names[i]));
        *convs[i] = (kx_conv){.weight = linear.weight, .bias = linear.bias, .rounded = p->rounded};
    }
    snprintf(name, sizeof name, "%s.mid.block_2", half);
    KX_TRY(load_block(p, config, name, channels, &kept, &middle->after));
    KX_TRY(check_kept(p, name, channels, kept));
out:
    return status;
}

/* Level `i`, entered with *channels, left with *channels. */
static kx_status load_level(const kx_parameters *p, const kx_vae_config *config, const half_names *names,
                            int i, bool has_resample, int64_t *channels, kx_vae_level *level)
{
    kx_status status = KX_OK;
    char name[64];
    snprintf(name, sizeof name, "%s.%s.%d.block.", names->half, names->stack, i);
    KX_TRY(kx_parameters_count(p, name, ".conv1.weight", &level->num_blocks));
    KX_TRY(KX_ARENA_ARRAY(p->arena, level->num_blocks, &level->blocks, p->err));
    level->widest = *channels;
    for (int k = 0; k < level->num_blocks; k++) {
        snprintf(name, sizeof name, "%s.%s.%d.block.%d", names->half, names->stack, i, k);
        KX_TRY(load_block(p, config, name, *channels, channels, &level->blocks[k]));
        if (*channels > level->widest) level->widest = *channels;
    }
    if (has_resample)
        KX_TRY(kx_parameters_conv(p, &level->resample, *channels, *channels, 3, "%s.%s.%d.%s.conv",
                                  names->half, names->stack, i, names->resample));
out:
    return status;
}

static kx_status start_half(const kx_parameters *p, const half_names *names, kx_vae_half *half)
{
    kx_status status = KX_OK;
    char name[64];
    snprintf(name, sizeof name, "%s.%s.", names->half, names->stack);
    KX_TRY(kx_parameters_conv(p, &half->first, -1, -1, 3, "%s.conv_in", names->half));
    KX_TRY(kx_parameters_count(p, name, ".block.0.conv1.weight", &half->num_levels));
    KX_FAIL_IF(half->num_levels < 1 || half->num_levels > 8, p->err, KX_ERR_MODEL,
               "%s: the %s has %d levels, 1 to 8 are expected", p->source->what, names->half,
               half->num_levels);
    KX_TRY(KX_ARENA_ARRAY(p->arena, half->num_levels, &half->levels, p->err));
out:
    return status;
}

static kx_status end_half(const kx_parameters *p, const kx_vae_config *config, const half_names *names,
                          int64_t channels, int64_t out_channels, kx_vae_half *half)
{
    kx_status status = KX_OK;
    KX_TRY(check_groups(p, config, channels));
    KX_TRY(kx_parameters_norm(p, &half->norm, channels, "%s.norm_out", names->half));
    KX_TRY(kx_parameters_conv(p, &half->last, out_channels, channels, 3, "%s.conv_out", names->half));
out:
    return status;
}

static kx_status load_encoder(const kx_parameters *p, const kx_vae_config *config, kx_vae_half *half)
{
    kx_status status = KX_OK;
    KX_TRY(start_half(p, &encoder_names, half));
    int64_t channels = half->first.weight.shape[0];
    for (int i = 0; i < half->num_levels; i++)
        KX_TRY(
            load_level(p, config, &encoder_names, i, i + 1 < half->num_levels, &channels, &half->levels[i]));
    KX_TRY(load_middle(p, config, "encoder", channels, &half->middle));
    KX_TRY(end_half(p, config, &encoder_names, channels, -1, half));
out:
    return status;
}

/* What the decoder rounds, the picture alone shows; the encoder's result goes through all steps. */
static kx_status load_decoder(const kx_parameters *loader, const kx_vae_config *config, kx_vae_half *half)
{
    kx_status status = KX_OK;
    kx_parameters rounding = *loader;
    rounding.rounded = true;
    const kx_parameters *p = &rounding;
    KX_TRY(start_half(p, &decoder_names, half));
    int64_t channels = half->first.weight.shape[0];
    KX_TRY(load_middle(p, config, "decoder", channels, &half->middle));
    for (int i = half->num_levels - 1; i >= 0; i--)
        KX_TRY(load_level(p, config, &decoder_names, i, i > 0, &channels, &half->levels[i]));
    KX_TRY(end_half(p, config, &decoder_names, channels, 3, half));
out:
    return status;
}

/* Both halves must speak of the same pictures and latents. */
static kx_status read_config(const kx_parameters *p, kx_vae *vae)
{
    kx_status status = KX_OK;
    const kx_weight *in = &vae->encoder.first.weight, *moments = &vae->encoder.last.weight,
                    *latent = &vae->decoder.first.weight;
    KX_FAIL_IF(in->shape[1] != 3, p->err, KX_ERR_MODEL, "%s: pictures of %lld channels, 3 are expected",
               p->source->what, (long long)in->shape[1]);
    KX_FAIL_IF(moments->shape[0] != 2 * latent->shape[1], p->err, KX_ERR_MODEL,
               "%s: encoder.conv_out gives %lld channels, twice the %lld of decoder.conv_in are expected",
               p->source->what, (long long)moments->shape[0], (long long)latent->shape[1]);
    KX_FAIL_IF(vae->encoder.num_levels != vae->decoder.num_levels, p->err, KX_ERR_MODEL,
               "%s: the encoder has %d levels, the decoder %d", p->source->what, vae->encoder.num_levels,
               vae->decoder.num_levels);
    vae->config.levels = vae->encoder.num_levels;
    vae->config.latent_channels = latent->shape[1];
    vae->config.widest = latent->shape[0];
out:
    return status;
}

static kx_status fill_scaling(const kx_parameters *p, kx_vae *vae)
{
    kx_status status = KX_OK;
    float **const vectors[4] = {&vae->encode_scale, &vae->encode_shift, &vae->decode_scale,
                                &vae->decode_shift};
    const double scaling = (double)vae->config.scaling, shift = (double)vae->config.shift;
    const double values[4] = {scaling, -scaling * shift, 1.0 / scaling, shift};
    for (int i = 0; i < 4; i++) {
        KX_TRY(KX_ARENA_ARRAY(p->arena, vae->config.latent_channels, vectors[i], p->err));
        for (int64_t c = 0; c < vae->config.latent_channels; c++) (*vectors[i])[c] = (float)values[i];
    }
out:
    return status;
}

kx_status kx_vae_load(kx_vae **out_vae, const kx_weight_source *source, const kx_vae_config *hints,
                      kx_error *err)
{
    kx_status status = KX_OK;
    kx_vae *vae = calloc(1, sizeof *vae);
    *out_vae = NULL;
    KX_FAIL_IF(vae == NULL, err, KX_ERR_MEMORY, "%s: out of memory", source->what);
    kx_parameters p = {.source = source, .arena = &vae->arena, .err = err};
    bool scaled = hints != NULL && hints->scaling > 0;
    vae->config.groups = hints != NULL && hints->groups > 0 ? hints->groups : 32;
    vae->config.eps = hints != NULL && hints->eps > 0 ? hints->eps : 1e-6f;
    vae->config.scaling = scaled ? hints->scaling : 0.3611f;
    vae->config.shift = scaled ? hints->shift : 0.1159f;
    KX_TRY(load_encoder(&p, &vae->config, &vae->encoder));
    KX_TRY(load_decoder(&p, &vae->config, &vae->decoder));
    KX_TRY(read_config(&p, vae));
    KX_TRY(fill_scaling(&p, vae));
    *out_vae = vae;
    vae = NULL;
out:
    kx_vae_free(vae);
    return status;
}

void kx_vae_free(kx_vae *vae)
{
    if (vae == NULL) return;
    kx_arena_free(&vae->arena);
    free(vae);
}

const kx_vae_config *kx_vae_config_of(const kx_vae *vae)
{
    return &vae->config;
}

size_t kx_vae_bytes(const kx_vae *vae)
{
    return sizeof *vae + kx_arena_bytes(&vae->arena);
}

int64_t kx_vae_cell_px(const kx_vae *vae)
{
    return (int64_t)1 << (vae->config.levels - 1);
}
