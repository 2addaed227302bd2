/* The transforms of Winograd's convolution: together they are a convolution of 8 x 8 inputs with 3 x 3
 * weights (in double), and each of every set is that of plain C. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINTS = KX_WINOGRAD_POINTS,
    POINTS2 = POINTS * POINTS,
    OUTPUTS = KX_WINOGRAD_OUTPUTS,
    CHANNELS_MOST = 50,
};

/* One tile of n channels, each convolved with weights of its own. */
typedef struct tile_case {
    int64_t n, row_stride, col_stride, stride;
    float *g, *x, *u, *v, *y;
} tile_case;

static tile_case new_tile(test_random *random, int64_t n)
{
    tile_case c = {.n = n, .col_stride = n + 2, .row_stride = 11 * (n + 2), .stride = n + 5};
    c.g = test_guarded(9 * n);
    c.x = test_guarded(POINTS * c.row_stride);
    c.u = test_guarded(POINTS2 * c.stride);
    c.v = test_guarded(POINTS2 * c.stride);
    c.y = test_guarded(OUTPUTS * OUTPUTS * n);
    test_random_fill(random, c.g, 9 * n);
    test_random_fill(random, c.x, POINTS * c.row_stride);
    return c;
}

static void free_tile(tile_case *c)
{
    test_guarded_free(c->g);
    test_guarded_free(c->x);
    test_guarded_free(c->u);
    test_guarded_free(c->v);
    test_guarded_free(c->y);
}

/* u, v, then their products in v, y. */
static void run_tile(const kx_kernels *set, tile_case *c)
{
    set->winograd_weights(c->n, c->g, c->u, c->stride);
    set->winograd_input(c->n, c->x, c->row_stride, c->col_stride, c->v, c->stride);
    for (int64_t f = 0; f < POINTS2; f++)
        for (int64_t k = 0; k < c->n; k++) c->v[f * c->stride + k] *= c->u[f * c->stride + k];
    set->winograd_output(c->n, c->v, c->stride, NULL, false, c->y, OUTPUTS * c->n, c->n);
}

/* Nothing between the rows of u and v, nothing around them. */
static void check_rows(const tile_case *c, const float *values, const char *what)
{
    const float untouched = c->u[-1]; /* a guard */
    test_guarded_check(values, POINTS2 * c->stride, what);
    for (int64_t f = 0; f < POINTS2; f++)
        for (int64_t k = c->n; k < c->stride; k++)
            if (values[f * c->stride + k] != untouched)
                fail_msg("%s: wrote between the rows, point %lld", what, (long long)f);
}

static double expected_output(const tile_case *c, int64_t i, int64_t j, int64_t k)
{
    double sum = 0;
    for (int64_t dy = 0; dy < 3; dy++)
        for (int64_t dx = 0; dx < 3; dx++)
            sum += (double)c->g[(dy * 3 + dx) * c->n + k] *
                   (double)c->x[(i + dy) * c->row_stride + (j + dx) * c->col_stride + k];
    return sum;
}

static void every_width(const kx_kernels *set)
{
    test_random random = {1};
    for (int64_t n = 1; n <= CHANNELS_MOST; n++) {
        tile_case c = new_tile(&random, n);
        run_tile(set, &c);
        for (int64_t i = 0; i < OUTPUTS; i++)
            for (int64_t j = 0; j < OUTPUTS; j++)
                for (int64_t k = 0; k < n; k++) {
                    double got = (double)c.y[(i * OUTPUTS + j) * n + k],
                           expected = expected_output(&c, i, j, k);
                    if (!(fabs(got - expected) <= 5e-5))
                        fail_msg("%s: %lld channels: output %lld,%lld channel %lld is %.9g, %.9g is expected",
                                 set->name, (long long)n, (long long)i, (long long)j, (long long)k, got,
                                 expected);
                }
        check_rows(&c, c.u, set->name);
        check_rows(&c, c.v, set->name);
        test_guarded_check(c.y, OUTPUTS * OUTPUTS * n, set->name);
        free_tile(&c);
    }
}

static void the_transforms_together_are_a_convolution(void **state)
{
    (void)state;
    test_every_set(every_width);
}

static void check_close(const float *got, const float *expected, int64_t count, double bound,
                        const char *what)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)expected[i]) <= bound))
            fail_msg("%s: [%lld] is %.9g, %.9g is expected", what, (long long)i, (double)got[i],
                     (double)expected[i]);
}

static void as_in_plain_c(const kx_kernels *set)
{
    const kx_kernels *plain = kx_kernel_sets[0].kernels;
    test_random random = {2};
    for (int64_t n = 1; n <= CHANNELS_MOST; n += 7) {
        tile_case c = new_tile(&random, n);
        int64_t outputs = OUTPUTS * OUTPUTS * n;
        float *expected = test_guarded(POINTS2 * c.stride);
        plain->winograd_weights(n, c.g, expected, c.stride);
        set->winograd_weights(n, c.g, c.u, c.stride);
        check_close(c.u, expected, POINTS2 * c.stride, 2e-6, "weights");
        plain->winograd_input(n, c.x, c.row_stride, c.col_stride, expected, c.stride);
        set->winograd_input(n, c.x, c.row_stride, c.col_stride, c.v, c.stride);
        check_close(c.v, expected, POINTS2 * c.stride, 5e-5, "inputs"); /* values up to 240 */
        test_random_fill(&random, c.v, POINTS2 * c.stride);
        plain->winograd_output(n, c.v, c.stride, NULL, false, expected, OUTPUTS * n, n);
        set->winograd_output(n, c.v, c.stride, NULL, false, c.y, OUTPUTS * n, n);
        check_close(c.y, expected, outputs, 2e-3, "outputs"); /* values up to 4900 */
        test_guarded_free(expected);
        free_tile(&c);
    }
}

static void every_transform_is_that_of_plain_c(void **state)
{
    (void)state;
    test_every_set(as_in_plain_c);
}

/* With bias, added to what is there, into rows and pixels with gaps: as bias and sum afterwards would give
 * it. */
static void placed_outputs(const kx_kernels *set)
{
    test_random random = {4};
    for (int64_t n = 1; n <= CHANNELS_MOST; n += 5) {
        tile_case c = new_tile(&random, n);
        int64_t col_stride = n + 3, row_stride = 9 * col_stride, count = OUTPUTS * row_stride;
        float *y = test_guarded(count), *bias = test_guarded(n), *before = test_guarded(count);
        test_random_fill(&random, bias, n);
        test_random_fill(&random, y, count);
        memcpy(before, y, (size_t)count * sizeof(float));
        run_tile(set, &c);
        set->winograd_output(n, c.v, c.stride, bias, true, y, row_stride, col_stride);
        for (int64_t i = 0; i < OUTPUTS; i++)
            for (int64_t j = 0; j < OUTPUTS; j++)
                for (int64_t k = 0; k < n; k++)
                    before[i * row_stride + j * col_stride + k] += c.y[(i * OUTPUTS + j) * n + k] + bias[k];
        assert_memory_equal(y, before, (size_t)count * sizeof(float)); /* the gaps too */
        test_guarded_check(y, count, set->name);
        test_guarded_free(y);
        test_guarded_free(bias);
        test_guarded_free(before);
        free_tile(&c);
    }
}

static void outputs_go_to_their_place_with_bias_and_sum(void **state)
{
    (void)state;
    test_every_set(placed_outputs);
}

static void equal_places(const kx_kernels *set)
{
    test_random random = {3};
    tile_case c = new_tile(&random, CHANNELS_MOST);
    run_tile(set, &c);
    for (int64_t k = 0; k < CHANNELS_MOST; k++) { /* the same channel alone */
        float g[9], y[OUTPUTS * OUTPUTS], u[POINTS2], v[POINTS2];
        for (int64_t i = 0; i < 9; i++) g[i] = c.g[i * c.n + k];
        tile_case one = c;
        one.n = one.stride = 1, one.g = g, one.x = c.x + k, one.u = u, one.v = v, one.y = y;
        run_tile(set, &one);
        for (int64_t i = 0; i < OUTPUTS * OUTPUTS; i++)
            assert_memory_equal(&y[i], &c.y[i * c.n + k], sizeof y[i]);
    }
    free_tile(&c);
}

static void a_channel_does_not_depend_on_its_place(void **state)
{
    (void)state;
    test_every_set(equal_places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_transforms_together_are_a_convolution),
        cmocka_unit_test(every_transform_is_that_of_plain_c),
        cmocka_unit_test(outputs_go_to_their_place_with_bias_and_sum),
        cmocka_unit_test(a_channel_does_not_depend_on_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
