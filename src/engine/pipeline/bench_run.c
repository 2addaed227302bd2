/* kx_bench_run: peaks first, because rows are told as shares of them; then ops, then models. */
#include "engine/pipeline/bench_models.h"
#include "engine/pipeline/bench_weights.h"
#include "engine/pipeline/model.h"

kx_bench_options kx_bench_options_default(void)
{
    return (kx_bench_options){0};
}

static kx_status random_models(const kx_bench *bench, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bench_weights weights = {0};
    kx_mmdit *mmdit = NULL;
    kx_t5 *t5 = NULL;
    KX_TRY(kx_bench_weights_open(&weights, bench->options->tiny != 0, err));
    kx_weight_source source = kx_bench_weights_source(&weights);
    KX_TRY(kx_mmdit_load(&mmdit, &source, NULL, err));
    KX_TRY(kx_t5_load(&t5, &source, NULL, err));
    KX_TRY(kx_bench_models(bench, &(kx_bench_parts){.mmdit = mmdit, .t5 = t5}, err));
out:
    kx_t5_free(t5);
    kx_mmdit_free(mmdit);
    kx_bench_weights_close(&weights);
    return status;
}

/* Opening maps the files and checks every tensor; the best of three has the folder in the page cache. */
static kx_status given_model(const kx_bench *bench, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model *model = NULL;
    kx_model_options options = kx_model_options_default();
    kx_bench_row row = {.name = "load: open the model folder", .precision = "f32"};
    options.path = bench->options->model;
    options.cpu = bench->options->cpu;
    options.threads = bench->options->threads;
    for (int round = 0; round < 3; round++) {
        kx_model_close(model);
        model = NULL;
        double start = kx_bench_now();
        KX_TRY(kx_model_open(&model, &options, err));
        double seconds = kx_bench_now() - start;
        if (round == 0 || seconds < row.seconds) row.seconds = seconds;
    }
    if (kx_bench_wants(bench, row.name, false)) kx_bench_tell(bench, &row);
    KX_TRY(kx_bench_models(bench, &(kx_bench_parts){model->mmdit, model->t5, model->vae}, err));
out:
    kx_model_close(model);
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
    KX_TRY(kx_bench_peaks(&bench, err));
    if (!options->tiny) KX_TRY(kx_bench_ops(&bench, err));
    KX_TRY(options->model != NULL ? given_model(&bench, err) : random_models(&bench, err));
out:
    kx_pool_destroy(pool);
    return status;
}
