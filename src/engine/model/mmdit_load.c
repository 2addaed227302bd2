#include "engine/model/mmdit_parts.h"

#include <stdlib.h>

static kx_status load_stream(const kx_parameters *p, const kx_mmdit_config *config, int i, const char *name,
                             kx_mmdit_stream *stream)
{
    kx_status status = KX_OK;
    int64_t h = config->hidden, mlp = config->mlp, d = config->head_dim;
    KX_TRY(kx_parameters_linear(p, &stream->modulation, 6 * h, h, "double_blocks.%d.%s_mod.lin", i, name));
    KX_TRY(kx_parameters_linear(p, &stream->qkv, 3 * h, h, "double_blocks.%d.%s_attn.qkv", i, name));
    KX_TRY(kx_parameters_vector(p, &stream->query_scale, d, "double_blocks.%d.%s_attn.norm.query_norm.scale",
                                i, name));
    KX_TRY(kx_parameters_vector(p, &stream->key_scale, d, "double_blocks.%d.%s_attn.norm.key_norm.scale", i,
                                name));
    KX_TRY(kx_parameters_linear(p, &stream->proj, h, h, "double_blocks.%d.%s_attn.proj", i, name));
    KX_TRY(kx_parameters_linear(p, &stream->up, mlp, h, "double_blocks.%d.%s_mlp.0", i, name));
    KX_TRY(kx_parameters_linear(p, &stream->down, h, mlp, "double_blocks.%d.%s_mlp.2", i, name));
out:
    return status;
}

kx_status kx_mmdit_load_double(const kx_parameters *p, const kx_mmdit_config *config, int i,
                               kx_mmdit_double *block)
{
    kx_status status = KX_OK;
    KX_TRY(load_stream(p, config, i, "img", &block->image));
    KX_TRY(load_stream(p, config, i, "txt", &block->text));
out:
    return status;
}

static kx_linear rows_of(const kx_linear *linear, int64_t first, int64_t count)
{
    return (kx_linear){.weight = kx_weight_slice(&linear->weight, first, count),
                       .bias = linear->bias + first};
}

/* linear1 gives [Q | K | V | M]; it is used as three products, because K and V are wanted for all rows, and Q
 * beside M (mmdit_blocks.c). */
kx_status kx_mmdit_load_single(const kx_parameters *p, const kx_mmdit_config *config, int i,
                               kx_mmdit_single *block)
{
    kx_status status = KX_OK;
    int64_t h = config->hidden, mlp = config->mlp, d = config->head_dim;
    kx_linear in;
    KX_TRY(kx_parameters_linear(p, &block->modulation, 3 * h, h, "single_blocks.%d.modulation.lin", i));
    KX_TRY(kx_parameters_linear(p, &in, 3 * h + mlp, h, "single_blocks.%d.linear1", i));
    KX_TRY(kx_parameters_linear(p, &block->down, h, h + mlp, "single_blocks.%d.linear2", i));
    KX_TRY(kx_parameters_vector(p, &block->query_scale, d, "single_blocks.%d.norm.query_norm.scale", i));
    KX_TRY(kx_parameters_vector(p, &block->key_scale, d, "single_blocks.%d.norm.key_norm.scale", i));
    block->q = rows_of(&in, 0, h);
    block->kv = rows_of(&in, h, 2 * h);
    block->up = rows_of(&in, 3 * h, mlp);
    block->down.split = h;
out:
    return status;
}

static kx_status read_axes(const kx_parameters *p, const kx_mmdit_config *hints, kx_mmdit_config *config)
{
    kx_status status = KX_OK;
    int64_t d = config->head_dim, sum = 0;
    const int64_t published[KX_MMDIT_AXES] = {d / 8, 7 * d / 16, 7 * d / 16};
    bool said = hints != NULL && hints->axes[0] + hints->axes[1] + hints->axes[2] > 0;
    for (int a = 0; a < KX_MMDIT_AXES; a++) {
        config->axes[a] = said ? hints->axes[a] : published[a];
        KX_FAIL_IF(config->axes[a] < 0 || config->axes[a] % 2 != 0, p->err, KX_ERR_MODEL,
                   "%s: rotary axis %d has %lld dimensions, an even number is expected", p->source->what, a,
                   (long long)config->axes[a]);
        sum += config->axes[a];
    }
    KX_FAIL_IF(sum != d, p->err, KX_ERR_MODEL,
               "%s: the rotary axes have %lld dimensions together, the heads have %lld", p->source->what,
               (long long)sum, (long long)d);
    config->theta = hints != NULL && hints->theta > 0 ? hints->theta : 10000.0;
out:
    return status;
}

static kx_status read_config(const kx_parameters *p, const kx_mmdit_config *hints, kx_mmdit_config *config)
{
    kx_status status = KX_OK;
    kx_weight in, text, pooled, time, up, out_weight, norm;
    const int64_t any = -1;
    KX_TRY(kx_parameters_weight(p, &in, 2, (int64_t[]){any, any}, "img_in.weight"));
    config->hidden = in.shape[0];
    config->in_channels = in.shape[1];
    KX_TRY(kx_parameters_weight(p, &text, 2, (int64_t[]){config->hidden, any}, "txt_in.weight"));
    KX_TRY(kx_parameters_weight(p, &pooled, 2, (int64_t[]){any, any}, "vector_in.in_layer.weight"));
    KX_TRY(kx_parameters_weight(p, &time, 2, (int64_t[]){any, any}, "time_in.in_layer.weight"));
    KX_TRY(kx_parameters_weight(p, &out_weight, 2, (int64_t[]){any, config->hidden},
                                "final_layer.linear.weight"));
    KX_TRY(kx_parameters_weight(p, &up, 2, (int64_t[]){any, config->hidden},
                                "double_blocks.0.img_mlp.0.weight"));
    KX_TRY(kx_parameters_weight(p, &norm, 1, &any, "double_blocks.0.img_attn.norm.query_norm.scale"));
    config->context = text.shape[1];
    config->pooled = pooled.shape[1];
    config->frequencies = time.shape[1];
    config->out_channels = out_weight.shape[0];
    config->mlp = up.shape[0];
    config->head_dim = norm.shape[0];
    config->heads = config->hidden / config->head_dim;
    KX_FAIL_IF(config->hidden % config->head_dim != 0, p->err, KX_ERR_MODEL,
               "%s: a width of %lld does not consist of heads of %lld", p->source->what,
               (long long)config->hidden, (long long)config->head_dim);
    KX_FAIL_IF(config->frequencies % 2 != 0, p->err, KX_ERR_MODEL, "%s: a sinusoid of odd length %lld",
               p->source->what, (long long)config->frequencies);
    KX_TRY(read_axes(p, hints, config));
    KX_TRY(kx_parameters_count(p, "double_blocks.", ".img_attn.qkv.weight", &config->double_blocks));
    KX_TRY(kx_parameters_count(p, "single_blocks.", ".linear1.weight", &config->single_blocks));
    KX_TRY(kx_parameters_exists(p, &config->guidance, "guidance_in.in_layer.weight"));
out:
    return status;
}

static kx_status load_embedder(const kx_parameters *p, const kx_mmdit_config *config, int64_t cols,
                               const char *name, kx_mmdit_embedder *embedder)
{
    kx_status status = KX_OK;
    KX_TRY(kx_parameters_linear(p, &embedder->in, config->hidden, cols, "%s.in_layer", name));
    KX_TRY(kx_parameters_linear(p, &embedder->out, config->hidden, config->hidden, "%s.out_layer", name));
out:
    return status;
}

/* What is not in a block. */
static kx_status load_ends(const kx_parameters *p, const kx_mmdit_config *config, kx_mmdit *model)
{
    kx_status status = KX_OK;
    int64_t h = config->hidden;
    KX_TRY(kx_parameters_linear(p, &model->image_in, h, config->in_channels, "img_in"));
    KX_TRY(kx_parameters_linear(p, &model->text_in, h, config->context, "txt_in"));
    KX_TRY(load_embedder(p, config, config->frequencies, "time_in", &model->time_in));
    KX_TRY(load_embedder(p, config, config->pooled, "vector_in", &model->pooled_in));
    if (config->guidance)
        KX_TRY(load_embedder(p, config, config->frequencies, "guidance_in", &model->guidance_in));
    KX_TRY(kx_parameters_linear(p, &model->final_modulation, 2 * h, h, "final_layer.adaLN_modulation.1"));
    KX_TRY(kx_parameters_linear(p, &model->final, config->out_channels, h, "final_layer.linear"));
out:
    return status;
}

kx_status kx_mmdit_load(kx_mmdit **out_model, const kx_weight_source *source, const kx_mmdit_config *hints,
                        kx_error *err)
{
    kx_status status = KX_OK;
    kx_mmdit *model = calloc(1, sizeof *model);
    *out_model = NULL;
    KX_FAIL_IF(model == NULL, err, KX_ERR_MEMORY, "%s: out of memory", source->what);
    kx_parameters p = {.source = source, .arena = &model->arena, .err = err};
    kx_mmdit_config *config = &model->config;
    KX_TRY(read_config(&p, hints, config));
    KX_TRY(load_ends(&p, config, model));
    KX_TRY(KX_ARENA_ARRAY(&model->arena, config->double_blocks, &model->doubles, err));
    KX_TRY(KX_ARENA_ARRAY(&model->arena, config->single_blocks, &model->singles, err));
    for (int i = 0; i < config->double_blocks; i++)
        KX_TRY(kx_mmdit_load_double(&p, config, i, &model->doubles[i]));
    for (int i = 0; i < config->single_blocks; i++)
        KX_TRY(kx_mmdit_load_single(&p, config, i, &model->singles[i]));
    *out_model = model;
    model = NULL;
out:
    kx_mmdit_free(model);
    return status;
}

/* ---- The matrices that a lower precision packs ------------------------------------------------------------
 */

kx_status kx_mmdit_each_linear(kx_mmdit *model, kx_linear_visit *visit, void *context, kx_error *err)
{
    kx_status status = KX_OK;
    for (int i = 0; i < model->config.double_blocks; i++) {
        kx_mmdit_stream *image = &model->doubles[i].image, *text = &model->doubles[i].text;
        const kx_block_linear linears[] = {
            {"img_attn.qkv", &image->qkv}, {"img_attn.proj", &image->proj}, {"img_mlp.0", &image->up},
            {"img_mlp.2", &image->down},   {"txt_attn.qkv", &text->qkv},    {"txt_attn.proj", &text->proj},
            {"txt_mlp.0", &text->up},      {"txt_mlp.2", &text->down},
        };
        KX_TRY(kx_parameters_visit_block("double_blocks", i, linears, sizeof linears / sizeof linears[0],
                                         visit, context, err));
    }
    for (int i = 0; i < model->config.single_blocks; i++) {
        kx_mmdit_single *block = &model->singles[i];
        const kx_block_linear linears[] = {{"linear1.kv", &block->kv},
                                           {"linear1.q", &block->q},
                                           {"linear1.mlp", &block->up},
                                           {"linear2", &block->down}};
        KX_TRY(kx_parameters_visit_block("single_blocks", i, linears, sizeof linears / sizeof linears[0],
                                         visit, context, err));
    }
out:
    return status;
}

void kx_mmdit_free(kx_mmdit *model)
{
    if (model == NULL) return;
    kx_arena_free(&model->arena);
    free(model);
}

const kx_mmdit_config *kx_mmdit_config_of(const kx_mmdit *model)
{
    return &model->config;
}

size_t kx_mmdit_bytes(const kx_mmdit *model)
{
    return sizeof *model + kx_arena_bytes(&model->arena);
}
