/* The two kinds of blocks (model-spec 2.5, 2.6). Both work in place on the sequence x (S,h), text rows first.
 *
 * Attention needs no buffer for its result: an output row needs its own query row only, so it overwrites Q.
 * In the single block that puts it where the second product wants it, beside the gelu of the MLP:
 *
 *     [ K | V ]   [ Q -> attention | gelu(M) ]      the right part, as it stands, is the input of linear2
 *
 * In a lower precision what products read is an operand (packed.h), which norms, epilogues and attention
 * write as such; Q, K and V themselves stay f32.
 */
#include "engine/model/mmdit_parts.h"

#include <math.h>

static const float norm_eps = 1e-6f;

/* A part of a row of modulation vectors. NULL while dry. */
static const float *chunk(const float *vectors, int64_t hidden, int64_t i)
{
    return vectors == NULL ? NULL : vectors + i * hidden;
}

static int64_t all_rows(const kx_mmdit_rows *rows)
{
    return rows->text + rows->target + rows->references;
}

/* RMS norm and rotation of the heads of queries or keys x (count, h), which are rows first.. of the sequence.
 */
static void norm_and_rotate(const kx_mmdit_config *config, kx_ops *ops, const kx_mmdit_rows *rows,
                            int64_t first, const float *scale, kx_tensor *x)
{
    kx_tensor cosines = kx_tensor_rows(&rows->cosines, first, x->rows);
    kx_tensor sines = kx_tensor_rows(&rows->sines, first, x->rows);
    kx_op_head_norm_rope(ops, x, config->head_dim, scale, norm_eps, &cosines, &sines);
}

/* out (Tq,h) = softmax(q k^T / sqrt(d)) v, for each head; out may be q */
static void attend(const kx_mmdit_config *config, kx_ops *ops, const kx_tensor *q, const kx_tensor *k,
                   const kx_tensor *v, kx_tensor *out)
{
    kx_attention attention = {
        .heads = config->heads, .head_dim = config->head_dim, .scale = 1.0f / sqrtf((float)config->head_dim)};
    kx_op_attention(ops, &attention, q, k, v, out);
}

/* ---- Double block -------------------------------------------------------------------------------------- */

/* One stream within the sequence: its weights, its rows, its six modulation vectors. */
typedef struct stream {
    const kx_mmdit_stream *weights;
    const float *modulation;
    int64_t first, count;
} stream;

enum { SHIFT1, SCALE1, GATE1, SHIFT2, SCALE2, GATE2 };

/* Rows of the stream: qkv = W mod1(x) + b; queries and keys normalised and rotated. y: rows of scratch. */
static void project_stream(const kx_mmdit_config *config, kx_ops *ops, const kx_mmdit_rows *rows,
                           const stream *s, const kx_tensor *x, kx_tensor *y, kx_tensor *qkv)
{
    int64_t h = config->hidden;
    kx_tensor from = kx_tensor_rows(x, s->first, s->count), normed = kx_tensor_rows(y, s->first, s->count);
    kx_tensor out = kx_tensor_rows(qkv, s->first, s->count);
    kx_tensor q = kx_tensor_cols(&out, 0, h), k = kx_tensor_cols(&out, h, h);
    kx_op_norm_modulate(ops, &from, chunk(s->modulation, h, SHIFT1), chunk(s->modulation, h, SCALE1),
                        norm_eps, &normed);
    kx_op_linear(ops, &normed, &s->weights->qkv, KX_EPILOGUE_STORE, NULL, &out);
    norm_and_rotate(config, ops, rows, s->first, s->weights->query_scale, &q);
    norm_and_rotate(config, ops, rows, s->first, s->weights->key_scale, &k);
}

/* x += gate2 MLP(mod2(x)) for the rows of the stream */
static void feed_forward(const kx_mmdit_config *config, kx_ops *ops, const stream *s, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t h = config->hidden;
    kx_tensor rows = kx_tensor_rows(x, s->first, s->count);
    kx_tensor normed = kx_ops_take_operand(ops, "transformer: normed", s->count, h, 0);
    kx_tensor hidden = kx_ops_take_operand(ops, "transformer: hidden", s->count, config->mlp, 0);
    kx_op_norm_modulate(ops, &rows, chunk(s->modulation, h, SHIFT2), chunk(s->modulation, h, SCALE2),
                        norm_eps, &normed);
    kx_op_linear(ops, &normed, &s->weights->up, KX_EPILOGUE_GELU_TANH, NULL, &hidden);
    kx_op_linear(ops, &hidden, &s->weights->down, KX_EPILOGUE_GATED_ADD, chunk(s->modulation, h, GATE2),
                 &rows);
    kx_ops_release(ops, mark);
}

void kx_mmdit_run_double(const kx_mmdit_config *config, kx_ops *ops, const kx_mmdit_double *block,
                         const kx_mmdit_rows *rows, const float *text, const float *image, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t h = config->hidden;
    const stream streams[2] = {{&block->text, text, 0, rows->text},
                               {&block->image, image, rows->text, rows->target + rows->references}};
    kx_tensor qkv = kx_ops_take(ops, "transformer: q, k, v", x->rows, 3 * h);
    kx_tensor normed = kx_ops_take_operand(ops, "transformer: normed", x->rows, h, 0);
    kx_tensor q = kx_tensor_cols(&qkv, 0, h), k = kx_tensor_cols(&qkv, h, h),
              v = kx_tensor_cols(&qkv, 2 * h, h);
    for (int i = 0; i < 2; i++) project_stream(config, ops, rows, &streams[i], x, &normed, &qkv);
    kx_tensor attended = kx_ops_narrow(ops) ? normed : q; /* normed is free again */
    attend(config, ops, &q, &k, &v, &attended);
    for (int i = 0; i < 2; i++) {
        kx_tensor from = kx_tensor_rows(&attended, streams[i].first, streams[i].count);
        kx_tensor to = kx_tensor_rows(x, streams[i].first, streams[i].count);
        kx_op_linear(ops, &from, &streams[i].weights->proj, KX_EPILOGUE_GATED_ADD,
                     chunk(streams[i].modulation, h, GATE1), &to);
    }
    kx_ops_release(ops, mark);
    for (int i = 0; i < 2; i++) feed_forward(config, ops, &streams[i], x);
}

/* ---- Single block -------------------------------------------------------------------------------------- */

void kx_mmdit_run_single(const kx_mmdit_config *config, kx_ops *ops, const kx_mmdit_single *block,
                         const kx_mmdit_rows *rows, const float *modulation, bool target_only, kx_tensor *x)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t h = config->hidden, S = all_rows(rows);
    int64_t first = target_only ? rows->text : 0, count = target_only ? rows->target : S;
    kx_tensor kv = kx_ops_take(ops, "transformer: k, v", S, 2 * h);
    kx_tensor wide = kx_ops_take_operand(ops, "transformer: attention, hidden", count, h + config->mlp, h);
    kx_tensor normed = kx_ops_take_operand(ops, "transformer: normed", S, h, 0);
    kx_tensor attended = kx_tensor_cols(&wide, 0, h);
    kx_tensor q = kx_ops_narrow(ops) ? kx_ops_take(ops, "transformer: q", count, h) : attended;
    kx_tensor k = kx_tensor_cols(&kv, 0, h), v = kx_tensor_cols(&kv, h, h);
    kx_tensor hidden = kx_tensor_cols(&wide, h, config->mlp);
    kx_tensor wanted = kx_tensor_rows(&normed, first, count), updated = kx_tensor_rows(x, first, count);
    kx_op_norm_modulate(ops, x, chunk(modulation, h, SHIFT1), chunk(modulation, h, SCALE1), norm_eps,
                        &normed);
    kx_op_linear(ops, &normed, &block->kv, KX_EPILOGUE_STORE, NULL, &kv);
    kx_op_linear(ops, &wanted, &block->q, KX_EPILOGUE_STORE, NULL, &q);
    kx_op_linear(ops, &wanted, &block->up, KX_EPILOGUE_GELU_TANH, NULL, &hidden);
    norm_and_rotate(config, ops, rows, first, block->query_scale, &q);
    norm_and_rotate(config, ops, rows, 0, block->key_scale, &k);
    attend(config, ops, &q, &k, &v, &attended);
    kx_op_linear(ops, &wide, &block->down, KX_EPILOGUE_GATED_ADD, chunk(modulation, h, GATE1), &updated);
    kx_ops_release(ops, mark);
}
