/* What all ops share (dry runs, cancel, failures, names), and the ops on rows. */
#include "fixture.h"

#include "engine/tensor/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rows_case {
    kx_tensor x, y, cosines, sines, scale, shift;
    const float *a, *b;
    kx_weight table;
    const int32_t *ids;
    int which;
} rows_case;

enum { NORM_MODULATE, LAYER_NORM, RMS_NORM, HEAD_NORM_ROPE, EMBED, ADD, SILU, COPY, AFFINE, OPS };
enum { HEAD_DIM = 16 };

static void call_rows(kx_ops *ops, void *arguments)
{
    rows_case *c = arguments;
    switch (c->which) {
    case NORM_MODULATE:
        kx_op_norm_modulate(ops, &c->x, c->a, c->b, 1e-6f, &c->y);
        break;
    case LAYER_NORM:
        kx_op_layer_norm(ops, &c->x, c->a, c->b, 1e-6f, &c->y);
        break;
    case RMS_NORM:
        kx_op_rms_norm(ops, &c->x, c->a, 1e-6f, &c->y);
        break;
    case HEAD_NORM_ROPE:
        kx_op_head_norm_rope(ops, &c->y, HEAD_DIM, c->a, 1e-6f, &c->cosines, &c->sines);
        break;
    case EMBED:
        kx_op_embed(ops, &c->table, c->ids, &c->y);
        break;
    case ADD:
        kx_op_add(ops, &c->x, &c->y);
        break;
    case SILU:
        kx_op_silu(ops, &c->x, &c->y);
        break;
    case COPY:
        kx_op_copy(ops, &c->x, &c->y);
        break;
    default:
        kx_op_affine(ops, &c->x, &c->scale, &c->shift, &c->y);
        break;
    }
}

static double mean_of(const kx_tensor *x, int64_t row, int64_t first, int64_t count, double middle, int power)
{
    double sum = 0;
    for (int64_t i = first; i < first + count; i++) sum += pow((double)test_at(x, row, i) - middle, power);
    return sum / (double)count;
}

static double rotated(const rows_case *c, const kx_tensor *before, int64_t row, int64_t col)
{
    int64_t head = col / HEAD_DIM * HEAD_DIM, even = col % HEAD_DIM / 2 * 2;
    double inverse = 1 / sqrt(mean_of(before, row, head, HEAD_DIM, 0, 2) + 1e-6);
    double a = (double)c->a[even] * (double)test_at(before, row, head + even) * inverse;
    double b = (double)c->a[even + 1] * (double)test_at(before, row, head + even + 1) * inverse;
    double cosine = (double)test_at(&c->cosines, row, even / 2),
           sine = (double)test_at(&c->sines, row, even / 2);
    return col % 2 == 0 ? a * cosine - b * sine : a * sine + b * cosine;
}

static double expected_value(const rows_case *c, const kx_tensor *before, int64_t row, int64_t col)
{
    double x = (double)test_at(&c->x, row, col), old = (double)test_at(before, row, col);
    double mean = mean_of(&c->x, row, 0, c->x.cols, 0, 1);
    double normed = (x - mean) / sqrt(mean_of(&c->x, row, 0, c->x.cols, mean, 2) + 1e-6);
    switch (c->which) {
    case NORM_MODULATE:
        return (1 + (double)c->b[col]) * normed + (double)c->a[col];
    case LAYER_NORM:
        return (double)c->a[col] * normed + (double)c->b[col];
    case RMS_NORM:
        return (double)c->a[col] * x / sqrt(mean_of(&c->x, row, 0, c->x.cols, 0, 2) + 1e-6);
    case HEAD_NORM_ROPE:
        return rotated(c, before, row, col);
    case EMBED:
        return (double)test_weight_at(&c->table, c->ids[row], col);
    case ADD:
        return old + x;
    case SILU:
        return x / (1 + exp(-x));
    case COPY:
        return x;
    default:
        return (double)test_at(&c->scale, 0, col) * x + (double)test_at(&c->shift, 0, col);
    }
}

static rows_case make_rows(test_random *random, int which, int64_t rows, int64_t cols, int32_t *ids)
{
    static const kx_dtype dtypes[] = {KX_BF16, KX_F32};
    int64_t extents[2] = {50, cols};
    rows_case c = {.which = which, .ids = ids};
    c.x = test_tensor(random, rows, cols, 3);
    c.y = test_tensor(random, rows, cols, 5);
    c.cosines = test_tensor(random, rows, HEAD_DIM / 2, 1);
    c.sines = test_tensor(random, rows, HEAD_DIM / 2, 0);
    c.scale = test_tensor(random, 1, cols, 0);
    c.shift = test_tensor(random, 1, cols, 0);
    c.a = kx_tensor_f32(&c.scale);
    c.b = kx_tensor_f32(&c.shift);
    c.table = test_weight(random, 2, extents, dtypes, 2, true);
    for (int64_t r = 0; r < rows; r++) ids[r] = (int32_t)test_random_below(random, 50);
    return c;
}

static void free_rows(rows_case *c)
{
    test_tensor_free(&c->x);
    test_tensor_free(&c->y);
    test_tensor_free(&c->cosines);
    test_tensor_free(&c->sines);
    test_tensor_free(&c->scale);
    test_tensor_free(&c->shift);
    test_weight_free(&c->table);
}

static void check_rows(const rows_case *c, const kx_tensor *before, const char *set)
{
    for (int64_t r = 0; r < c->y.rows; r++)
        for (int64_t i = 0; i < c->y.cols; i++) {
            double expected = expected_value(c, before, r, i), actual = (double)test_at(&c->y, r, i);
            if (!(fabs(actual - expected) <= 1e-6 * (2 + fabs(expected))))
                fail_msg("%s: op %d, %lld columns: [%lld][%lld] is %.9g, %.9g is expected", set, c->which,
                         (long long)c->y.cols, (long long)r, (long long)i, actual, expected);
        }
    test_tensor_check(&c->y, set);
    test_tensor_check(&c->x, set);
}

static void every_op(const kx_kernels *kernels)
{
    test_random random = {1};
    int32_t ids[20];
    for (int which = 0; which < OPS; which++)
        for (int64_t cols = 48; cols <= 96; cols += which == HEAD_NORM_ROPE ? 48 : 19) {
            rows_case c = make_rows(&random, which, 20, cols, ids);
            kx_tensor before = test_tensor_copy(&c.y);
            test_run_op(kernels, 2, call_rows, &c);
            check_rows(&c, &before, kernels->name);
            test_tensor_free(&before);
            free_rows(&c);
        }
}

static void ops_on_rows_are_their_formulas(void **state)
{
    (void)state;
    test_every_set(every_op);
}

static void equal_bytes(const kx_kernels *kernels)
{
    test_random random = {2};
    static int32_t ids[3000];
    for (int which = 0; which < OPS; which++) {
        rows_case c = make_rows(&random, which, 3000, 96, ids);
        kx_tensor before = test_tensor_copy(&c.y), one = c.y;
        test_run_op(kernels, 1, call_rows, &c);
        for (size_t threads = 2; threads <= 5; threads++) {
            c.y = test_tensor_copy(&before);
            test_run_op(kernels, threads, call_rows, &c);
            assert_memory_equal(c.y.data, one.data, (size_t)(one.rows * one.stride) * sizeof(float));
            test_tensor_free(&c.y);
        }
        c.y = one;
        test_tensor_free(&before);
        free_rows(&c);
    }
}

static void ops_on_rows_give_the_same_bytes_for_any_threads(void **state)
{
    (void)state;
    test_every_set(equal_bytes);
}

/* A pool, a scratch of `bytes` and an op set of the best kernels. */
typedef struct fixture {
    kx_pool *pool;
    kx_scratch scratch;
    kx_ops ops;
} fixture;

static void open_fixture(fixture *f, size_t bytes)
{
    kx_error err = {0};
    const kx_kernels *kernels = NULL;
    memset(f, 0, sizeof *f);
    assert_ok(kx_kernels_choose(NULL, &kernels, &err));
    assert_ok(kx_pool_create(&f->pool, 2, &err));
    assert_ok(kx_scratch_open(&f->scratch, bytes, &err));
    f->ops = (kx_ops){.kernels = kernels, .pool = f->pool, .scratch = &f->scratch};
}

static void close_fixture(fixture *f)
{
    kx_scratch_close(&f->scratch);
    kx_pool_destroy(f->pool);
}

static void a_value_that_is_not_finite_fails_with_its_name(void **state)
{
    (void)state;
    fixture f;
    test_random random = {3};
    kx_error err = {0};
    open_fixture(&f, 1 << 20);
    kx_tensor x = test_tensor(&random, 700, 300, 2);
    kx_op_check_finite(&f.ops, &x, "denoise, step 3: the velocity");
    assert_ok(kx_ops_status(&f.ops, &err));
    kx_tensor_f32(&x)[699 * x.stride + 299] = INFINITY;
    kx_op_check_finite(&f.ops, &x, "denoise, step 3: the velocity");
    assert_int_equal(kx_ops_status(&f.ops, &err), KX_ERR_MODEL);
    assert_string_equal(err.message, "denoise, step 3: the velocity is not finite");
    test_tensor_free(&x);
    close_fixture(&f);
}

static void a_scratch_that_is_too_small_fails_and_later_ops_do_nothing(void **state)
{
    (void)state;
    fixture f;
    test_random random = {4};
    kx_error err = {0};
    open_fixture(&f, 4096);
    kx_tensor x = test_tensor(&random, 4, 4, 0), y = test_tensor(&random, 4, 4, 0);
    kx_tensor before = test_tensor_copy(&y);
    kx_tensor big = kx_ops_take(&f.ops, "hidden", 100, 100);
    assert_null(big.data);
    assert_int_equal(kx_ops_status(&f.ops, &err), KX_ERR_MEMORY);
    assert_non_null(strstr(err.message, "hidden"));
    assert_true(kx_ops_idle(&f.ops));
    kx_op_copy(&f.ops, &x, &y);
    assert_memory_equal(y.data, before.data, 16 * sizeof(float));
    assert_null(kx_ops_take(&f.ops, "small", 1, 1).data);
    test_tensor_free(&x);
    test_tensor_free(&y);
    test_tensor_free(&before);
    close_fixture(&f);
    open_fixture(&f, 4096);
    assert_null(kx_ops_take(&f.ops, "absurd", INT64_MAX / 2, INT64_MAX / 2).data);
    assert_int_equal(f.ops.error.status, KX_ERR_MEMORY);
    close_fixture(&f);
}

/* Says "cancelled" at its n-th call. */
static int count_down(void *user)
{
    int *left = user;
    return --*left <= 0;
}

static void a_cancel_ends_an_op_within_it(void **state)
{
    (void)state;
    test_random random = {5};
    for (int polls = 1; polls < 12; polls += 3) {
        fixture f;
        kx_error err = {0};
        int left = polls;
        open_fixture(&f, 64 << 20);
        f.ops.cancelled = count_down;
        f.ops.cancelled_user = &left;
        int64_t extents[2] = {2048, 2048};
        const kx_dtype f32 = KX_F32;
        kx_linear linear = {.weight = test_weight(&random, 2, extents, &f32, 1, false)};
        kx_tensor x = test_tensor(&random, 256, 2048, 0), y = test_tensor(&random, 256, 2048, 0);
        kx_op_linear(&f.ops, &x, &linear, KX_EPILOGUE_STORE, NULL, &y);
        assert_int_equal(kx_ops_status(&f.ops, &err), KX_ERR_CANCELLED);
        assert_string_equal(err.message, "cancelled");
        assert_int_equal(f.scratch.used, 0);
        test_weight_free(&linear.weight);
        test_tensor_free(&x);
        test_tensor_free(&y);
        close_fixture(&f);
    }
}

typedef struct trace_log {
    char names[128];
    const kx_tensor *last;
} trace_log;

static void note_trace(void *user, const char *name, const kx_tensor *tensor)
{
    trace_log *log = user;
    strncat(log->names, name, sizeof log->names - strlen(log->names) - 1);
    log->last = tensor;
}

static void a_trace_hears_names_but_not_when_dry_or_failed(void **state)
{
    (void)state;
    fixture f;
    trace_log log = {0};
    open_fixture(&f, 4096);
    f.ops.trace = note_trace;
    f.ops.trace_user = &log;
    kx_tensor x = kx_ops_take(&f.ops, "x", 2, 2);
    kx_ops_trace(&f.ops, &x, "double.%d.%s", 0, "img");
    assert_string_equal(log.names, "double.0.img");
    assert_ptr_equal(log.last, &x);
    f.ops.dry = true;
    kx_ops_trace(&f.ops, &x, "dry");
    f.ops.dry = false;
    f.ops.error.status = KX_ERR_MODEL;
    kx_ops_trace(&f.ops, &x, "failed");
    assert_string_equal(log.names, "double.0.img");
    close_fixture(&f);
}

static void taken_maps_have_a_height_and_marks_give_back(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 1 << 16);
    kx_scratch_mark mark = kx_ops_mark(&f.ops);
    kx_tensor map = kx_ops_take_map(&f.ops, "map", 3, 5, 7);
    assert_int_equal(map.rows, 15);
    assert_int_equal(map.height, 3);
    assert_int_equal(map.width, 5);
    assert_int_equal(map.stride, 7);
    assert_true(f.scratch.used >= 15 * 7 * sizeof(float));
    kx_ops_release(&f.ops, mark);
    assert_int_equal(f.scratch.used, 0);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_on_rows_are_their_formulas),
        cmocka_unit_test(ops_on_rows_give_the_same_bytes_for_any_threads),
        cmocka_unit_test(a_value_that_is_not_finite_fails_with_its_name),
        cmocka_unit_test(a_scratch_that_is_too_small_fails_and_later_ops_do_nothing),
        cmocka_unit_test(a_cancel_ends_an_op_within_it),
        cmocka_unit_test(a_trace_hears_names_but_not_when_dry_or_failed),
        cmocka_unit_test(taken_maps_have_a_height_and_marks_give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
