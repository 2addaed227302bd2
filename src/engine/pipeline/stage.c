#include "engine/pipeline/stage.h"

#include "engine/pipeline/memory.h"

kx_status kx_stage_measure(const kx_model *model, kx_stage_work *work, void *job, kx_stage_cost *cost,
                           kx_error *err)
{
    kx_scratch_measure(&cost->measured);
    kx_ops ops = {.kernels = model->kernels,
                  .precision = model->precision,
                  .pool = model->pool,
                  .scratch = &cost->measured,
                  .dry = true};
    work(job, &ops);
    cost->flops = ops.flops;
    return kx_ops_status(&ops, err);
}

kx_status kx_stage_run(const kx_model *model, kx_stage_work *work, void *job, const kx_stage_watch *watch,
                       kx_error *err)
{
    kx_status status = KX_OK;
    kx_stage_cost cost;
    kx_scratch scratch = {0};
    KX_TRY(kx_stage_measure(model, work, job, &cost, err));
    KX_TRY(kx_scratch_open(&scratch, cost.measured.peak, err));
    kx_ops ops = {
        .kernels = model->kernels,
        .precision = model->precision,
        .pool = model->pool,
        .scratch = &scratch,
        .cancelled = watch->callbacks->cancelled,
        .cancelled_user = watch->callbacks->user,
        .trace = watch->trace,
        .trace_user = job,
        .forget = kx_weight_drop, /* every weight of a model lies in a mapped file */
        .profiler = watch->profiler,
    };
    work(job, &ops);
    uint64_t anonymous = kx_memory_anonymous_bytes(), *peak = watch->peak_anonymous_bytes;
    if (peak != NULL && anonymous > *peak) *peak = anonymous;
    KX_TRY(kx_ops_status(&ops, err));
out:
    kx_scratch_close(&scratch);
    return status;
}
