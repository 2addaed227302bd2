#include "engine/model/mmdit.h"

#include "engine/model/mmdit_parts.h"
#include "engine/tensor/expect.h"

static const float final_eps = 1e-6f;

/* ---- What is constant over a run ----------------------------------------------------------------------- */

/* x (n,K) -> y (n,h): y = W2 silu(W1 x + b1) + b2, or y += that */
static void embed(kx_ops *ops, const kx_mmdit_embedder *embedder, const kx_tensor *x, bool add, kx_tensor *y)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor hidden = kx_ops_take(ops, "transformer: embedder", x->rows, y->cols);
    kx_op_linear(ops, x, &embedder->in, KX_EPILOGUE_SILU, NULL, &hidden);
    kx_op_linear(ops, &hidden, &embedder->out, add ? KX_EPILOGUE_ADD : KX_EPILOGUE_STORE, NULL, y);
    kx_ops_release(ops, mark);
}

/* Every row of y (n,h) += x (1,h) */
static void add_to_rows(kx_ops *ops, const kx_tensor *x, kx_tensor *y)
{
    for (int64_t row = 0; row < y->rows; row++) {
        kx_tensor one = kx_tensor_rows(y, row, 1);
        kx_op_add(ops, x, &one);
    }
}

/* -> conditioning (steps,h) = silu(vec), vec = (E_time(t) + E_guidance(g)) + E_pooled(pooled) */
static void condition(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_inputs *inputs,
                      kx_tensor *conditioning)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t frequencies = model->config.frequencies;
    kx_tensor times = kx_ops_take(ops, "transformer: times", inputs->steps, frequencies);
    kx_tensor guidance = kx_ops_take(ops, "transformer: guidance", 1, frequencies);
    kx_tensor vector = kx_ops_take(ops, "transformer: vector", 1, model->config.hidden);
    if (!kx_ops_idle(ops)) {
        for (int64_t k = 0; k < inputs->steps; k++)
            kx_mmdit_fill_sinusoid(inputs->times[k], frequencies, kx_tensor_f32(&times) + k * times.stride);
        kx_mmdit_fill_sinusoid(inputs->guidance, frequencies, kx_tensor_f32(&guidance));
    }
    embed(ops, &model->time_in, &times, false, conditioning);
    if (model->config.guidance) {
        embed(ops, &model->guidance_in, &guidance, false, &vector);
        add_to_rows(ops, &vector, conditioning);
    }
    embed(ops, &model->pooled_in, &inputs->pooled, false, &vector);
    add_to_rows(ops, &vector, conditioning);
    kx_ops_trace(ops, conditioning, "mmdit.vec");
    kx_op_silu(ops, conditioning, conditioning);
    kx_ops_release(ops, mark);
}

void kx_mmdit_begin(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_inputs *inputs, kx_mmdit_run *run)
{
    const kx_mmdit_config *config = &model->config;
    int64_t T = inputs->context.rows, R = inputs->references.rows, S = T + inputs->target_tokens + R;
    int64_t window = inputs->steps < KX_MMDIT_WINDOW ? inputs->steps : KX_MMDIT_WINDOW;
    *run = (kx_mmdit_run){
        .text = T, .target = inputs->target_tokens, .references = R, .steps = inputs->steps, .window = -1};
    run->cosines = kx_ops_take(ops, "transformer: rotations (cos)", S, config->head_dim / 2);
    run->sines = kx_ops_take(ops, "transformer: rotations (sin)", S, config->head_dim / 2);
    run->text_tokens = kx_ops_take(ops, "transformer: text tokens", T, config->hidden);
    run->reference_tokens = kx_ops_take(ops, "transformer: reference tokens", R, config->hidden);
    run->conditioning = kx_ops_take(ops, "transformer: conditioning", inputs->steps, config->hidden);
    run->modulation = kx_ops_take(ops, "transformer: modulation", window, kx_mmdit_modulation_width(config));
    kx_mmdit_fill_rotations(config, ops, inputs->positions, &run->cosines, &run->sines);
    kx_op_linear(ops, &inputs->context, &model->text_in, KX_EPILOGUE_STORE, NULL, &run->text_tokens);
    if (R > 0)
        kx_op_linear(ops, &inputs->references, &model->image_in, KX_EPILOGUE_STORE, NULL,
                     &run->reference_tokens);
    condition(model, ops, inputs, &run->conditioning);
}

/* ---- A step -------------------------------------------------------------------------------------------- */

/* The modulation vectors of step k; those of its whole window are computed when the window is entered.
 * Windows start at multiples of their length, so a resumed run computes the same bytes. */
static const float *modulation_of_step(const kx_mmdit *model, kx_ops *ops, kx_mmdit_run *run, int64_t k)
{
    int64_t first = k - k % KX_MMDIT_WINDOW;
    if (run->window != first) {
        int64_t count = run->steps - first < KX_MMDIT_WINDOW ? run->steps - first : KX_MMDIT_WINDOW;
        kx_tensor conditioning = kx_tensor_rows(&run->conditioning, first, count);
        kx_tensor modulation = kx_tensor_rows(&run->modulation, 0, count);
        kx_mmdit_modulate(model, ops, &conditioning, &modulation);
        run->window = first;
    }
    kx_tensor row = kx_tensor_rows(&run->modulation, k - first, 1);
    return row.data;
}

static const float *vectors_at(const float *modulation, int64_t first)
{
    return modulation == NULL ? NULL : modulation + first;
}

/* -> x (S,h): the sequence behind the input layers */
static void assemble(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_run *run, const kx_tensor *target,
                     kx_tensor *x)
{
    kx_tensor text = kx_tensor_rows(x, 0, run->text), image = kx_tensor_rows(x, run->text, run->target);
    kx_tensor references = kx_tensor_rows(x, run->text + run->target, run->references);
    kx_op_copy(ops, &run->text_tokens, &text);
    kx_op_linear(ops, target, &model->image_in, KX_EPILOGUE_STORE, NULL, &image);
    if (run->references > 0) kx_op_copy(ops, &run->reference_tokens, &references);
}

static void expect_stream(kx_ops *ops, const kx_mmdit_stream *stream)
{
    kx_expect_linear(ops, &stream->qkv);
    kx_expect_linear(ops, &stream->proj);
    kx_expect_linear(ops, &stream->up);
    kx_expect_linear(ops, &stream->down);
}

static void expect_single(const kx_mmdit *model, kx_ops *ops, int i)
{
    if (i >= model->config.single_blocks) return;
    const kx_mmdit_single *block = &model->singles[i];
    kx_expect_linear(ops, &block->kv);
    kx_expect_linear(ops, &block->q);
    kx_expect_linear(ops, &block->up);
    kx_expect_linear(ops, &block->down);
}

/* Double block i, or the single one behind the last. */
static void expect_double(const kx_mmdit *model, kx_ops *ops, int i)
{
    if (i >= model->config.double_blocks) {
        expect_single(model, ops, i - model->config.double_blocks);
        return;
    }
    expect_stream(ops, &model->doubles[i].text);
    expect_stream(ops, &model->doubles[i].image);
}

/* Double blocks first_block to end - 1. */
static void run_doubles(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_rows *rows,
                        const float *modulation, int first_block, int end, kx_tensor *x)
{
    const kx_mmdit_config *config = &model->config;
    kx_tensor text = kx_tensor_rows(x, 0, rows->text);
    kx_tensor image = kx_tensor_rows(x, rows->text, rows->target + rows->references);
    for (int i = first_block; i < end; i++) {
        int64_t first = kx_mmdit_modulation_of_double(config, i);
        kx_ops_enter(ops, "double", i);
        expect_double(model, ops, i + 1);
        kx_mmdit_run_double(config, ops, &model->doubles[i], rows, vectors_at(modulation, first),
                            vectors_at(modulation, first + 6 * config->hidden), x);
        kx_ops_leave(ops);
        kx_ops_trace(ops, &image, "block.double.%d.img", i);
        kx_ops_trace(ops, &text, "block.double.%d.txt", i);
    }
}

static void run_singles(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_rows *rows,
                        const float *modulation, kx_tensor *x)
{
    const kx_mmdit_config *config = &model->config;
    kx_tensor target = kx_tensor_rows(x, rows->text, rows->target);
    for (int i = 0; i < config->single_blocks; i++) {
        bool last = i == config->single_blocks - 1;
        kx_ops_enter(ops, "single", i);
        expect_single(model, ops, i + 1);
        kx_mmdit_run_single(config, ops, &model->singles[i], rows,
                            vectors_at(modulation, kx_mmdit_modulation_of_single(config, i)), last, x);
        kx_ops_leave(ops);
        kx_ops_trace(ops, last ? &target : x, "block.single.%d", i);
    }
}

/* velocity (L,out) = W ((1 + scale) LN(x) + shift) + b, for the target rows of x */
static void finish(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_rows *rows, const float *modulation,
                   const kx_tensor *x, kx_tensor *velocity)
{
    int64_t h = model->config.hidden, first = kx_mmdit_modulation_of_final(&model->config);
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_tensor target = kx_tensor_rows(x, rows->text, rows->target);
    kx_tensor normed = kx_ops_take(ops, "transformer: normed", rows->target, h);
    kx_op_norm_modulate(ops, &target, vectors_at(modulation, first), vectors_at(modulation, first + h),
                        final_eps, &normed);
    kx_op_linear(ops, &normed, &model->final, KX_EPILOGUE_STORE, NULL, velocity);
    kx_ops_release(ops, mark);
}

/* All blocks, or what the cache leaves of them: afterwards the target's rows of x are up to date. */
static void run_blocks(const kx_mmdit *model, kx_ops *ops, kx_mmdit_cache *cache, const kx_mmdit_rows *rows,
                       const float *modulation, const kx_tensor *tokens, kx_tensor *x)
{
    int doubles = model->config.double_blocks, probed = doubles > 0 ? 1 : 0;
    kx_tensor target = kx_tensor_rows(x, rows->text, rows->target);
    if (cache != NULL) cache->reused = false;
    if (kx_mmdit_reuse_before_blocks(model, ops, cache, modulation, &target)) return;
    run_doubles(model, ops, rows, modulation, 0, probed, x);
    if (kx_mmdit_reuse_after_block(model, ops, cache, tokens, &target)) return;
    run_doubles(model, ops, rows, modulation, probed, doubles, x);
    run_singles(model, ops, rows, modulation, x);
    kx_mmdit_keep_residual(ops, cache, &target);
}

void kx_mmdit_step(const kx_mmdit *model, kx_ops *ops, kx_mmdit_run *run, int64_t k, const kx_tensor *target,
                   kx_tensor *velocity)
{
    kx_scratch_mark mark = kx_ops_mark(ops);
    const kx_mmdit_rows rows = {run->text, run->target, run->references, run->cosines, run->sines};
    expect_double(model, ops, 0);
    const float *modulation = modulation_of_step(model, ops, run, k);
    kx_tensor x = kx_ops_take(ops, "transformer: sequence", run->text + run->target + run->references,
                              model->config.hidden);
    assemble(model, ops, run, target, &x);
    run_blocks(model, ops, run->cache, &rows, modulation, target, &x);
    finish(model, ops, &rows, modulation, &x, velocity);
    kx_ops_release(ops, mark);
}
