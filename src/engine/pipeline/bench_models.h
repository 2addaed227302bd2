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

/* Rows "block ...", "step ...", "t5 ...", "vae ...", in a precision that the parts are packed for. Errors:
 * those of the ops. */
kx_status kx_bench_models(const kx_bench *bench, const kx_bench_parts *parts, kx_precision precision,
                          kx_error *err);
/* How many of them the suite asks for. */
size_t kx_bench_count_models(const kx_bench *bench, const kx_bench_parts *parts, kx_precision precision);
