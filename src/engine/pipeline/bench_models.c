/* Blocks, steps, T5 and the autoencoder at the sizes of edits. */
#include "engine/pipeline/bench_models.h"

#include "engine/model/mmdit_parts.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_TOKENS = 512, TOKEN_PX = 16, NAME_BYTES = 96 };
/* A row of more tokens than this takes minutes in f32. */
enum { TOKENS_AT_ONCE = 4096 };

typedef struct model_case {
    const kx_bench_parts *parts;
    kx_precision precision;
    int64_t text, target, references; /* tokens; target alone: pixels a side of the autoencoder's picture */
} model_case;

/* Positions of a square beside squares; only how many there are matters for time. */
static void fill_positions(kx_ops *ops, kx_tensor *positions, int64_t text)
{
    if (kx_ops_idle(ops)) return;
    float *values = kx_tensor_f32(positions);
    for (int64_t t = 0; t < positions->rows; t++) {
        values[3 * t] = 0;
        values[3 * t + 1] = t < text ? 0 : (float)((t - text) / 64);
        values[3 * t + 2] = t < text ? 0 : (float)((t - text) % 64);
    }
}

/* ---- Steps and blocks ---------------------------------------------------------------------------------- */

typedef struct step_operands {
    const model_case *what;
    kx_mmdit_run run;
    kx_tensor target, velocity, x;
    kx_mmdit_rows rows;
    const float *modulation;
} step_operands;

static void begin_run(kx_ops *ops, const model_case *what, step_operands *o)
{
    static const float times[1] = {0.75f};
    const kx_mmdit_config *config = kx_mmdit_config_of(what->parts->mmdit);
    int64_t all = what->text + what->target + what->references;
    kx_tensor positions = kx_ops_take(ops, "positions", all, KX_MMDIT_AXES);
    fill_positions(ops, &positions, what->text);
    kx_mmdit_inputs inputs = {
        .context = kx_bench_take_random(ops, "context", what->text, config->context),
        .pooled = kx_bench_take_random(ops, "pooled", 1, config->pooled),
        .references = kx_bench_take_random(ops, "references", what->references, config->in_channels),
        .target_tokens = what->target,
        .positions = kx_tensor_f32(&positions),
        .steps = 1,
        .times = times,
        .guidance = 2.5f,
    };
    *o = (step_operands){.what = what};
    o->target = kx_bench_take_random(ops, "target", what->target, config->in_channels);
    o->velocity = kx_ops_take(ops, "velocity", what->target, config->out_channels);
    kx_mmdit_begin(what->parts->mmdit, ops, &inputs, &o->run);
}

/* Without the modulation vectors: they are made in the first step, which does not count. */
static void call_step(kx_ops *ops, void *operands)
{
    step_operands *o = operands;
    kx_mmdit_step(o->what->parts->mmdit, ops, &o->run, 0, &o->target, &o->velocity);
}

static void run_step(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    step_operands o;
    begin_run(ops, argument, &o);
    kx_bench_rounds(ops, call_step, &o, timer);
}

static void begin_block(kx_ops *ops, const model_case *what, step_operands *o)
{
    const kx_mmdit_config *config = kx_mmdit_config_of(what->parts->mmdit);
    begin_run(ops, what, o);
    o->x = kx_bench_take_random(ops, "x", what->text + what->target + what->references, config->hidden);
    kx_tensor modulation = kx_bench_take_random(ops, "modulation", 1, 12 * config->hidden);
    o->modulation = kx_tensor_f32(&modulation);
    o->rows = (kx_mmdit_rows){what->text, what->target, what->references, o->run.cosines, o->run.sines};
}

static void call_double(kx_ops *ops, void *operands)
{
    step_operands *o = operands;
    const kx_mmdit *model = o->what->parts->mmdit;
    const float *image = o->modulation == NULL ? NULL : o->modulation + 6 * model->config.hidden;
    kx_mmdit_run_double(&model->config, ops, &model->doubles[0], &o->rows, o->modulation, image, &o->x);
}

static void run_double(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    step_operands o;
    begin_block(ops, argument, &o);
    kx_bench_rounds(ops, call_double, &o, timer);
}

static void call_single(kx_ops *ops, void *operands)
{
    step_operands *o = operands;
    const kx_mmdit *model = o->what->parts->mmdit;
    kx_mmdit_run_single(&model->config, ops, &model->singles[0], &o->rows, o->modulation, false, &o->x);
}

static void run_single(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    step_operands o;
    begin_block(ops, argument, &o);
    kx_bench_rounds(ops, call_single, &o, timer);
}

/* ---- Text and pictures --------------------------------------------------------------------------------- */

typedef struct other_operands {
    const model_case *what;
    int32_t ids[TEXT_TOKENS];
    kx_tensor in, out;
} other_operands;

static void call_t5(kx_ops *ops, void *operands)
{
    other_operands *o = operands;
    kx_t5_encode(o->what->parts->t5, ops, ops->dry ? NULL : o->ids, o->what->text, &o->out);
}

static void run_t5(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    const model_case *what = argument;
    other_operands o = {.what = what};
    for (int t = 0; t < TEXT_TOKENS; t++) o.ids[t] = (int32_t)(t % 500);
    o.out = kx_ops_take(ops, "embeddings", what->text, kx_t5_config_of(what->parts->t5)->width);
    kx_bench_rounds(ops, call_t5, &o, timer);
}

static kx_tensor take_map(kx_ops *ops, const char *name, int64_t side, int64_t channels)
{
    kx_tensor map = kx_bench_take_random(ops, name, side * side, channels);
    map.height = map.width = side;
    return map;
}

static void call_encode(kx_ops *ops, void *operands)
{
    other_operands *o = operands;
    kx_vae_encode(o->what->parts->vae, ops, &o->in, &o->out);
}

static void call_decode(kx_ops *ops, void *operands)
{
    other_operands *o = operands;
    kx_vae_decode(o->what->parts->vae, ops, &o->in, &o->out);
}

static void run_encode(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    const model_case *what = argument;
    int64_t cells = what->target / kx_vae_cell_px(what->parts->vae);
    other_operands o = {.what = what, .in = take_map(ops, "pixels", what->target, 3)};
    o.out = take_map(ops, "latent", cells, kx_vae_config_of(what->parts->vae)->latent_channels);
    kx_bench_rounds(ops, call_encode, &o, timer);
}

static void run_decode(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    const model_case *what = argument;
    int64_t cells = what->target / kx_vae_cell_px(what->parts->vae);
    other_operands o = {.what = what};
    o.in = take_map(ops, "latent", cells, kx_vae_config_of(what->parts->vae)->latent_channels);
    o.out = take_map(ops, "pixels", what->target, 3);
    kx_bench_rounds(ops, call_decode, &o, timer);
}

/* ---- The rows ------------------------------------------------------------------------------------------ */

static kx_status one(const kx_bench *bench, const char *name, bool takes_minutes, kx_bench_setup *setup,
                     const model_case *what, kx_error *err)
{
    char whole[NAME_BYTES + 8];
    snprintf(whole, sizeof whole, "%s, %s", name, kx_precision_name(what->precision));
    if (!kx_bench_wants(bench, whole, takes_minutes)) return KX_OK;
    return kx_bench_case(bench, whole, what->precision, setup, what, err);
}

/* A target of `side` pixels with so many references of the same size. */
static kx_status steps(const kx_bench *bench, const kx_bench_parts *parts, kx_precision precision,
                       int64_t side, int references, kx_error *err)
{
    int64_t text = bench->options->tiny ? 16 : TEXT_TOKENS, target = side / TOKEN_PX * (side / TOKEN_PX);
    model_case what = {.parts = parts,
                       .precision = precision,
                       .text = text,
                       .target = target,
                       .references = references * target};
    int64_t all = text + what.target + what.references;
    const kx_mmdit_config *config = kx_mmdit_config_of(parts->mmdit);
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "step %lldx%lld, %d references, %lld tokens, %d+%d blocks", (long long)side,
             (long long)side, references, (long long)all, config->double_blocks, config->single_blocks);
    return one(bench, name, all > TOKENS_AT_ONCE, run_step, &what, err);
}

static kx_status blocks(const kx_bench *bench, const kx_bench_parts *parts, kx_precision precision,
                        int64_t image, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t text = bench->options->tiny ? 16 : TEXT_TOKENS;
    model_case what = {
        .parts = parts, .precision = precision, .text = text, .target = image / 2, .references = image / 2};
    char name[NAME_BYTES];
    bool takes_minutes = text + image > TOKENS_AT_ONCE;
    snprintf(name, sizeof name, "block double, %lld tokens", (long long)(text + image));
    KX_TRY(one(bench, name, takes_minutes, run_double, &what, err));
    snprintf(name, sizeof name, "block single, %lld tokens", (long long)(text + image));
    KX_TRY(one(bench, name, takes_minutes, run_single, &what, err));
out:
    return status;
}

static kx_status pictures(const kx_bench *bench, const kx_bench_parts *parts, kx_precision precision,
                          int64_t side, kx_error *err)
{
    kx_status status = KX_OK;
    model_case what = {.parts = parts, .precision = precision, .target = side};
    char name[NAME_BYTES];
    bool takes_minutes = side > 512;
    snprintf(name, sizeof name, "vae encode %lldx%lld", (long long)side, (long long)side);
    KX_TRY(one(bench, name, takes_minutes, run_encode, &what, err));
    snprintf(name, sizeof name, "vae decode %lldx%lld", (long long)side, (long long)side);
    KX_TRY(one(bench, name, takes_minutes, run_decode, &what, err));
out:
    return status;
}

kx_status kx_bench_models(const kx_bench *bench, const kx_bench_parts *parts, kx_precision precision,
                          kx_error *err)
{
    static const int64_t sides[] = {256, 512, 1024}, tiny_sides[] = {32, 64, 96};
    static const int references[] = {0, 1, 2, 4};
    kx_status status = KX_OK;
    bool tiny = bench->options->tiny;
    KX_TRY(blocks(bench, parts, precision, tiny ? 32 : 2048, err));
    KX_TRY(blocks(bench, parts, precision, tiny ? 64 : 8192, err));
    for (size_t s = 0; s < sizeof sides / sizeof sides[0]; s++)
        for (size_t r = 0; r < sizeof references / sizeof references[0]; r++)
            KX_TRY(steps(bench, parts, precision, tiny ? tiny_sides[s] : sides[s], references[r], err));
    model_case text = {.parts = parts, .precision = precision, .text = tiny ? 16 : TEXT_TOKENS};
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "t5 %d layers, %lld tokens", kx_t5_config_of(parts->t5)->blocks,
             (long long)text.text);
    KX_TRY(one(bench, name, false, run_t5, &text, err));
    for (size_t s = 0; parts->vae != NULL && s < sizeof sides / sizeof sides[0]; s++)
        KX_TRY(pictures(bench, parts, precision, tiny ? tiny_sides[s] : sides[s], err));
out:
    return status;
}

size_t kx_bench_count_models(const kx_bench *bench, const kx_bench_parts *parts, kx_precision precision)
{
    size_t count = 0;
    kx_bench counting = *bench;
    kx_error none = {0};
    counting.counts = &count;
    return kx_bench_models(&counting, parts, precision, &none) == KX_OK ? count : 0;
}
