/* What the tests of kernels and ops share: random operands, guarded outputs, and runs of an op on every
 * kernel set and several thread counts, each preceded by the dry run that must predict it. */
#pragma once

#include "test_support.h"

#include "engine/kernels/kernels.h"

/* Deterministic values. */
typedef struct test_random {
    uint64_t state;
} test_random;
uint32_t test_random_bits(test_random *random);
/* In [-1,1). */
float test_random_value(test_random *random);
int64_t test_random_below(test_random *random, int64_t limit);
void test_random_fill(test_random *random, float *out, int64_t count);

/* `count` floats between two guards that test_guarded_check finds intact; malloc'ed. */
float *test_guarded(int64_t count);
void test_guarded_check(const float *values, int64_t count, const char *what);
void test_guarded_free(float *values);

/* A (rows, cols) tensor with a stride greater than cols; what lies between the rows is checked too. */
kx_tensor test_tensor(test_random *random, int64_t rows, int64_t cols, int64_t pad);
kx_tensor test_map(test_random *random, int64_t height, int64_t width, int64_t channels, int64_t pad);
void test_tensor_check(const kx_tensor *tensor, const char *what);
void test_tensor_free(kx_tensor *tensor);
kx_tensor test_tensor_copy(const kx_tensor *tensor);
float test_at(const kx_tensor *tensor, int64_t row, int64_t col);

/* A random weight of one dtype for each segment (rows split among them), at odd addresses, with scales when
 * `scaled`. Free with test_weight_free. */
kx_weight test_weight(test_random *random, int rank, const int64_t *shape, const kx_dtype *dtypes,
                      int num_segments, bool scaled);
void test_weight_free(kx_weight *weight);
float test_weight_at(const kx_weight *weight, int64_t row, int64_t col);

/* Calls `op` dry on a measuring scratch, then for real on a scratch of exactly that peak. Checks that it
 * succeeds, that the peaks and the flops are equal, and that everything was given back. Returns the flops. */
typedef void test_op(kx_ops *ops, void *arguments);
uint64_t test_run_op(const kx_kernels *kernels, size_t threads, test_op *op, void *arguments);

/* Calls `each` for every kernel set that this processor has. */
void test_every_set(void (*each)(const kx_kernels *kernels));
