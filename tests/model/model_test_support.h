/* What the tests of the networks share: parameters in memory, running a stage dry and then really, traces
 * kept by name, comparison with reference values. */
#pragma once

#include "test_support.h"

#include "engine/kernels/kernels.h"
#include "engine/tensor/ops.h"

#include <jansson.h>

/* ---- Parameters ---------------------------------------------------------------------------------------- */

typedef struct test_weight {
    char *name;
    kx_weight weight;
    void *owned; /* NULL when the data is borrowed */
} test_weight;

typedef struct test_weights {
    test_weight *list;
    size_t count, room;
    const char *strip;      /* a prefix of stored names that find does not see; NULL: none */
    const char *add_before; /* a prefix of wanted names that stored names lack; NULL: none */
} test_weights;

/* Takes `data` (malloc'ed). */
void test_weights_add(test_weights *weights, const char *name, int rank, const int64_t *shape, kx_dtype dtype,
                      void *data);
/* All tensors of a safetensors file, as read_shared gives it (borrowed: the file must outlive the weights).
 */
struct kx_safetensors;
void test_weights_add_file(test_weights *weights, const struct kx_safetensors *file);
test_weight *test_weights_get(test_weights *weights, const char *name);
kx_weight_source test_weights_source(test_weights *weights, const char *what);
void test_weights_free(test_weights *weights);

/* The value that the integer hash of fullwidth.json gives to element j of tensor k, before scaling: in
 * [-1,1). */
float test_hash_value(uint32_t k, uint32_t j);
/* Adds the tensors of a list [[k, name, shape, kind, gain], ...] as bf16, by the rule of fullwidth.json.
 * Names that end in attn_1.{q,k,v,proj_out}.weight become rank 2, as all sources give them. */
void test_weights_add_hashed(test_weights *weights, const json_t *list);
/* A tensor as f32, malloc'ed. */
float *test_weights_f32(test_weights *weights, const char *name);

/* ---- Running ------------------------------------------------------------------------------------------- */

typedef struct test_trace {
    char name[64];
    int64_t rows, cols;
    float *values; /* contiguous */
} test_trace;

typedef struct test_traces {
    test_trace *list;
    size_t count, room;
} test_traces;

const test_trace *test_traces_get(const test_traces *traces, const char *name);
void test_traces_free(test_traces *traces);

/* What the stages run on: the set that KONTEXT_CPU names, or the best. */
const kx_kernels *test_kernels(void);

/* Runs `stage` dry over a measuring scratch, then for real over a scratch of just the size that was measured;
 * fails when the second needs another amount, or reports an error. traces may be NULL. Returns the peak in
 * bytes. */
typedef void test_stage(kx_ops *ops, void *user);
size_t test_run(test_stage *stage, void *user, size_t threads, test_traces *traces);
/* Bytes that `stage` takes, measured only. */
size_t test_measure(test_stage *stage, void *user);
/* Runs `stage` and returns its status; the sentence is in *err. */
kx_status test_run_status(test_stage *stage, void *user, kx_error *err);
/* The same, cancelled at the poll number `polls`. */
kx_status test_run_cancelled(test_stage *stage, void *user, int polls, kx_error *err);

/* ---- Comparing ----------------------------------------------------------------------------------------- */

/* Prints both differences; fails when the relative l2 distance passes `limit` or a single value differs by
 * more than 1e-4 of the largest. */
void test_expect(const char *what, const float *got, const float *expected, size_t count, double limit);

/* (C,H,W) -> (H,W,C), malloc'ed. */
float *test_channels_last(const float *values, int64_t channels, int64_t cells);
/* The numbers of nested JSON arrays in order, malloc'ed; *count of them. */
float *test_json_f32(const json_t *array, size_t *count);
/* An array member of that name, as test_json_f32 with a known count. */
float *test_json_values(const json_t *object, const char *key, size_t count);
