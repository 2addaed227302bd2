#include "model_test_support.h"

#include "engine/formats/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Parameters ---------------------------------------------------------------------------------------- */

static void add(test_weights *weights, const char *name, int rank, const int64_t *shape, kx_dtype dtype,
                const void *data, void *owned)
{
    if (weights->count == weights->room) {
        weights->room = 2 * weights->room + 64;
        weights->list = realloc(weights->list, weights->room * sizeof *weights->list);
        assert_non_null(weights->list);
    }
    test_weight *entry = &weights->list[weights->count++];
    *entry = (test_weight){.name = strdup(name), .owned = owned};
    entry->weight.rank = rank;
    for (int i = 0; i < rank; i++) entry->weight.shape[i] = shape[i];
    /* 1x1 convolutions of the attention come as matrices, whatever the file says */
    if (rank == 4 && strstr(name, "attn_1.") != NULL && shape[2] == 1 && shape[3] == 1)
        entry->weight.rank = 2;
    entry->weight.num_segments = 1;
    entry->weight.segments[0] =
        (kx_weight_segment){.data = data, .rows = kx_weight_rows(&entry->weight), .dtype = dtype, .scale = 1};
}

void test_weights_add(test_weights *weights, const char *name, int rank, const int64_t *shape, kx_dtype dtype,
                      void *data)
{
    add(weights, name, rank, shape, dtype, data, data);
}

void test_weights_add_file(test_weights *weights, const struct kx_safetensors *file)
{
    for (size_t i = 0; i < file->num_tensors; i++) {
        const kx_safetensors_tensor *tensor = &file->tensors[i];
        add(weights, tensor->name, tensor->rank, tensor->shape, tensor->dtype, tensor->data, NULL);
    }
}

test_weight *test_weights_get(test_weights *weights, const char *name)
{
    size_t skip = weights->strip != NULL ? strlen(weights->strip) : 0;
    size_t before = weights->add_before != NULL ? strlen(weights->add_before) : 0;
    if (before > 0 && strncmp(name, weights->add_before, before) == 0) name += before;
    for (size_t i = 0; i < weights->count; i++) {
        const char *own = weights->list[i].name;
        if (skip > 0 && strncmp(own, weights->strip, skip) == 0) own += skip;
        if (strcmp(own, name) == 0) return &weights->list[i];
    }
    return NULL;
}

static kx_status find(void *context, const char *name, kx_weight *weight, bool *found, kx_error *err)
{
    (void)err;
    const test_weight *entry = test_weights_get(context, name);
    *found = entry != NULL;
    if (entry != NULL) *weight = entry->weight;
    return KX_OK;
}

kx_weight_source test_weights_source(test_weights *weights, const char *what)
{
    return (kx_weight_source){.find = find, .context = weights, .what = what};
}

void test_weights_free(test_weights *weights)
{
    for (size_t i = 0; i < weights->count; i++) {
        free(weights->list[i].name);
        free(weights->list[i].owned);
    }
    free(weights->list);
    *weights = (test_weights){0};
}

float test_hash_value(uint32_t k, uint32_t j)
{
    uint32_t h = j * 2654435761u + k * 2654435769u + 12345u;
    h ^= h >> 16;
    h *= 2246822507u;
    h ^= h >> 13;
    h *= 3266489909u;
    h ^= h >> 16;
    return (float)(h >> 8) * 0x1p-23f - 1.0f;
}

static uint16_t *hashed(uint32_t k, size_t count, float factor, float offset)
{
    uint16_t *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (size_t j = 0; j < count; j++)
        values[j] = kx_bf16_from_f32(offset + test_hash_value(k, (uint32_t)j) * factor);
    return values;
}

void test_weights_add_hashed(test_weights *weights, const json_t *list)
{
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const json_t *extents = json_array_get(entry, 2);
        const char *kind = json_string_value(json_array_get(entry, 3));
        double gain = json_number_value(json_array_get(entry, 4));
        int rank = (int)json_array_size(extents);
        int64_t shape[4] = {0}, count = 1;
        for (int a = 0; a < rank; a++) {
            shape[a] = (int64_t)json_number_value(json_array_get(extents, (size_t)a));
            count *= shape[a];
        }
        float factor = 0.1f, offset = 0;
        if (strcmp(kind, "matrix") == 0) factor = (float)(gain * sqrt(3.0 / (double)(count / shape[0])));
        if (strcmp(kind, "input") == 0) factor = (float)(gain * sqrt(3.0));
        if (strcmp(kind, "scale") == 0) offset = 1;
        uint32_t k = (uint32_t)json_number_value(json_array_get(entry, 0));
        test_weights_add(weights, json_string_value(json_array_get(entry, 1)), rank, shape, KX_BF16,
                         hashed(k, (size_t)count, factor, offset));
    }
}

float *test_weights_f32(test_weights *weights, const char *name)
{
    const test_weight *entry = test_weights_get(weights, name);
    assert_non_null(entry);
    float *values =
        malloc((size_t)(kx_weight_rows(&entry->weight) * kx_weight_cols(&entry->weight)) * sizeof *values);
    assert_non_null(values);
    kx_weight_read_f32(&entry->weight, values);
    return values;
}

/* ---- Running ------------------------------------------------------------------------------------------- */

static void keep_trace(void *user, const char *name, const kx_tensor *tensor)
{
    test_traces *traces = user;
    if (traces->count == traces->room) {
        traces->room = 2 * traces->room + 32;
        traces->list = realloc(traces->list, traces->room * sizeof *traces->list);
        assert_non_null(traces->list);
    }
    test_trace *trace = &traces->list[traces->count++];
    snprintf(trace->name, sizeof trace->name, "%s", name);
    trace->rows = tensor->rows;
    trace->cols = tensor->cols;
    trace->values = malloc((size_t)(tensor->rows * tensor->cols) * sizeof(float));
    assert_non_null(trace->values);
    for (int64_t row = 0; row < tensor->rows; row++)
        memcpy(trace->values + row * tensor->cols, kx_tensor_f32(tensor) + row * tensor->stride,
               (size_t)tensor->cols * sizeof(float));
}

const test_trace *test_traces_get(const test_traces *traces, const char *name)
{
    for (size_t i = 0; i < traces->count; i++)
        if (strcmp(traces->list[i].name, name) == 0) return &traces->list[i];
    fail_msg("no trace %s", name);
    return NULL;
}

void test_traces_free(test_traces *traces)
{
    for (size_t i = 0; i < traces->count; i++) free(traces->list[i].values);
    free(traces->list);
    *traces = (test_traces){0};
}

const kx_kernels *test_kernels(void)
{
    kx_error err = {0};
    const kx_kernels *kernels = NULL;
    assert_ok(kx_kernels_choose(getenv("KONTEXT_CPU"), &kernels, &err));
    return kernels;
}

static kx_pool *pool_of(size_t threads)
{
    kx_error err = {0};
    kx_pool *pool = NULL;
    assert_ok(kx_pool_create(&pool, threads, &err));
    return pool;
}

static size_t measure_with(test_stage *stage, void *user, kx_pool *pool, kx_error *err)
{
    kx_scratch scratch;
    kx_scratch_measure(&scratch);
    kx_ops ops = {.kernels = test_kernels(), .pool = pool, .scratch = &scratch, .dry = true};
    stage(&ops, user);
    assert_int_equal(scratch.used, 0); /* a stage gives back all that it took */
    kx_ops_status(&ops, err);
    return scratch.peak;
}

size_t test_measure(test_stage *stage, void *user)
{
    kx_error err = {0};
    kx_pool *pool = pool_of(1);
    size_t peak = measure_with(stage, user, pool, &err);
    kx_pool_destroy(pool);
    if (err.status != KX_OK) fail_msg("%s", err.message);
    return peak;
}

static int count_down(void *user)
{
    int *polls = user;
    return --*polls <= 0;
}

/* polls: cancelled at that poll; 0: never. */
static size_t run(test_stage *stage, void *user, size_t threads, test_traces *traces, int polls,
                  kx_error *err)
{
    kx_pool *pool = pool_of(threads);
    kx_scratch scratch;
    size_t planned = measure_with(stage, user, pool, err);
    if (kx_scratch_open(&scratch, planned, err) != KX_OK) fail_msg("%s", err->message);
    kx_ops ops = {.kernels = test_kernels(), .pool = pool, .scratch = &scratch};
    if (traces != NULL) {
        ops.trace = keep_trace;
        ops.trace_user = traces;
    }
    if (polls > 0) {
        ops.cancelled = count_down;
        ops.cancelled_user = &polls;
    }
    stage(&ops, user);
    kx_ops_status(&ops, err);
    if (err->status == KX_OK) assert_int_equal(scratch.peak, planned);
    kx_scratch_close(&scratch);
    kx_pool_destroy(pool);
    return planned;
}

size_t test_run(test_stage *stage, void *user, size_t threads, test_traces *traces)
{
    kx_error err = {0};
    size_t planned = run(stage, user, threads, traces, 0, &err);
    if (err.status != KX_OK) fail_msg("%s", err.message);
    return planned;
}

kx_status test_run_status(test_stage *stage, void *user, kx_error *err)
{
    run(stage, user, 1, NULL, 0, err);
    return err->status;
}

kx_status test_run_cancelled(test_stage *stage, void *user, int polls, kx_error *err)
{
    run(stage, user, 2, NULL, polls, err);
    return err->status;
}

/* ---- Comparing ----------------------------------------------------------------------------------------- */

void test_expect(const char *what, const float *got, const float *expected, size_t count, double limit)
{
    test_difference d = test_compare_f32(got, expected, count);
    print_message("# %-36s rel l2 %.2e   largest %.2e of %.2e\n", what, d.relative_l2, d.largest, d.scale);
    if (d.relative_l2 > limit || d.largest > 1e-4 * d.scale)
        fail_msg("%s: relative l2 %.3g (limit %.3g), largest difference %.3g of %.3g", what, d.relative_l2,
                 limit, d.largest, d.scale);
}

float *test_channels_last(const float *values, int64_t channels, int64_t cells)
{
    float *out = malloc((size_t)(channels * cells) * sizeof *out);
    assert_non_null(out);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < cells; i++) out[i * channels + c] = values[c * cells + i];
    return out;
}

static void collect(const json_t *value, float *out, size_t *count)
{
    size_t i;
    json_t *member;
    if (!json_is_array(value)) {
        if (out != NULL) out[*count] = (float)json_number_value(value);
        (*count)++;
        return;
    }
    json_array_foreach(value, i, member) collect(member, out, count);
}

float *test_json_f32(const json_t *array, size_t *count)
{
    assert_true(json_is_array(array));
    *count = 0;
    collect(array, NULL, count);
    float *values = malloc(*count * sizeof *values + 1);
    assert_non_null(values);
    *count = 0;
    collect(array, values, count);
    return values;
}

float *test_json_values(const json_t *object, const char *key, size_t count)
{
    size_t found;
    float *values = test_json_f32(json_object_get(object, key), &found);
    assert_int_equal(found, count);
    return values;
}
