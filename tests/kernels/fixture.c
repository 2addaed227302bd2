#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };
static const float guard_value = 12345.75f;

uint32_t test_random_bits(test_random *random)
{
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random->state >> 32);
}

float test_random_value(test_random *random)
{
    return (float)((int64_t)test_random_bits(random) - 2147483648) / 2147483648.0f;
}

int64_t test_random_below(test_random *random, int64_t limit)
{
    return (int64_t)test_random_bits(random) % limit;
}

void test_random_fill(test_random *random, float *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) out[i] = test_random_value(random);
}

float *test_guarded(int64_t count)
{
    size_t total = (size_t)count + 2 * GUARD;
    float *memory = aligned_alloc(64, (total * sizeof(float) + 63) / 64 * 64);
    assert_non_null(memory);
    for (size_t i = 0; i < total; i++) memory[i] = guard_value;
    return memory + GUARD;
}

void test_guarded_check(const float *values, int64_t count, const char *what)
{
    for (int64_t i = 0; i < GUARD; i++)
        if (values[-1 - i] != guard_value || values[count + i] != guard_value)
            fail_msg("%s: wrote outside its output, %lld values away", what, (long long)(i + 1));
}

void test_guarded_free(float *values)
{
    if (values != NULL) free(values - GUARD);
}

kx_tensor test_tensor(test_random *random, int64_t rows, int64_t cols, int64_t pad)
{
    kx_tensor tensor = kx_tensor_of(test_guarded(rows * (cols + pad)), rows, cols);
    tensor.stride = cols + pad;
    for (int64_t r = 0; r < rows; r++)
        test_random_fill(random, kx_tensor_f32(&tensor) + r * tensor.stride, cols);
    return tensor;
}

kx_tensor test_map(test_random *random, int64_t height, int64_t width, int64_t channels, int64_t pad)
{
    kx_tensor tensor = test_tensor(random, height * width, channels, pad);
    tensor.height = height;
    tensor.width = width;
    return tensor;
}

void test_tensor_check(const kx_tensor *tensor, const char *what)
{
    const float *values = kx_tensor_f32(tensor);
    test_guarded_check(values, tensor->rows * tensor->stride, what);
    for (int64_t r = 0; r < tensor->rows; r++)
        for (int64_t c = tensor->cols; c < tensor->stride; c++)
            if (values[r * tensor->stride + c] != guard_value)
                fail_msg("%s: wrote between the rows, row %lld col %lld", what, (long long)r, (long long)c);
}

void test_tensor_free(kx_tensor *tensor)
{
    test_guarded_free(tensor->data);
    tensor->data = NULL;
}

kx_tensor test_tensor_copy(const kx_tensor *tensor)
{
    kx_tensor copy = *tensor;
    copy.data = test_guarded(tensor->rows * tensor->stride);
    memcpy(copy.data, tensor->data, (size_t)(tensor->rows * tensor->stride) * sizeof(float));
    return copy;
}

float test_at(const kx_tensor *tensor, int64_t row, int64_t col)
{
    return kx_tensor_f32(tensor)[row * tensor->stride + col];
}

static void put_element(test_random *random, kx_dtype dtype, uint8_t *to)
{
    float value = test_random_value(random);
    uint16_t half = kx_bf16_from_f32(value);
    uint32_t bits = test_random_bits(random);
    if (dtype == KX_F32) memcpy(to, &value, 4);
    if (dtype == KX_BF16) memcpy(to, &half, 2);
    half = (uint16_t)((bits & 0x83ff) | (bits >> 16) % 16 << 10); /* |value| < 2, subnormals included */
    if (dtype == KX_F16) memcpy(to, &half, 2);
    if (dtype == KX_F8_E4M3) *to = (uint8_t)((bits & 0x87) | (bits >> 8) % 9 << 3);
    if (dtype == KX_F8_E5M2) *to = (uint8_t)((bits & 0x83) | (bits >> 8) % 17 << 2);
}

kx_weight test_weight(test_random *random, int rank, const int64_t *shape, const kx_dtype *dtypes,
                      int num_segments, bool scaled)
{
    kx_weight weight = {.rank = rank, .num_segments = num_segments};
    for (int i = 0; i < rank; i++) weight.shape[i] = shape[i];
    int64_t cols = kx_weight_cols(&weight), left = shape[0];
    for (int i = 0; i < num_segments; i++) {
        kx_weight_segment *segment = &weight.segments[i];
        segment->rows = i == num_segments - 1 ? left : left / 2;
        left -= segment->rows;
        segment->dtype = dtypes[i];
        segment->scale = scaled ? 0.5f + 0.37f * (float)(i + 1) : 1.0f;
        size_t size = kx_dtype_bytes(dtypes[i]), count = (size_t)(segment->rows * cols);
        uint8_t *data = malloc(count * size + 1);
        assert_non_null(data);
        for (size_t k = 0; k < count; k++) put_element(random, dtypes[i], data + 1 + k * size);
        segment->data = data + 1; /* mapped files promise no alignment */
    }
    return weight;
}

void test_weight_free(kx_weight *weight)
{
    for (int i = 0; i < weight->num_segments; i++) free((uint8_t *)(uintptr_t)weight->segments[i].data - 1);
    weight->num_segments = 0;
}

float test_weight_at(const kx_weight *weight, int64_t row, int64_t col)
{
    kx_dtype dtype;
    float scale;
    const void *data = kx_weight_row(weight, row, &dtype, &scale);
    return scale * kx_dtype_get(dtype, data, (size_t)col);
}

/* What an op told its profiler: every operation ended, and the counts are those of the op set. */
static void check_profile(const kx_profiler *profiler, uint64_t flops)
{
    uint64_t told = 0;
    for (size_t i = 0; i < profiler->num_rows; i++) {
        const kx_profiler_row *row = &profiler->rows[i];
        told += row->flops;
        assert_int_equal(row->flops, row->calls * row->op.flops);
        assert_true(row->calls > 0 && row->bytes > 0 && row->op.rank > 0);
    }
    assert_null(profiler->op.kind);
    assert_int_equal(told, flops);
}

uint64_t test_run_op(const kx_kernels *kernels, size_t threads, test_op *op, void *arguments)
{
    kx_error err = {0};
    kx_pool *pool = NULL;
    assert_ok(kx_pool_create(&pool, threads, &err));
    kx_scratch dry_scratch, scratch;
    kx_scratch_measure(&dry_scratch);
    kx_ops dry = {.kernels = kernels, .pool = pool, .scratch = &dry_scratch, .dry = true};
    op(&dry, arguments);
    assert_ok(kx_ops_status(&dry, &err));
    assert_ok(kx_scratch_open(&scratch, dry_scratch.peak, &err));
    if (scratch.room > dry_scratch.peak) scratch.room = dry_scratch.peak;
    kx_profiler *profiler = NULL;
    assert_ok(kx_profiler_open(&profiler, false, &err));
    kx_ops ops = {.kernels = kernels, .pool = pool, .scratch = &scratch, .profiler = profiler};
    op(&ops, arguments);
    assert_ok(kx_ops_status(&ops, &err));
    check_profile(profiler, ops.flops);
    kx_profiler_close(profiler);
    assert_int_equal(scratch.peak, dry_scratch.peak);
    assert_int_equal(scratch.used, 0);
    assert_int_equal(dry_scratch.used, 0);
    assert_int_equal(ops.flops, dry.flops);
    kx_scratch_close(&scratch);
    kx_pool_destroy(pool);
    return ops.flops;
}

void test_every_set(void (*each)(const kx_kernels *kernels))
{
    for (size_t i = 0; i < kx_kernel_set_count; i++) {
        const kx_kernel_set *set = &kx_kernel_sets[i];
        if (set->supported())
            each(set->kernels);
        else
            print_message("# %s: not on this processor, skipped\n", set->kernels->name);
    }
}
