#include "packed_fixture.h"

#include <math.h>

int32_t test_exact_sum(int64_t planes, const uint8_t *a, int64_t a_plane, const int8_t *block, int64_t column)
{
    int32_t sum = 0;
    for (int64_t p = 0; p < planes; p++, a += a_plane, block += TEST_BLOCK_PLANE)
        for (int64_t k = 0; k < KX_PLANE_BYTES; k++)
            sum += (a[k] - KX_OPERAND_OFFSET) * block[k / 4 * KX_PLANE_BYTES + 4 * column + k % 4];
    return sum;
}

int32_t test_offset_sum(const int8_t *block, int64_t column, int64_t planes)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < planes * KX_PLANE_BYTES; i++)
        sum += block[i / 4 * KX_PLANE_BYTES + 4 * column + i % 4];
    return -KX_OPERAND_OFFSET * sum;
}

/* The group of x: each value in its nearest step, none of them -128, and zeros behind the end. */
static void check_int8(const test_row_group *group, const float *x, const char *what)
{
    float most = 0;
    bool finite = true;
    for (int64_t i = 0; i < group->count; i++) {
        most = fmaxf(most, fabsf(x[i]));
        finite = finite && isfinite(x[i]);
    }
    if (most < KX_QUANTISE_LEAST) most = 0;
    if (finite ? group->scale != most / 127.0f : !isnan(group->scale))
        fail_msg("%s: a group of largest value %g has scale %g", what, (double)most, (double)group->scale);
    for (int64_t i = 0; i < group->padded; i++) {
        double steps = i < group->count && finite && most > 0 ? 127.0 * (double)x[i] / (double)most : 0;
        if (group->raw[i] == -KX_OPERAND_OFFSET || !(fabs(group->raw[i] - steps) <= 0.5001))
            fail_msg("%s: value %lld of %lld is step %d, %.4f is expected", what, (long long)i,
                     (long long)group->count, group->raw[i], steps);
    }
}

void test_row_group_check(const test_row_group *group, const float *x, const char *what)
{
    if (group->dtype != KX_BF16) {
        check_int8(group, x, what);
        return;
    }
    for (int64_t i = 0; i < group->padded; i++)
        assert_int_equal(group->raw[i], i < group->count ? kx_bf16_from_f32(x[i]) : 0);
}

void test_rotated(kx_dtype dtype, int64_t count, const float *x, float *rotated)
{
    int64_t size = dtype == KX_BF16 ? 1 : count & -count;
    for (int64_t i = 0; i < count; i += size) kx_kernel_sets[0].kernels->hadamard(size, x + i, rotated + i);
}

test_row_group test_row_group_of(kx_dtype dtype, int64_t count, const void *row, int64_t plane_bytes,
                                 float scale)
{
    int64_t values = kx_plane_values(dtype);
    test_row_group group = {
        .dtype = dtype, .count = count, .padded = kx_planes_of(dtype, count) * values, .scale = scale};
    for (int64_t i = 0; i < group.padded; i++) {
        const uint8_t *plane = (const uint8_t *)row + i / values * plane_bytes;
        group.raw[i] = dtype == KX_BF16 ? ((const uint16_t *)(const void *)plane)[i % values]
                                        : plane[i % values] - KX_OPERAND_OFFSET;
    }
    return group;
}

enum { SPARE_ROWS = 3 };

kx_tensor test_operand(kx_dtype dtype, int64_t rows, int64_t cols, int64_t split)
{
    kx_tensor operand = {
        .dtype = dtype, .rows = rows, .cols = cols, .plane_bytes = (rows + SPARE_ROWS) * KX_PLANE_BYTES};
    operand.data = test_guarded(kx_packed_planes(dtype, cols, split) * operand.plane_bytes / 4);
    if (dtype != KX_U8) return operand;
    operand.scale_stride = rows + SPARE_ROWS;
    operand.scales = test_guarded(kx_packed_groups(dtype, cols, split) * operand.scale_stride);
    return operand;
}

void test_operand_free(kx_tensor *operand)
{
    test_guarded_free(operand->data);
    test_guarded_free(operand->scales);
}

void test_operand_check_guards(const kx_tensor *operand, int64_t split, const char *what)
{
    int64_t planes = kx_packed_planes(operand->dtype, operand->cols, split),
            groups = kx_packed_groups(operand->dtype, operand->cols, split);
    const float *data = operand->data, *scales = operand->scales;
    const float guard = data[-1];
    test_guarded_check(data, planes * operand->plane_bytes / 4, what);
    for (int64_t i = 0; i < planes * operand->plane_bytes / 4; i++)
        if (i * 4 % operand->plane_bytes >= operand->rows * KX_PLANE_BYTES) assert_true(data[i] == guard);
    if (scales == NULL) return;
    test_guarded_check(scales, groups * operand->scale_stride, what);
    for (int64_t i = 0; i < groups * operand->scale_stride; i++)
        if (i % operand->scale_stride >= operand->rows) assert_true(scales[i] == guard);
}

void test_operand_check_equal(const kx_tensor *a, const kx_tensor *b, int64_t split)
{
    assert_memory_equal(a->data, b->data,
                        (size_t)(kx_packed_planes(a->dtype, a->cols, split) * a->plane_bytes));
    if (a->dtype == KX_U8)
        assert_memory_equal(a->scales, b->scales,
                            (size_t)(kx_packed_groups(a->dtype, a->cols, split) * a->scale_stride) *
                                sizeof(float));
}

test_row_group test_operand_group(const kx_tensor *operand, int64_t split, int64_t row, int64_t group)
{
    kx_packed_group at = kx_packed_group_at(operand->dtype, operand->cols, split, group);
    float scale = operand->dtype == KX_U8 ? operand->scales[group * operand->scale_stride + row] : 1;
    return test_row_group_of(operand->dtype, at.cols,
                             (uint8_t *)operand->data + at.plane * operand->plane_bytes +
                                 row * KX_PLANE_BYTES,
                             operand->plane_bytes, scale);
}

kx_packed test_packed(kx_dtype dtype, int64_t N, int64_t K, int64_t split)
{
    kx_packed_bytes size = kx_packed_size(dtype, N, K, split);
    kx_packed packed = {.dtype = dtype, .rows = N, .cols = K, .split = split};
    packed.data = test_guarded((int64_t)size.data / 4);
    packed.scales = size.scales == 0 ? NULL : test_guarded((int64_t)size.scales / 4);
    packed.sums = size.sums == 0 ? NULL : (int32_t *)(void *)test_guarded((int64_t)size.sums / 4);
    return packed;
}

void test_packed_free(kx_packed *packed)
{
    test_guarded_free((float *)(uintptr_t)packed->data);
    test_guarded_free((float *)(uintptr_t)packed->scales);
    test_guarded_free((float *)(uintptr_t)packed->sums);
}

void test_packed_check_guards(const kx_packed *packed)
{
    kx_packed_bytes size = kx_packed_size(packed->dtype, packed->rows, packed->cols, packed->split);
    test_guarded_check(packed->data, (int64_t)size.data / 4, "packed matrix");
    if (size.scales == 0) return;
    test_guarded_check(packed->scales, (int64_t)size.scales / 4, "scales of a packed matrix");
    test_guarded_check((const float *)(const void *)packed->sums, (int64_t)size.sums / 4,
                       "sums of a packed matrix");
}

void test_packed_check_equal(const kx_packed *a, const kx_packed *b)
{
    kx_packed_bytes size = kx_packed_size(a->dtype, a->rows, a->cols, a->split);
    assert_memory_equal(a->data, b->data, size.data);
    if (size.scales == 0) return;
    assert_memory_equal(a->scales, b->scales, size.scales);
    assert_memory_equal(a->sums, b->sums, size.sums);
}

const uint8_t *test_packed_block(const kx_packed *packed, int64_t row, const kx_packed_group *at)
{
    int64_t planes = kx_packed_planes(packed->dtype, packed->cols, packed->split);
    return (const uint8_t *)packed->data + (row / KX_PACKED_COLUMNS * planes + at->plane) * TEST_BLOCK_PLANE;
}

test_row_group test_packed_group(const kx_packed *packed, int64_t row, int64_t group)
{
    kx_packed_group at = kx_packed_group_at(packed->dtype, packed->cols, packed->split, group);
    int64_t values = kx_plane_values(packed->dtype), each = values / KX_PACKED_COLUMNS;
    const uint8_t *block = test_packed_block(packed, row, &at);
    test_row_group found = {
        .dtype = packed->dtype, .count = at.cols, .padded = at.planes * values, .scale = 1};
    if (packed->dtype == KX_I8) found.scale = packed->scales[group * kx_packed_rows(packed->rows) + row];
    for (int64_t i = 0; i < found.padded; i++) {
        int64_t index = (i / each * KX_PACKED_COLUMNS + row % KX_PACKED_COLUMNS) * each + i % each;
        found.raw[i] = packed->dtype == KX_BF16 ? ((const uint16_t *)(const void *)block)[index]
                                                : ((const int8_t *)block)[index];
    }
    return found;
}

void test_row_group_read(const test_row_group *group, double *values)
{
    for (int64_t i = 0; i < group->count; i++)
        values[i] = group->dtype == KX_BF16 ? (double)kx_bf16_to_f32((uint16_t)group->raw[i])
                                            : group->raw[i] * (double)group->scale;
}
