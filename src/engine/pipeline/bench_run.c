/* kx_bench_run: peaks first, because rows are told as shares of them; then ops, then models. */
#include "engine/pipeline/bench_models.h"
#include "engine/pipeline/bench_weights.h"
#include "engine/pipeline/model_pack.h"

kx_bench_options kx_bench_options_default(void)
{
    return (kx_bench_options){0};
}

/* The rows of an open model, packed when one of them is asked for. */
static kx_status measure_model(const kx_bench *bench, kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    kx_callbacks callbacks = {0};
    const kx_bench_parts parts = {.mmdit = model->mmdit, .t5 = model->t5, .vae = model->vae};
    if (kx_bench_count_models(bench, &parts, model->precision) == 0) return KX_OK;
    if (bench->callbacks != NULL) {
        callbacks.cancelled = bench->callbacks->cancelled;
        callbacks.user = bench->callbacks->user;
    }
    KX_TRY(kx_model_pack(model, &callbacks, err));
    KX_TRY(kx_bench_models(bench, &parts, model->precision, err));
out:
    return status;
}

/* Kernels and threads are those of the bench; the parts have no files. */
static kx_status random_model(const kx_bench *bench, kx_precision precision, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bench_weights weights = {0};
    kx_model model = {.kernels = bench->kernels, .pool = bench->pool, .precision = precision};
    KX_TRY(kx_bench_weights_open(&weights, bench->options->tiny != 0, err));
    kx_weight_source source = kx_bench_weights_source(&weights);
    KX_TRY(kx_mmdit_load(&model.mmdit, &source, NULL, err));
    KX_TRY(kx_t5_load(&model.t5, &source, NULL, err));
    KX_TRY(measure_model(bench, &model, err));
out:
    kx_model_pack_free(&model);
    kx_t5_free(model.t5);
    kx_mmdit_free(model.mmdit);
    kx_bench_weights_close(&weights);
    return status;
}

static kx_status open_folder(const kx_bench *bench, kx_precision precision, kx_model **model, kx_error *err)
{
    kx_model_options options = kx_model_options_default();
    options.path = bench->options->model;
    options.precision = precision;
    options.cpu = bench->options->cpu;
    options.threads = bench->options->threads;
    kx_model_close(*model);
    *model = NULL;
    return kx_model_open(model, &options, err);
}

/* Opens the folder in the precision of its files. That maps them and checks every tensor; the best of three
 * has the folder in the page cache. */
static kx_status time_opening(const kx_bench *bench, kx_model **model, kx_error *err)
{
    kx_status status = KX_OK;
    kx_precision asked = bench->options->precision;
    kx_bench_row row = {.name = "load: open the model folder"};
    for (int round = 0; round < 3; round++) {
        double start = kx_bench_now();
        KX_TRY(open_folder(bench, KX_PRECISION_AUTO, model, err));
        double seconds = kx_bench_now() - start;
        if (round == 0 || seconds < row.seconds) row.seconds = seconds;
    }
    row.precision = kx_precision_name((*model)->precision);
    if (asked != KX_PRECISION_AUTO && asked != (*model)->precision) goto out;
    if (kx_bench_wants(bench, row.name, false)) bench->row(bench->user, &row);
out:
    return status;
}

static const kx_precision precisions[] = {KX_PRECISION_F32, KX_PRECISION_BF16, KX_PRECISION_INT8};
enum { PRECISIONS = sizeof precisions / sizeof precisions[0] };

/* A folder that is packed has rows in its own precision alone. */
static kx_status given_model(const kx_bench *bench, kx_error *err)
{
    kx_status status = KX_OK;
    kx_precision asked = bench->options->precision;
    kx_model *model = NULL;
    KX_TRY(time_opening(bench, &model, err));
    if (asked == KX_PRECISION_AUTO && model->precision != KX_PRECISION_F32) asked = model->precision;
    for (size_t i = 0; i < PRECISIONS; i++) {
        if (asked != KX_PRECISION_AUTO && asked != precisions[i]) continue;
        if (precisions[i] != model->precision) KX_TRY(open_folder(bench, precisions[i], &model, err));
        KX_TRY(measure_model(bench, model, err));
    }
out:
    kx_model_close(model);
    return status;
}

static kx_status measure_models(const kx_bench *bench, kx_error *err)
{
    kx_status status = KX_OK;
    kx_precision asked = bench->options->precision;
    if (bench->options->model != NULL) return given_model(bench, err);
    for (size_t i = 0; i < PRECISIONS; i++)
        if (asked == KX_PRECISION_AUTO || asked == precisions[i])
            KX_TRY(random_model(bench, precisions[i], err));
out:
    return status;
}

kx_status kx_bench_run(const kx_bench_options *options, void (*row)(void *user, const kx_bench_row *row),
                       void *user, const kx_callbacks *callbacks, kx_error *error)
{
    kx_status status = KX_OK;
    kx_error own = {0}, *err = error == NULL ? &own : error;
    kx_pool *pool = NULL;
    kx_bench bench = {.options = options, .callbacks = callbacks, .row = row, .user = user};
    KX_TRY(kx_kernels_choose(options->cpu, &bench.kernels, err));
    KX_TRY(kx_pool_create(&pool, options->threads, err));
    bench.pool = pool;
    kx_bench_peaks(&bench);
    if (!options->tiny) KX_TRY(kx_bench_ops(&bench, err));
    KX_TRY(measure_models(&bench, err));
out:
    kx_pool_destroy(pool);
    return status;
}
