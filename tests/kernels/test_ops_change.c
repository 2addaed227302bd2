/* The ops of the step caches: how far a tensor is from an earlier one, and differences. */
#include "fixture.h"

#include "engine/tensor/ops.h"

#include <math.h>
#include <string.h>

typedef struct change_case {
    kx_tensor now, base, earlier;
    bool has_base;
    double sums[2];
} change_case;

static void call_sum(kx_ops *ops, void *arguments)
{
    change_case *c = arguments;
    kx_op_sum_change(ops, &c->now, c->has_base ? &c->base : NULL, &c->earlier, c->sums);
}

static void call_subtract(kx_ops *ops, void *arguments)
{
    change_case *c = arguments;
    kx_op_subtract_from(ops, &c->now, &c->earlier);
}

static change_case make_case(int64_t rows, int64_t cols)
{
    test_random random = {11};
    return (change_case){.now = test_tensor(&random, rows, cols, 3),
                         .base = test_tensor(&random, rows, cols, 1),
                         .earlier = test_tensor(&random, rows, cols, 2)};
}

static void free_case(change_case *c)
{
    test_tensor_free(&c->now);
    test_tensor_free(&c->base);
    test_tensor_free(&c->earlier);
}

static void expect_sums(const change_case *c)
{
    double change = 0, size = 0;
    for (int64_t row = 0; row < c->now.rows; row++)
        for (int64_t col = 0; col < c->now.cols; col++) {
            double now = (double)test_at(&c->now, row, col), earlier = (double)test_at(&c->earlier, row, col);
            if (c->has_base) now -= (double)test_at(&c->base, row, col);
            change += fabs(now - earlier);
            size += fabs(earlier);
        }
    if (!(fabs(c->sums[0] - change) <= 1e-6 * change && fabs(c->sums[1] - size) <= 1e-9 * size))
        fail_msg("%lld x %lld: %.9g and %.9g are found, %.9g and %.9g expected", (long long)c->now.rows,
                 (long long)c->now.cols, c->sums[0], c->sums[1], change, size);
}

static const kx_kernels *portable(void)
{
    const kx_kernels *kernels = NULL;
    kx_error err = {0};
    assert_ok(kx_kernels_choose("portable", &kernels, &err));
    return kernels;
}

static void change_is_summed_over_all_elements(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {40, 8}, {700, 130}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int has_base = 0; has_base < 2; has_base++) {
            change_case c = make_case(sizes[i][0], sizes[i][1]);
            c.has_base = has_base;
            test_run_op(portable(), 2, call_sum, &c);
            expect_sums(&c);
            free_case(&c);
        }
}

static const kx_kernels *first_set;
static double first_sums[2];

static void same_sums(const kx_kernels *kernels)
{
    for (size_t threads = 1; threads <= 3; threads++) {
        change_case c = make_case(700, 130);
        c.has_base = true;
        test_run_op(kernels, threads, call_sum, &c);
        if (first_set == NULL) memcpy(first_sums, c.sums, sizeof first_sums);
        first_set = kernels;
        assert_memory_equal(c.sums, first_sums, sizeof first_sums);
        free_case(&c);
    }
}

static void sums_are_the_same_for_every_set_and_thread_count(void **state)
{
    (void)state;
    test_every_set(same_sums);
    assert_non_null(first_set);
}

static void subtract(const kx_kernels *kernels)
{
    change_case c = make_case(300, 77);
    kx_tensor before = test_tensor_copy(&c.earlier);
    test_run_op(kernels, 2, call_subtract, &c);
    test_tensor_check(&c.earlier, "difference");
    for (int64_t row = 0; row < 300; row++)
        for (int64_t col = 0; col < 77; col++)
            assert_true(test_at(&c.earlier, row, col) ==
                        test_at(&c.now, row, col) - test_at(&before, row, col));
    test_tensor_free(&before);
    free_case(&c);
}

static void a_tensor_is_subtracted_from_another(void **state)
{
    (void)state;
    test_every_set(subtract);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(change_is_summed_over_all_elements),
        cmocka_unit_test(sums_are_the_same_for_every_set_and_thread_count),
        cmocka_unit_test(a_tensor_is_subtracted_from_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
