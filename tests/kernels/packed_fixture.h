/* What tests of packed products share: operands and packed matrices in guarded memory, and what their bytes
 * stand for, read one by one (layout: tensor/packed.h). */
#pragma once

#include "fixture.h"

#include "engine/tensor/packed.h"

enum {
    TEST_BLOCK_PLANE = KX_PACKED_COLUMNS * KX_PLANE_BYTES,
    TEST_GROUP_MOST = KX_GROUP_PLANES * KX_PLANE_BYTES,
};

/* One row of some planes of int8, a_plane bytes apart, times one column of a block: the exact sum. */
int32_t test_exact_sum(int64_t planes, const uint8_t *a, int64_t a_plane, const int8_t *block,
                       int64_t column);
/* -128 times the sum of a block's column. */
int32_t test_offset_sum(const int8_t *block, int64_t column, int64_t planes);

/* What one row has in one group: `count` values and what fills up the last plane. */
typedef struct test_row_group {
    kx_dtype dtype;
    int64_t count, padded;
    int raw[TEST_GROUP_MOST]; /* int8: steps of `scale`; bf16: bits */
    float scale;
} test_row_group;

/* Of a row in planes, plane_bytes apart. */
test_row_group test_row_group_of(kx_dtype dtype, int64_t count, const void *row, int64_t plane_bytes,
                                 float scale);
/* Fails unless it is x (count) quantised: each value in its nearest step (bf16: as kx_bf16_from_f32 rounds),
 * none of them at byte 0, zeros behind the end. */
void test_row_group_check(const test_row_group *group, const float *x, const char *what);
/* The group x (count) as it is packed: for int8 rotated, with plain C's Hadamard matrices. */
void test_rotated(kx_dtype dtype, int64_t count, const float *x, float *rotated);
/* The `count` values that it stands for. */
void test_row_group_read(const test_row_group *group, double *values);

/* An operand with rows between the planes that nobody may write. */
kx_tensor test_operand(kx_dtype dtype, int64_t rows, int64_t cols, int64_t split);
void test_operand_free(kx_tensor *operand);
void test_operand_check_guards(const kx_tensor *operand, int64_t split, const char *what);
void test_operand_check_equal(const kx_tensor *a, const kx_tensor *b, int64_t split);
test_row_group test_operand_group(const kx_tensor *operand, int64_t split, int64_t row, int64_t group);

/* Room for a packed matrix. */
kx_packed test_packed(kx_dtype dtype, int64_t N, int64_t K, int64_t split);
void test_packed_free(kx_packed *packed);
void test_packed_check_guards(const kx_packed *packed);
void test_packed_check_equal(const kx_packed *a, const kx_packed *b);
/* The block that holds `row`, at the first plane of a group. */
const uint8_t *test_packed_block(const kx_packed *packed, int64_t row, const kx_packed_group *at);
test_row_group test_packed_group(const kx_packed *packed, int64_t row, int64_t group);
