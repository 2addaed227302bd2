/* A stage of an edit is a function over an op set. It is run twice: dry, to learn the memory and the
 * operations that it needs, and then for real in a scratch of exactly that size. */
#pragma once

#include "engine/pipeline/model.h"

typedef void kx_stage_work(void *job, kx_ops *ops);

typedef struct kx_stage_cost {
    kx_scratch measured; /* peak, and the buffers that are live then */
    uint64_t flops;
} kx_stage_cost;

/* Errors: KX_ERR_INTERNAL when the stage cannot be measured. */
kx_status kx_stage_measure(const kx_model *model, kx_stage_work *work, void *job, kx_stage_cost *cost,
                           kx_error *err);

/* Who watches a stage; everything but callbacks may be NULL. */
typedef struct kx_stage_watch {
    const kx_callbacks *callbacks;
    void (*trace)(void *job, const char *name, const kx_tensor *tensor);
    kx_profiler *profiler;
    uint64_t *peak_anonymous_bytes; /* grows to what the process held while the stage's memory was whole */
} kx_stage_watch;

/* Runs `work`. Errors: those of the ops, KX_ERR_CANCELLED, KX_ERR_MEMORY. */
kx_status kx_stage_run(const kx_model *model, kx_stage_work *work, void *job, const kx_stage_watch *watch,
                       kx_error *err);
