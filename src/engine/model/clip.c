#include "engine/model/clip.h"

#include "engine/model/embedding.h"
#include "engine/model/parameters.h"

#include <math.h>
#include <stdlib.h>

enum { LARGEST_ID_RULE = 2, PUBLISHED_HEAD_DIM = 64 };

typedef struct clip_layer {
    kx_norm norm1, norm2;
    kx_linear qkv, out, up, down;
} clip_layer;

struct kx_clip {
    kx_clip_config config;
    kx_arena arena;
    kx_weight tokens;
    float *positions; /* (positions, width) */
    clip_layer *layers;
    kx_norm norm;
};

/* ---- Loading ------------------------------------------------------------------------------------------- */

static kx_status read_config(const kx_parameters *p, const kx_clip_config *hints, kx_clip *clip)
{
    kx_status status = KX_OK;
    kx_clip_config *config = &clip->config;
    kx_weight positions, up;
    *config = hints != NULL ? *hints : (kx_clip_config){0};
    KX_TRY(
        kx_parameters_weight(p, &clip->tokens, 2, (int64_t[]){-1, -1}, "embeddings.token_embedding.weight"));
    config->vocabulary = clip->tokens.shape[0];
    config->width = clip->tokens.shape[1];
    KX_TRY(kx_parameters_weight(p, &positions, 2, (int64_t[]){-1, config->width},
                                "embeddings.position_embedding.weight"));
    config->positions = positions.shape[0];
    KX_TRY(KX_ARENA_ARRAY(p->arena, config->positions * config->width, &clip->positions, p->err));
    kx_weight_read_f32(&positions, clip->positions);
    KX_TRY(kx_parameters_count(p, "encoder.layers.", ".layer_norm1.weight", &config->layers));
    KX_TRY(
        kx_parameters_weight(p, &up, 2, (int64_t[]){-1, config->width}, "encoder.layers.0.mlp.fc1.weight"));
    config->mlp = up.shape[0];
    if (config->heads == 0) config->heads = config->width / PUBLISHED_HEAD_DIM;
    if (config->eos_id == 0) config->eos_id = LARGEST_ID_RULE;
    if (config->eps == 0) config->eps = 1e-5f;
    KX_FAIL_IF(config->heads < 1 || config->width % config->heads != 0, p->err, KX_ERR_MODEL,
               "%s: a width of %lld cannot be shared by %lld attention heads", p->source->what,
               (long long)config->width, (long long)config->heads);
out:
    return status;
}

static kx_status load_layer(const kx_parameters *p, const kx_clip_config *config, int i, clip_layer *layer)
{
    kx_status status = KX_OK;
    static const char *const projections[3] = {"q_proj", "k_proj", "v_proj"};
    int64_t width = config->width;
    kx_linear qkv[3];
    KX_TRY(kx_parameters_norm(p, &layer->norm1, width, "encoder.layers.%d.layer_norm1", i));
    KX_TRY(kx_parameters_norm(p, &layer->norm2, width, "encoder.layers.%d.layer_norm2", i));
    for (int k = 0; k < 3; k++)
        KX_TRY(kx_parameters_linear(p, &qkv[k], width, width, "encoder.layers.%d.self_attn.%s", i,
                                    projections[k]));
    KX_TRY(kx_parameters_join(p, qkv, 3, &layer->qkv));
    KX_TRY(kx_parameters_linear(p, &layer->out, width, width, "encoder.layers.%d.self_attn.out_proj", i));
    KX_TRY(kx_parameters_linear(p, &layer->up, config->mlp, width, "encoder.layers.%d.mlp.fc1", i));
    KX_TRY(kx_parameters_linear(p, &layer->down, width, config->mlp, "encoder.layers.%d.mlp.fc2", i));
out:
    return status;
}

kx_status kx_clip_load(kx_clip **out_clip, const kx_weight_source *source, const kx_clip_config *hints,
                       kx_error *err)
{
    kx_status status = KX_OK;
    kx_clip *clip = calloc(1, sizeof *clip);
    *out_clip = NULL;
    KX_FAIL_IF(clip == NULL, err, KX_ERR_MEMORY, "%s: out of memory", source->what);
    kx_parameters p = {.source = source, .arena = &clip->arena, .err = err};
    KX_TRY(read_config(&p, hints, clip));
    KX_TRY(KX_ARENA_ARRAY(&clip->arena, clip->config.layers, &clip->layers, err));
    for (int i = 0; i < clip->config.layers; i++) KX_TRY(load_layer(&p, &clip->config, i, &clip->layers[i]));
    KX_TRY(kx_parameters_norm(&p, &clip->norm, clip->config.width, "final_layer_norm"));
    *out_clip = clip;
    clip = NULL;
out:
    kx_clip_free(clip);
    return status;
}

kx_status kx_clip_each_linear(kx_clip *clip, kx_linear_visit *visit, void *context, kx_error *err)
{
    kx_status status = KX_OK;
    for (int i = 0; i < clip->config.layers; i++) {
        clip_layer *layer = &clip->layers[i];
        const kx_block_linear linears[] = {{"self_attn.qkv", &layer->qkv},
                                           {"self_attn.out_proj", &layer->out},
                                           {"mlp.fc1", &layer->up},
                                           {"mlp.fc2", &layer->down}};
        KX_TRY(kx_parameters_visit_block("encoder.layers", i, linears, sizeof linears / sizeof linears[0],
                                         visit, context, err));
    }
out:
    return status;
}

void kx_clip_free(kx_clip *clip)
{
    if (clip == NULL) return;
    kx_arena_free(&clip->arena);
    free(clip);
}

const kx_clip_config *kx_clip_config_of(const kx_clip *clip)
{
    return &clip->config;
}

size_t kx_clip_bytes(const kx_clip *clip)
{
    return sizeof *clip + kx_arena_bytes(&clip->arena);
}

/* ---- Running ------------------------------------------------------------------------------------------- */

int64_t kx_clip_pooled_position(const kx_clip *clip, const int32_t *ids, int64_t n)
{
    int64_t best = 0;
    if (clip->config.eos_id == LARGEST_ID_RULE) {
        for (int64_t t = 1; t < n; t++)
            if (ids[t] > ids[best]) best = t;
        return best;
    }
    while (best < n && ids[best] != clip->config.eos_id) best++;
    return best < n ? best : 0;
}

/* x (T,width) += attention of LN1(x) */
static void attend(const kx_clip *clip, kx_ops *ops, const clip_layer *layer, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t width = clip->config.width, head_dim = width / clip->config.heads;
    kx_tensor y = kx_ops_take_operand(ops, "clip: normed", x->rows, width, 0);
    kx_tensor qkv = kx_ops_take(ops, "clip: q, k, v", x->rows, 3 * width);
    kx_tensor q = kx_tensor_cols(&qkv, 0, width), k = kx_tensor_cols(&qkv, width, width),
              v = kx_tensor_cols(&qkv, 2 * width, width);
    kx_op_layer_norm(ops, x, layer->norm1.weight, layer->norm1.bias, clip->config.eps, &y);
    kx_op_linear(ops, &y, &layer->qkv, KX_EPILOGUE_STORE, NULL, &qkv);
    kx_attention attention = {.heads = clip->config.heads,
                              .head_dim = head_dim,
                              .scale = 1.0f / sqrtf((float)head_dim),
                              .causal = true};
    kx_op_attention(ops, &attention, &q, &k, &v, &q);
    kx_tensor attended = kx_ops_as_operand(ops, "clip: attended", &q);
    kx_op_linear(ops, &attended, &layer->out, KX_EPILOGUE_ADD, NULL, x);
    kx_ops_release(ops, mark);
}

/* x (T,width) += W2 quick_gelu(W1 LN2(x)) */
static void feed_forward(const kx_clip *clip, kx_ops *ops, const clip_layer *layer, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor y = kx_ops_take_operand(ops, "clip: normed", x->rows, clip->config.width, 0);
    kx_tensor hidden = kx_ops_take_operand(ops, "clip: hidden", x->rows, clip->config.mlp, 0);
    kx_op_layer_norm(ops, x, layer->norm2.weight, layer->norm2.bias, clip->config.eps, &y);
    kx_op_linear(ops, &y, &layer->up, KX_EPILOGUE_QUICK_GELU, NULL, &hidden);
    kx_op_linear(ops, &hidden, &layer->down, KX_EPILOGUE_ADD, NULL, x);
    kx_ops_release(ops, mark);
}

void kx_clip_encode(const kx_clip *clip, kx_ops *ops, const int32_t *ids, int64_t n, kx_tensor *pooled)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t last = ids != NULL ? kx_clip_pooled_position(clip, ids, n) : n - 1;
    if (last >= clip->config.positions) {
        kx_error_set(&ops->error, KX_ERR_MODEL, __FILE__, __LINE__,
                     "clip: %lld tokens, the model has %lld positions", (long long)last + 1,
                     (long long)clip->config.positions);
        return;
    }
    kx_tensor x = kx_ops_take(ops, "clip: tokens", last + 1, clip->config.width);
    kx_tensor positions = kx_tensor_of(clip->positions, last + 1, clip->config.width);
    kx_embedding_lookup(ops, "clip", &clip->tokens, ids, &x);
    kx_op_add(ops, &positions, &x);
    for (int i = 0; i < clip->config.layers; i++) {
        kx_ops_enter(ops, "clip layer", i);
        attend(clip, ops, &clip->layers[i], &x);
        feed_forward(clip, ops, &clip->layers[i], &x);
        kx_ops_leave(ops);
        kx_ops_trace(ops, &x, "clip.layer.%d", i);
    }
    kx_tensor end = kx_tensor_rows(&x, last, 1);
    kx_op_layer_norm(ops, &end, clip->norm.weight, clip->norm.bias, clip->config.eps, pooled);
    kx_ops_release(ops, mark);
}
