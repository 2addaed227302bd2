#include "engine/model/t5.h"

#include "engine/model/embedding.h"
#include "engine/model/parameters.h"
#include "engine/tensor/expect.h"

#include <math.h>
#include <stdlib.h>

typedef struct t5_block {
    const float *norm1, *norm2;
    kx_linear qkv, out, gate, up, down;
} t5_block;

struct kx_t5 {
    kx_t5_config config;
    kx_arena arena;
    kx_weight tokens;
    float *bias_table; /* (buckets, heads) */
    t5_block *blocks;
    const float *norm;
};

/* ---- Loading ------------------------------------------------------------------------------------------- */

static kx_status read_bias_table(const kx_parameters *p, const kx_t5_config *hints, kx_t5 *t5)
{
    kx_status status = KX_OK;
    kx_t5_config *config = &t5->config;
    kx_weight table;
    KX_TRY(kx_parameters_weight(p, &table, 2, (int64_t[]){-1, -1},
                                "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"));
    config->buckets = table.shape[0];
    config->heads = table.shape[1];
    KX_FAIL_IF(hints != NULL && hints->heads > 0 && hints->heads != config->heads, p->err, KX_ERR_MODEL,
               "%s: the configuration says %lld attention heads, the bias table has %lld", p->source->what,
               (long long)hints->heads, (long long)config->heads);
    KX_FAIL_IF(config->buckets % 4 != 0 || config->max_distance <= config->buckets / 4, p->err, KX_ERR_MODEL,
               "%s: %lld distance buckets up to a distance of %lld make no sense", p->source->what,
               (long long)config->buckets, (long long)config->max_distance);
    KX_TRY(KX_ARENA_ARRAY(p->arena, config->buckets * config->heads, &t5->bias_table, p->err));
    kx_weight_read_f32(&table, t5->bias_table);
out:
    return status;
}

static kx_status read_config(const kx_parameters *p, const kx_t5_config *hints, kx_t5 *t5)
{
    kx_status status = KX_OK;
    kx_t5_config *config = &t5->config;
    kx_weight q, gate;
    config->max_distance = hints != NULL && hints->max_distance > 0 ? hints->max_distance : 128;
    config->eps = hints != NULL && hints->eps > 0 ? hints->eps : 1e-6f;
    KX_TRY(kx_parameters_weight(p, &t5->tokens, 2, (int64_t[]){-1, -1}, "shared.weight"));
    config->vocabulary = t5->tokens.shape[0];
    config->width = t5->tokens.shape[1];
    KX_TRY(read_bias_table(p, hints, t5));
    KX_TRY(kx_parameters_weight(p, &q, 2, (int64_t[]){-1, config->width},
                                "encoder.block.0.layer.0.SelfAttention.q.weight"));
    KX_FAIL_IF(q.shape[0] % config->heads != 0, p->err, KX_ERR_MODEL,
               "%s: %lld query rows cannot be shared by %lld attention heads", p->source->what,
               (long long)q.shape[0], (long long)config->heads);
    config->head_dim = q.shape[0] / config->heads;
    KX_TRY(kx_parameters_weight(p, &gate, 2, (int64_t[]){-1, config->width},
                                "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"));
    config->hidden = gate.shape[0];
    KX_TRY(kx_parameters_count(p, "encoder.block.", ".layer.0.layer_norm.weight", &config->blocks));
out:
    return status;
}

static kx_status load_block(const kx_parameters *p, const kx_t5_config *config, int i, t5_block *block)
{
    kx_status status = KX_OK;
    static const char *const projections[3] = {"q", "k", "v"};
    int64_t inner = config->heads * config->head_dim, width = config->width, hidden = config->hidden;
    kx_linear qkv[3] = {0};
    KX_TRY(kx_parameters_vector(p, &block->norm1, width, "encoder.block.%d.layer.0.layer_norm.weight", i));
    KX_TRY(kx_parameters_vector(p, &block->norm2, width, "encoder.block.%d.layer.1.layer_norm.weight", i));
    for (int k = 0; k < 3; k++)
        KX_TRY(kx_parameters_weight(p, &qkv[k].weight, 2, (int64_t[]){inner, width},
                                    "encoder.block.%d.layer.0.SelfAttention.%s.weight", i, projections[k]));
    KX_TRY(kx_parameters_join(p, qkv, 3, &block->qkv));
    KX_TRY(kx_parameters_weight(p, &block->out.weight, 2, (int64_t[]){width, inner},
                                "encoder.block.%d.layer.0.SelfAttention.o.weight", i));
    KX_TRY(kx_parameters_weight(p, &block->gate.weight, 2, (int64_t[]){hidden, width},
                                "encoder.block.%d.layer.1.DenseReluDense.wi_0.weight", i));
    KX_TRY(kx_parameters_weight(p, &block->up.weight, 2, (int64_t[]){hidden, width},
                                "encoder.block.%d.layer.1.DenseReluDense.wi_1.weight", i));
    KX_TRY(kx_parameters_weight(p, &block->down.weight, 2, (int64_t[]){width, hidden},
                                "encoder.block.%d.layer.1.DenseReluDense.wo.weight", i));
out:
    return status;
}

kx_status kx_t5_load(kx_t5 **out_t5, const kx_weight_source *source, const kx_t5_config *hints, kx_error *err)
{
    kx_status status = KX_OK;
    kx_t5 *t5 = calloc(1, sizeof *t5);
    *out_t5 = NULL;
    KX_FAIL_IF(t5 == NULL, err, KX_ERR_MEMORY, "%s: out of memory", source->what);
    kx_parameters p = {.source = source, .arena = &t5->arena, .err = err};
    KX_TRY(read_config(&p, hints, t5));
    KX_TRY(KX_ARENA_ARRAY(&t5->arena, t5->config.blocks, &t5->blocks, err));
    for (int i = 0; i < t5->config.blocks; i++) KX_TRY(load_block(&p, &t5->config, i, &t5->blocks[i]));
    KX_TRY(kx_parameters_vector(&p, &t5->norm, t5->config.width, "encoder.final_layer_norm.weight"));
    *out_t5 = t5;
    t5 = NULL;
out:
    kx_t5_free(t5);
    return status;
}

kx_status kx_t5_each_linear(kx_t5 *t5, kx_linear_visit *visit, void *context, kx_error *err)
{
    kx_status status = KX_OK;
    for (int i = 0; i < t5->config.blocks; i++) {
        t5_block *block = &t5->blocks[i];
        const kx_block_linear linears[] = {
            {"layer.0.SelfAttention.qkv", &block->qkv},    {"layer.0.SelfAttention.o", &block->out},
            {"layer.1.DenseReluDense.wi_0", &block->gate}, {"layer.1.DenseReluDense.wi_1", &block->up},
            {"layer.1.DenseReluDense.wo", &block->down},
        };
        KX_TRY(kx_parameters_visit_block("encoder.block", i, linears, sizeof linears / sizeof linears[0],
                                         visit, context, err));
    }
out:
    return status;
}

void kx_t5_free(kx_t5 *t5)
{
    if (t5 == NULL) return;
    kx_arena_free(&t5->arena);
    free(t5);
}

const kx_t5_config *kx_t5_config_of(const kx_t5 *t5)
{
    return &t5->config;
}

size_t kx_t5_bytes(const kx_t5 *t5)
{
    return sizeof *t5 + kx_arena_bytes(&t5->arena);
}

/* ---- Running ------------------------------------------------------------------------------------------- */

/* Half of the buckets are for keys behind the query, half for keys before it. The first half of each is
 * exact, the rest grows logarithmically up to max_distance; what is farther shares the last. */
int64_t kx_t5_bucket(const kx_t5_config *config, int64_t distance)
{
    int64_t side = config->buckets / 2, exact = side / 2, n = llabs(distance);
    int64_t first = distance > 0 ? side : 0;
    if (n < exact) return first + n;
    double grown = log((double)n / (double)exact) / log((double)config->max_distance / (double)exact);
    int64_t bucket = exact + (int64_t)(grown * (double)(side - exact));
    return first + (bucket < side - 1 ? bucket : side - 1);
}

/* -> bias (heads, 2T-1): column k - q + T-1 */
static void fill_bias(const kx_t5 *t5, kx_ops *ops, int64_t T, kx_tensor *bias)
{
    int64_t heads = t5->config.heads;
    if (kx_ops_idle(ops)) return;
    for (int64_t column = 0; column < 2 * T - 1; column++) {
        const float *row = t5->bias_table + kx_t5_bucket(&t5->config, column - (T - 1)) * heads;
        for (int64_t head = 0; head < heads; head++)
            kx_tensor_f32(bias)[head * bias->stride + column] = row[head];
    }
    kx_ops_trace(ops, bias, "t5.bias");
}

/* x (T,width) += Wo softmax(Q K^T + B) V */
static void attend(const kx_t5 *t5, kx_ops *ops, const t5_block *block, const kx_tensor *bias, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t inner = t5->config.heads * t5->config.head_dim;
    kx_tensor y = kx_ops_take_operand(ops, "t5: normed", x->rows, t5->config.width, 0);
    kx_tensor qkv = kx_ops_take(ops, "t5: q, k, v", x->rows, 3 * inner);
    kx_tensor q = kx_tensor_cols(&qkv, 0, inner), k = kx_tensor_cols(&qkv, inner, inner),
              v = kx_tensor_cols(&qkv, 2 * inner, inner);
    kx_op_rms_norm(ops, x, block->norm1, t5->config.eps, &y);
    kx_op_linear(ops, &y, &block->qkv, KX_EPILOGUE_STORE, NULL, &qkv);
    kx_attention attention = {.heads = t5->config.heads,
                              .head_dim = t5->config.head_dim,
                              .scale = 1.0f,
                              .distance_bias = bias->data};
    kx_op_attention(ops, &attention, &q, &k, &v, &q);
    kx_tensor attended = kx_ops_as_operand(ops, "t5: attended", &q);
    kx_op_linear(ops, &attended, &block->out, KX_EPILOGUE_ADD, NULL, x);
    kx_ops_release(ops, mark);
}

/* x (T,width) += Wout (gelu_tanh(W0 y) * (W1 y)) */
static void feed_forward(const kx_t5 *t5, kx_ops *ops, const t5_block *block, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor y = kx_ops_take_operand(ops, "t5: normed", x->rows, t5->config.width, 0);
    kx_tensor hidden = kx_ops_take(ops, "t5: hidden", x->rows, t5->config.hidden);
    kx_op_rms_norm(ops, x, block->norm2, t5->config.eps, &y);
    kx_op_linear(ops, &y, &block->gate, KX_EPILOGUE_GELU_TANH, NULL, &hidden);
    kx_op_linear(ops, &y, &block->up, KX_EPILOGUE_MULTIPLY, NULL, &hidden);
    kx_tensor product = kx_ops_as_operand(ops, "t5: gated", &hidden);
    kx_op_linear(ops, &product, &block->down, KX_EPILOGUE_ADD, NULL, x);
    kx_ops_release(ops, mark);
}

static void expect_block(const kx_t5 *t5, kx_ops *ops, int i)
{
    if (i >= t5->config.blocks) return;
    const t5_block *block = &t5->blocks[i];
    kx_expect_linear(ops, &block->qkv);
    kx_expect_linear(ops, &block->out);
    kx_expect_linear(ops, &block->gate);
    kx_expect_linear(ops, &block->up);
    kx_expect_linear(ops, &block->down);
}

void kx_t5_encode(const kx_t5 *t5, kx_ops *ops, const int32_t *ids, int64_t T, kx_tensor *out)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor bias = kx_ops_take(ops, "t5: distance bias", t5->config.heads, 2 * T - 1);
    fill_bias(t5, ops, T, &bias);
    kx_embedding_lookup(ops, "t5", &t5->tokens, ids, out); /* out is the residual stream all the way */
    for (int i = 0; i < t5->config.blocks; i++) {
        kx_ops_enter(ops, "t5 block", i);
        expect_block(t5, ops, i + 1);
        attend(t5, ops, &t5->blocks[i], &bias, out);
        feed_forward(t5, ops, &t5->blocks[i], out);
        kx_ops_leave(ops);
        kx_ops_trace(ops, out, "t5.block.%d", i);
    }
    kx_op_rms_norm(ops, out, t5->norm, t5->config.eps, out);
    kx_ops_release(ops, mark);
}
