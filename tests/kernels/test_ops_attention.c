/* kx_op_attention against softmax(Q K^T) V in double, in every precision. */
#include "amx_emulated.h"
#include "fixture.h"

#include "engine/kernels/driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct attention_case {
    kx_attention attention;
    kx_precision precision;
    bool by_sums; /* in sums of products of bf16, rounded once or nearly as exact as f32 */
    kx_tensor q, k, v, out;
} attention_case;

static void call_attention(kx_ops *ops, void *arguments)
{
    attention_case *c = arguments;
    ops->precision = c->precision;
    kx_op_attention(ops, &c->attention, &c->q, &c->k, &c->v, &c->out);
}

/* Random operands and room for the result. */
static void take_case(attention_case *c, test_random *random, int64_t queries, int64_t keys)
{
    int64_t cols = c->attention.heads * c->attention.head_dim;
    c->q = test_tensor(random, queries, cols, 0);
    c->k = test_tensor(random, keys, cols, 0);
    c->v = test_tensor(random, keys, cols, 0);
    c->out = test_tensor(random, queries, cols, 0);
}

static void free_case(attention_case *c)
{
    test_tensor_free(&c->q);
    test_tensor_free(&c->k);
    test_tensor_free(&c->v);
    test_tensor_free(&c->out);
}

static double score(const attention_case *c, const kx_tensor *q, int64_t head, int64_t i, int64_t j)
{
    const kx_attention *a = &c->attention;
    double sum = 0;
    if (a->causal && j > i) return -INFINITY;
    for (int64_t d = 0; d < a->head_dim; d++)
        sum +=
            (double)test_at(q, i, head * a->head_dim + d) * (double)test_at(&c->k, j, head * a->head_dim + d);
    sum *= (double)a->scale;
    int64_t keys = c->k.rows;
    if (a->distance_bias != NULL) sum += (double)a->distance_bias[head * (2 * keys - 1) + j - i + keys - 1];
    return sum;
}

/* One row of one head, in double. */
static void expected_row(const attention_case *c, const kx_tensor *q, int64_t head, int64_t i,
                         double *weights, double *row)
{
    double top = -INFINITY, total = 0;
    int64_t dim = c->attention.head_dim;
    for (int64_t j = 0; j < c->k.rows; j++) {
        weights[j] = score(c, q, head, i, j);
        top = fmax(top, weights[j]);
    }
    for (int64_t d = 0; d < dim; d++) row[d] = 0;
    for (int64_t j = 0; j < c->k.rows; j++) {
        double weight = exp(weights[j] - top);
        total += weight;
        for (int64_t d = 0; d < dim; d++) row[d] += weight * (double)test_at(&c->v, j, head * dim + d);
    }
    for (int64_t d = 0; d < dim; d++) row[d] /= total;
}

static bool is_exact(const attention_case *c)
{
    const kx_attention *a = &c->attention;
    return c->precision == KX_PRECISION_F32 || a->exact || a->causal || a->distance_bias != NULL ||
           a->head_dim > 256;
}

/* Of one value, where the values are below 1, and of all of them together (root of mean squares, relative).
 */
static double bound_of_one(const attention_case *c)
{
    if (c->by_sums) return c->attention.rounded ? 0.01 : 4e-5;
    return is_exact(c) ? 4e-6 : c->precision == KX_PRECISION_BF16 ? 0.01 : 0.04;
}

static double bound_of_all(const attention_case *c)
{
    if (c->by_sums) return c->attention.rounded ? 0.006 : 1e-5;
    return is_exact(c) ? 1e-6 : c->precision == KX_PRECISION_BF16 ? 0.006 : 0.015;
}

static void check_attention(const attention_case *c, const kx_tensor *q, const kx_tensor *got,
                            const char *what)
{
    double *weights = calloc((size_t)c->k.rows, sizeof *weights), row[600], error = 0, size = 0;
    int64_t dim = c->attention.head_dim;
    for (int64_t head = 0; head < c->attention.heads; head++)
        for (int64_t i = 0; i < q->rows; i++) {
            expected_row(c, q, head, i, weights, row);
            for (int64_t d = 0; d < dim; d++) {
                double actual = (double)test_at(got, i, head * dim + d);
                error += (actual - row[d]) * (actual - row[d]);
                size += row[d] * row[d];
                if (!(fabs(actual - row[d]) <= bound_of_one(c)))
                    fail_msg("%s: precision %d, %lld x %lld, head %lld of %lld, dim %lld: out[%lld][%lld] is "
                             "%.9g, %.9g is "
                             "expected",
                             what, (int)c->precision, (long long)q->rows, (long long)c->k.rows,
                             (long long)head, (long long)c->attention.heads, (long long)dim, (long long)i,
                             (long long)d, actual, row[d]);
            }
        }
    if (!(sqrt(error / size) <= bound_of_all(c)))
        fail_msg("%s: precision %d, %lld x %lld, dim %lld: relative error %.3g", what, (int)c->precision,
                 (long long)q->rows, (long long)c->k.rows, (long long)dim, sqrt(error / size));
    test_tensor_check(got, what);
    free(weights);
}

typedef struct attention_shape {
    int64_t queries, keys, heads, dim;
    bool causal, biased, in_place, exact, rounded;
} attention_shape;

static void run_case(const kx_kernels *kernels, test_random *random, attention_shape shape,
                     kx_precision precision, size_t threads)
{
    int64_t cols = shape.heads * shape.dim, biases = shape.heads * (2 * shape.keys - 1);
    float *bias = test_guarded(biases);
    test_random_fill(random, bias, biases);
    attention_case c = {.precision = precision,
                        .attention = {.heads = shape.heads,
                                      .head_dim = shape.dim,
                                      .causal = shape.causal,
                                      .exact = shape.exact,
                                      .rounded = shape.rounded,
                                      .scale = 3.0f / sqrtf((float)shape.dim),
                                      .distance_bias = shape.biased ? bias : NULL}};
    c.by_sums = kx_driver_attention_sums(&(kx_ops){.kernels = kernels, .precision = precision}, &c.attention);
    c.q = test_tensor(random, shape.queries, cols, 3);
    c.k = test_tensor(random, shape.keys, cols, 1);
    c.v = test_tensor(random, shape.keys, cols, 7);
    kx_tensor q = test_tensor_copy(&c.q);
    c.out = shape.in_place ? c.q : test_tensor(random, shape.queries, cols, 5);
    uint64_t flops = test_run_op(kernels, threads, call_attention, &c);
    assert_int_equal(flops, 4 * shape.queries * shape.keys * cols);
    check_attention(&c, &q, &c.out, kernels->name);
    if (!shape.in_place) test_tensor_free(&c.out);
    test_tensor_free(&q);
    test_tensor_free(&c.q);
    test_tensor_free(&c.k);
    test_tensor_free(&c.v);
    test_guarded_free(bias);
}

static void every_shape(const kx_kernels *kernels)
{
    static const attention_shape shapes[] = {
        {.queries = 1, .keys = 1, .heads = 1, .dim = 1},
        {.queries = 5, .keys = 3, .heads = 2, .dim = 8},
        {.queries = 300, .keys = 301, .heads = 1, .dim = 16},
        {.queries = 130, .keys = 517, .heads = 3, .dim = 128},
        {.queries = 70, .keys = 130, .heads = 1, .dim = 512},
        {.queries = 20, .keys = 60, .heads = 2, .dim = 256},
        {.queries = 20, .keys = 60, .heads = 2, .dim = 257},
        {.queries = 60, .keys = 300, .heads = 1, .dim = 64, .exact = true},
        {.queries = 300, .keys = 128, .heads = 1, .dim = 512, .exact = true, .in_place = true},
        {.queries = 31, .keys = 129, .heads = 2, .dim = 40, .exact = true},
        {.queries = 64, .keys = 300, .heads = 1, .dim = 512, .exact = true, .rounded = true},
        {.queries = 40, .keys = 60, .heads = 3, .dim = 33, .exact = true, .rounded = true, .in_place = true},
        {.queries = 70, .keys = 70, .heads = 1, .dim = 31, .exact = true, .rounded = true},
        {.queries = 70, .keys = 70, .heads = 1, .dim = 32, .exact = true, .rounded = true, .causal = true},
        {.queries = 33, .keys = 400, .heads = 2, .dim = 33},
        {.queries = 300, .keys = 450, .heads = 2, .dim = 64, .in_place = true},
        {.queries = 77, .keys = 77, .heads = 3, .dim = 64, .causal = true},
        {.queries = 700, .keys = 700, .heads = 1, .dim = 32, .causal = true, .in_place = true},
        {.queries = 9, .keys = 40, .heads = 1, .dim = 4, .causal = true},
        {.queries = 512, .keys = 512, .heads = 2, .dim = 64, .biased = true},
        {.queries = 40, .keys = 47, .heads = 2, .dim = 8, .biased = true, .causal = true},
        {.queries = 100, .keys = 100, .heads = 2, .dim = 5, .biased = true, .in_place = true}};
    test_random random = {1};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int precision = KX_PRECISION_F32; precision <= KX_PRECISION_INT8; precision++)
            run_case(kernels, &random, shapes[i], (kx_precision)precision, 1 + i % 3);
}

static void attention_of_any_shape_is_the_formula(void **state)
{
    (void)state;
    test_every_set(every_shape);
    every_shape(test_amx_emulated());
}

/* The running maximum must keep exp in range, and must move upwards and stay through the blocks. */
static void large_scores(const kx_kernels *kernels)
{
    test_random random = {2};
    attention_case c = {.precision = KX_PRECISION_F32,
                        .attention = {.heads = 1, .head_dim = 16, .scale = 300.0f}};
    take_case(&c, &random, 40, 900);
    test_run_op(kernels, 2, call_attention, &c);
    for (int64_t i = 0; i < 40 * 16; i++) assert_true(isfinite(kx_tensor_f32(&c.out)[i]));
    for (int64_t i = 0; i < 40; i++) { /* scores this far apart choose one key, but for near ties */
        double weights[900], row[16];
        expected_row(&c, &c.q, 0, i, weights, row);
        for (int64_t d = 0; d < 16; d++) assert_true(fabs(row[d] - (double)test_at(&c.out, i, d)) < 1e-3);
    }
    for (c.precision = KX_PRECISION_BF16; c.precision <= KX_PRECISION_INT8; c.precision++) {
        test_run_op(kernels, 2, call_attention,
                    &c); /* which key wins is then rounded, too; a mean it stays */
        for (int64_t i = 0; i < 40 * 16; i++) assert_true(fabsf(kx_tensor_f32(&c.out)[i]) <= 1.01f);
    }
    free_case(&c);
}

static void attention_survives_scores_of_hundreds(void **state)
{
    (void)state;
    test_every_set(large_scores);
    large_scores(test_amx_emulated());
}

/* Scores that grow far above all before them, in one head's rows of every second query: a set that takes its
 * exponentials below the first few scores has to see that they overflow. */
static void late_scores(const kx_kernels *kernels)
{
    enum { QUERIES = 70, KEYS = 700, DIM = 16 };
    test_random random = {11};
    for (int precision = KX_PRECISION_BF16; precision <= KX_PRECISION_INT8; precision++) {
        attention_case c = {.precision = (kx_precision)precision,
                            .attention = {.heads = 2, .head_dim = DIM, .scale = 1.0f}};
        take_case(&c, &random, QUERIES, KEYS);
        for (int64_t i = 0; i < QUERIES; i++) kx_tensor_f32(&c.q)[i * 2 * DIM] = i % 2 == 0 ? 8 : 0;
        for (int64_t j = 0; j < KEYS; j++) kx_tensor_f32(&c.k)[j * 2 * DIM] = j < 600 ? -6 : 6;
        test_run_op(kernels, 2, call_attention, &c);
        for (int64_t h = 0; h < 2; h++)
            for (int64_t i = 0; i < QUERIES; i++) {
                double weights[KEYS], row[DIM];
                expected_row(&c, &c.q, h, i, weights, row);
                for (int64_t d = 0; d < DIM; d++)
                    assert_true(fabs(row[d] - (double)test_at(&c.out, i, h * DIM + d)) < 0.05);
            }
        free_case(&c);
    }
}

static void attention_survives_scores_that_grow_late(void **state)
{
    (void)state;
    test_every_set(late_scores);
    late_scores(test_amx_emulated());
}

static void equal_bytes_in(const kx_kernels *kernels, kx_precision precision, kx_attention attention)
{
    int64_t cols = attention.heads * attention.head_dim;
    size_t bytes = (size_t)(600 * cols) * sizeof(float);
    test_random random = {3};
    attention_case c = {.precision = precision, .attention = attention};
    c.q = test_tensor(&random, 600, cols, 0);
    c.k = test_tensor(&random, 450, cols, 0);
    c.v = test_tensor(&random, 450, cols, 0);
    kx_tensor out = test_tensor(&random, 600, cols, 0);
    c.out = out;
    test_run_op(kernels, 1, call_attention, &c);
    for (size_t threads = 2; threads <= 5; threads++) {
        c.out = test_tensor(&random, 600, cols, 0);
        test_run_op(kernels, threads, call_attention, &c);
        assert_memory_equal(c.out.data, out.data, bytes);
        test_tensor_free(&c.out);
    }
    c.out = c.q;
    test_run_op(kernels, 2, call_attention, &c);
    assert_memory_equal(c.out.data, out.data, bytes);
    test_tensor_free(&out);
    test_tensor_free(&c.q);
    test_tensor_free(&c.k);
    test_tensor_free(&c.v);
}

static void equal_bytes(const kx_kernels *kernels)
{
    for (int precision = KX_PRECISION_F32; precision <= KX_PRECISION_INT8; precision++) {
        kx_attention attention = {.heads = 2, .head_dim = 24, .scale = 0.2f};
        equal_bytes_in(kernels, (kx_precision)precision, attention);
        attention.scale = 60.0f; /* some rows as in the next test, some not */
        equal_bytes_in(kernels, (kx_precision)precision, attention);
        attention = (kx_attention){.heads = 1, .head_dim = 40, .scale = 0.2f, .exact = true};
        equal_bytes_in(kernels, (kx_precision)precision, attention);
    }
}

static void attention_gives_the_same_bytes_for_any_threads_and_in_place(void **state)
{
    (void)state;
    test_every_set(equal_bytes);
    equal_bytes(test_amx_emulated());
}

/* A NaN of a query stays in its row and head; one of a key reaches every row, one of a value its column. */
static void not_a_number_in(const kx_kernels *kernels, kx_precision precision, int64_t dim, bool exact)
{
    const int64_t cols = 2 * dim, odd = dim + 2; /* a column of the second head */
    test_random random = {5};
    attention_case c = {.precision = precision,
                        .attention = {.heads = 2, .head_dim = dim, .scale = 1.0f, .exact = exact}};
    take_case(&c, &random, 20, 20);
    kx_tensor_f32(&c.q)[3 * cols + 1] = NAN;
    test_run_op(kernels, 1, call_attention, &c);
    for (int64_t i = 0; i < 20 * cols; i++)
        assert_true(isnan(kx_tensor_f32(&c.out)[i]) == (i / cols == 3 && i % cols < dim));
    kx_tensor_f32(&c.q)[3 * cols + 1] = 0;
    kx_tensor_f32(&c.v)[4 * cols + odd] = NAN;
    test_run_op(kernels, 1, call_attention, &c);
    for (int64_t i = 0; i < 20 * cols; i++) assert_true(isnan(kx_tensor_f32(&c.out)[i]) == (i % cols == odd));
    kx_tensor_f32(&c.k)[4 * cols + odd] = NAN;
    test_run_op(kernels, 1, call_attention, &c);
    for (int64_t i = 0; i < 20 * cols; i++) assert_true(isnan(kx_tensor_f32(&c.out)[i]) == (i % cols >= dim));
    free_case(&c);
}

static void not_a_number(const kx_kernels *kernels)
{
    for (int precision = KX_PRECISION_F32; precision <= KX_PRECISION_INT8; precision++) {
        not_a_number_in(kernels, (kx_precision)precision, 16, false);
        not_a_number_in(kernels, (kx_precision)precision, 32, true);
    }
}

static void attention_hands_a_nan_on(void **state)
{
    (void)state;
    test_every_set(not_a_number);
    not_a_number(test_amx_emulated());
}

/* What all keys have in common does not matter to the softmax, and must not cost int8 its precision. */
static void shared_mean(const kx_kernels *kernels)
{
    test_random random = {6};
    attention_case c = {.precision = KX_PRECISION_INT8,
                        .attention = {.heads = 2, .head_dim = 64, .scale = 0.375f}};
    take_case(&c, &random, 50, 300);
    for (int64_t col = 0; col < 128; col++) {
        float mean = 6 * test_random_value(&random);
        for (int64_t row = 0; row < 300; row++) kx_tensor_f32(&c.k)[row * 128 + col] += mean;
    }
    test_run_op(kernels, 2, call_attention, &c);
    check_attention(&c, &c.q, &c.out, kernels->name);
    free_case(&c);
}

static void a_mean_of_the_keys_costs_int8_nothing(void **state)
{
    (void)state;
    test_every_set(shared_mean);
}

/* A column of q and k that outshines the others must not take the steps of int8 from them. */
static void loud_column(const kx_kernels *kernels)
{
    test_random random = {9};
    attention_case c = {.precision = KX_PRECISION_INT8,
                        .attention = {.heads = 1, .head_dim = 128, .scale = 0.25f}};
    take_case(&c, &random, 60, 300);
    for (int64_t row = 0; row < 60; row++) kx_tensor_f32(&c.q)[row * 128 + 77] *= 8;
    for (int64_t row = 0; row < 300; row++) kx_tensor_f32(&c.k)[row * 128 + 77] *= 8;
    test_run_op(kernels, 2, call_attention, &c);
    check_attention(&c, &c.q, &c.out, kernels->name);
    free_case(&c);
}

static void a_loud_column_leaves_int8_its_precision(void **state)
{
    (void)state;
    test_every_set(loud_column);
}

/* One key far above hundreds whose weights are each less than half of int8's smallest step: together they
 * are two fifths of what it weighs, and must count. */
static void small_weights(const kx_kernels *kernels)
{
    enum { KEYS = 400, DIM = 16, LARGE = 5 };
    test_random random = {8};
    attention_case c = {.precision = KX_PRECISION_INT8,
                        .attention = {.heads = 1, .head_dim = DIM, .scale = 6.9f / DIM}};
    take_case(&c, &random, 30, KEYS);
    for (int64_t i = 0; i < 30 * DIM; i++) kx_tensor_f32(&c.q)[i] = 1;
    for (int64_t i = 0; i < KEYS * DIM; i++) {
        bool large = i / DIM == LARGE;
        kx_tensor_f32(&c.k)[i] = large ? 1 : 0.02f * kx_tensor_f32(&c.k)[i];
        kx_tensor_f32(&c.v)[i] = large ? 0 : 0.9f + 0.1f * kx_tensor_f32(&c.v)[i];
    }
    test_run_op(kernels, 2, call_attention, &c);
    check_attention(&c, &c.q, &c.out, kernels->name);
    free_case(&c);
}

static void many_small_weights_count_in_int8(void **state)
{
    (void)state;
    test_every_set(small_weights);
}

/* The operand that attention writes, and the one that its f32 result is quantised to. */
static void call_both(kx_ops *ops, void *arguments)
{
    attention_case *c = arguments;
    ops->precision = c->precision;
    kx_scratch_mark mark = kx_ops_mark(ops);
    int64_t rows = c->q.rows, cols = c->q.cols, split = 40;
    kx_tensor all = kx_ops_take_operand(ops, "operand", rows, split + cols, split);
    kx_tensor expected = kx_ops_take_operand(ops, "expected", rows, cols, 0);
    kx_tensor got = kx_tensor_cols(&all, split, cols);
    kx_op_attention(ops, &c->attention, &c->q, &c->k, &c->v, &got);
    kx_op_attention(ops, &c->attention, &c->q, &c->k, &c->v, &c->out);
    kx_op_quantise(ops, &c->out, &expected);
    if (!kx_ops_idle(ops)) {
        for (int64_t plane = 0; plane < kx_planes_of(got.dtype, cols); plane++)
            assert_memory_equal((uint8_t *)got.data + plane * got.plane_bytes,
                                (uint8_t *)expected.data + plane * expected.plane_bytes,
                                (size_t)(rows * KX_PLANE_BYTES));
        for (int64_t group = 0; got.dtype == KX_U8 && group < kx_groups_of(KX_U8, cols); group++)
            assert_memory_equal(got.scales + group * got.scale_stride,
                                expected.scales + group * expected.scale_stride,
                                (size_t)rows * sizeof(float));
    }
    kx_ops_release(ops, mark);
}

static void every_operand(const kx_kernels *kernels)
{
    static const attention_shape shapes[] = {
        {.queries = 50, .keys = 70, .heads = 9, .dim = 128},
        {.queries = 300, .keys = 40, .heads = 6, .dim = 32},
        {.queries = 31, .keys = 300, .heads = 8, .dim = 100},
        {.queries = 20, .keys = 20, .heads = 3, .dim = 64, .causal = true}};
    test_random random = {7};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int precision = KX_PRECISION_BF16; precision <= KX_PRECISION_INT8; precision++) {
            const attention_shape *s = &shapes[i];
            attention_case c = {
                .precision = (kx_precision)precision,
                .attention = {.heads = s->heads, .head_dim = s->dim, .causal = s->causal, .scale = 0.2f}};
            c.q = test_tensor(&random, s->queries, s->heads * s->dim, 2);
            c.k = test_tensor(&random, s->keys, s->heads * s->dim, 0);
            c.v = test_tensor(&random, s->keys, s->heads * s->dim, 1);
            c.out = test_tensor(&random, s->queries, s->heads * s->dim, 3);
            test_run_op(kernels, 1 + i % 3, call_both, &c);
            test_tensor_free(&c.q);
            test_tensor_free(&c.k);
            test_tensor_free(&c.v);
            test_tensor_free(&c.out);
        }
}

static void an_operand_is_the_quantised_result(void **state)
{
    (void)state;
    test_every_set(every_operand);
    every_operand(test_amx_emulated());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_of_any_shape_is_the_formula),
        cmocka_unit_test(attention_survives_scores_of_hundreds),
        cmocka_unit_test(attention_survives_scores_that_grow_late),
        cmocka_unit_test(attention_gives_the_same_bytes_for_any_threads_and_in_place),
        cmocka_unit_test(attention_hands_a_nan_on),
        cmocka_unit_test(a_mean_of_the_keys_costs_int8_nothing),
        cmocka_unit_test(a_loud_column_leaves_int8_its_precision),
        cmocka_unit_test(many_small_weights_count_in_int8),
        cmocka_unit_test(an_operand_is_the_quantised_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
