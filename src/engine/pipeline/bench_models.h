/* Measurements of whole models. Private to kx_bench_run. */
#pragma once

#include "engine/kernels/bench.h"
#include "engine/model/mmdit.h"
#include "engine/model/t5.h"
#include "engine/model/vae.h"

/* What is timed; vae may be NULL. */
typedef struct kx_bench_parts {
    const kx_mmdit *mmdit;
    const kx_t5 *t5;
    const kx_vae *vae;
} kx_bench_parts;

/* Rows "block ...", "step ...", "t5 ...", "vae ...". Errors: those of the ops. */
kx_status kx_bench_models(const kx_bench *bench, const kx_bench_parts *parts, kx_error *err);
