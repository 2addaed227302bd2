/* kx_op_linear against a sum in double. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct linear_case {
    kx_linear linear;
    kx_tensor x, y;
    kx_epilogue epilogue;
    const float *gate;
} linear_case;

static void call_linear(kx_ops *ops, void *arguments)
{
    linear_case *c = arguments;
    kx_op_linear(ops, &c->x, &c->linear, c->epilogue, c->gate, &c->y);
}

static double apply(kx_epilogue epilogue, double r, double y, double gate)
{
    switch (epilogue) {
    case KX_EPILOGUE_STORE:
        return r;
    case KX_EPILOGUE_GELU_TANH:
        return 0.5 * r * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (r + 0.044715 * r * r * r)));
    case KX_EPILOGUE_QUICK_GELU:
        return r / (1 + exp(-1.702 * r));
    case KX_EPILOGUE_SILU:
        return r / (1 + exp(-r));
    case KX_EPILOGUE_ADD:
        return y + r;
    case KX_EPILOGUE_GATED_ADD:
        return y + gate * r;
    default:
        return y * r;
    }
}

/* Every value of `got`, which started as `before`, against the formula. The bound is 1e-6 of the sum of |w
 * x|. */
static void check_linear(const linear_case *c, const kx_tensor *before, const kx_tensor *got,
                         const char *what)
{
    for (int64_t t = 0; t < c->x.rows; t++)
        for (int64_t n = 0; n < got->cols; n++) {
            double r = c->linear.bias == NULL ? 0 : (double)c->linear.bias[n], size = fabs(r);
            for (int64_t k = 0; k < c->x.cols; k++) {
                double term = (double)test_weight_at(&c->linear.weight, n, k) * (double)test_at(&c->x, t, k);
                r += term;
                size += fabs(term);
            }
            double old = (double)test_at(before, t, n), gate = c->gate == NULL ? 0 : (double)c->gate[n];
            double expected = apply(c->epilogue, r, old, gate), actual = (double)test_at(got, t, n);
            double bound = 1e-6 * (size + fabs(old) + fabs(expected)) + 1e-7;
            if (!(fabs(expected - actual) <= bound))
                fail_msg("%s: T %lld K %lld N %lld epilogue %d: y[%lld][%lld] is %.9g, %.9g is expected",
                         what, (long long)c->x.rows, (long long)c->x.cols, (long long)got->cols,
                         (int)c->epilogue, (long long)t, (long long)n, actual, expected);
        }
    test_tensor_check(got, what);
}

typedef struct linear_shape {
    int64_t T, K, N;
} linear_shape;

static void run_case(const kx_kernels *kernels, test_random *random, linear_shape shape,
                     const kx_dtype *dtypes, int segments, bool scaled, kx_epilogue epilogue, size_t threads)
{
    int64_t extents[2] = {shape.N, shape.K};
    float *bias = test_guarded(shape.N), *gate = test_guarded(shape.N);
    test_random_fill(random, bias, shape.N);
    test_random_fill(random, gate, shape.N);
    linear_case c = {.epilogue = epilogue, .gate = epilogue == KX_EPILOGUE_GATED_ADD ? gate : NULL};
    c.linear.weight = test_weight(random, 2, extents, dtypes, segments, scaled);
    c.linear.bias = shape.N % 2 == 0 ? bias : NULL;
    c.x = test_tensor(random, shape.T, shape.K, 3);
    c.y = test_tensor(random, shape.T, shape.N, 5);
    kx_tensor before = test_tensor_copy(&c.y);
    uint64_t flops = test_run_op(kernels, threads, call_linear, &c);
    assert_int_equal(flops, 2 * shape.T * shape.K * shape.N);
    check_linear(&c, &before, &c.y, kernels->name);
    test_tensor_free(&before);
    test_tensor_free(&c.x);
    test_tensor_free(&c.y);
    test_weight_free(&c.linear.weight);
    test_guarded_free(bias);
    test_guarded_free(gate);
}

static void every_shape(const kx_kernels *kernels)
{
    static const linear_shape shapes[] = {{1, 1, 1},      {1, 64, 5},    {2, 3, 7},      {3, 1030, 33},
                                          {8, 2050, 17},  {9, 16, 1},    {9, 31, 48},    {10, 257, 49},
                                          {13, 600, 97},  {77, 96, 130}, {65, 33, 400},  {200, 520, 64},
                                          {1100, 24, 20}, {12, 770, 16}, {31, 256, 1000}};
    test_random random = {1};
    const kx_dtype f32 = KX_F32;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        run_case(kernels, &random, shapes[i], &f32, 1, false, KX_EPILOGUE_STORE, 1 + i % 3);
    for (int i = 0; i < 40; i++) {
        linear_shape shape = {1 + test_random_below(&random, 40), 1 + test_random_below(&random, 700),
                              1 + test_random_below(&random, 150)};
        run_case(kernels, &random, shape, &f32, 1, false, KX_EPILOGUE_STORE, 2);
    }
}

static void linear_of_any_shape_is_the_product(void **state)
{
    (void)state;
    test_every_set(every_shape);
}

static void every_dtype(const kx_kernels *kernels)
{
    static const kx_dtype dtypes[] = {KX_F32, KX_BF16, KX_F16, KX_F8_E4M3, KX_F8_E5M2};
    static const kx_dtype mixed[] = {KX_BF16, KX_F8_E4M3, KX_F32, KX_F16, KX_F8_E5M2, KX_F32};
    test_random random = {2};
    for (int scaled = 0; scaled < 2; scaled++) {
        for (size_t i = 0; i < 5; i++) {
            run_case(kernels, &random, (linear_shape){19, 300, 70}, &dtypes[i], 1, scaled, KX_EPILOGUE_STORE,
                     2);
            run_case(kernels, &random, (linear_shape){2, 1100, 70}, &dtypes[i], 1, scaled, KX_EPILOGUE_STORE,
                     2);
        }
        run_case(kernels, &random, (linear_shape){19, 300, 330}, mixed, 6, scaled, KX_EPILOGUE_ADD, 2);
        run_case(kernels, &random, (linear_shape){5, 70, 330}, mixed, 6, scaled, KX_EPILOGUE_ADD, 2);
    }
}

static void linear_reads_weights_of_every_type_scale_and_segment(void **state)
{
    (void)state;
    test_every_set(every_dtype);
}

static void every_epilogue(const kx_kernels *kernels)
{
    test_random random = {3};
    const kx_dtype f32 = KX_F32;
    for (int epilogue = KX_EPILOGUE_STORE; epilogue <= KX_EPILOGUE_MULTIPLY; epilogue++)
        for (int64_t T = 4; T < 40; T += 17) {
            run_case(kernels, &random, (linear_shape){T, 300, 70}, &f32, 1, false, (kx_epilogue)epilogue, 2);
            run_case(kernels, &random, (linear_shape){T, 30, 71}, &f32, 1, false, (kx_epilogue)epilogue, 2);
        }
}

static void linear_applies_every_epilogue_once(void **state)
{
    (void)state;
    test_every_set(every_epilogue);
}

static void equal_bytes(const kx_kernels *kernels)
{
    static const linear_shape shapes[] = {{1, 900, 700}, {7, 33, 65}, {150, 700, 300}, {1030, 40, 120}};
    test_random random = {4};
    const kx_dtype bf16 = KX_BF16;
    for (size_t i = 0; i < 4; i++) {
        int64_t extents[2] = {shapes[i].N, shapes[i].K};
        linear_case c = {.epilogue = KX_EPILOGUE_GELU_TANH};
        c.linear.weight = test_weight(&random, 2, extents, &bf16, 1, false);
        c.x = test_tensor(&random, shapes[i].T, shapes[i].K, 0);
        kx_tensor y = test_tensor(&random, shapes[i].T, shapes[i].N, 0);
        c.y = y;
        test_run_op(kernels, 1, call_linear, &c);
        for (size_t threads = 2; threads <= 17; threads = threads == 3   ? 5
                                                          : threads == 5 ? 17
                                                                         : threads + 1) {
            c.y = test_tensor(&random, shapes[i].T, shapes[i].N, 0);
            test_run_op(kernels, threads, call_linear, &c);
            assert_memory_equal(c.y.data, y.data, (size_t)(y.rows * y.cols) * sizeof(float));
            test_tensor_free(&c.y);
        }
        /* The first rows alone: the same sums, for any T that takes the same path. */
        kx_tensor all = c.x;
        c.x = kx_tensor_rows(&all, 0, all.rows > 8 ? 9 : all.rows);
        c.y = test_tensor(&random, c.x.rows, shapes[i].N, 0);
        test_run_op(kernels, 2, call_linear, &c);
        assert_memory_equal(c.y.data, y.data, (size_t)(c.x.rows * y.cols) * sizeof(float));
        test_tensor_free(&c.y);
        test_tensor_free(&all);
        test_tensor_free(&y);
        test_weight_free(&c.linear.weight);
    }
}

static void linear_gives_the_same_bytes_for_any_threads_and_rows(void **state)
{
    (void)state;
    test_every_set(equal_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_of_any_shape_is_the_product),
        cmocka_unit_test(linear_reads_weights_of_every_type_scale_and_segment),
        cmocka_unit_test(linear_applies_every_epilogue_once),
        cmocka_unit_test(linear_gives_the_same_bytes_for_any_threads_and_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
