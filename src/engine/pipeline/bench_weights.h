/* A transformer and a T5 of the published widths and few layers, with random weights that stand in no file:
 * what `kontext bench` times where no model is given. */
#pragma once

#include "engine/tensor/weight.h"

typedef struct kx_bench_weights {
    void *data; /* random bf16 values that all matrices are cut from, each from its own place */
    size_t bytes;
    bool tiny;
} kx_bench_weights;

/* Errors: KX_ERR_MEMORY. */
kx_status kx_bench_weights_open(kx_bench_weights *weights, bool tiny, kx_error *err);
void kx_bench_weights_close(kx_bench_weights *weights);

/* Canonical names of both parts. Borrows `weights`. */
kx_weight_source kx_bench_weights_source(kx_bench_weights *weights);
