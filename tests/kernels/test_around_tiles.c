/* What stands around sums of bf16 on tiles: their operands (affine_bf16) and their results (store_pixels). */
#include "fixture.h"

#include "engine/tensor/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLANE = KX_PLANE_BYTES / 2, PLANES_MOST = 5, GAP = 16, STRIDE = PLANE + GAP }; /* values of bf16 */

/* ---- Operands ------------------------------------------------------------------------------------------ */

typedef struct affine_case {
    int64_t n;
    const float *x, *scale, *shift;
    bool silu, has_rest;
} affine_case;

static double mapped(const affine_case *c, int64_t i)
{
    double value = (double)c->x[i];
    if (c->scale != NULL) value = (double)c->scale[i] * value + (double)c->shift[i];
    return c->silu ? value / (1 + exp(-value)) : value;
}

/* Half a unit of the last place of bf16, or of two of them, and what the arithmetic of a map may be off. */
static double error_bound(const affine_case *c, int64_t i, double value, bool rest)
{
    double terms = fabs(value);
    if (c->scale != NULL) terms += fabs((double)c->scale[i] * (double)c->x[i]) + fabs((double)c->shift[i]);
    return ldexp(fabs(value), rest ? -17 : -8) + 4e-7 * terms + 1e-37;
}

static void check_value(const kx_kernels *set, const affine_case *c, int64_t i, uint16_t high, uint16_t low)
{
    if (i >= c->n) {
        assert_true(high == 0 && (!c->has_rest || low == 0));
        return;
    }
    double value = mapped(c, i), got = (double)kx_bf16_to_f32(high), both = got;
    if (c->has_rest) both += (double)kx_bf16_to_f32(low);
    if (isnan(value) && isnan(got)) return;
    if (!(fabs(got - value) <= error_bound(c, i, value, false) &&
          (!c->has_rest || fabs(both - value) <= error_bound(c, i, value, true))))
        fail_msg("%s: n %lld, value %lld is %.9g and with its rest %.9g, %.9g is expected", set->name,
                 (long long)c->n, (long long)i, got, both, value);
}

static void check_affine(const kx_kernels *set, const affine_case *c)
{
    uint16_t to[2][PLANES_MOST * STRIDE];
    memset(to, 0x55, sizeof to);
    set->affine_bf16(c->n, c->x, c->scale, c->shift, c->silu, to[0], c->has_rest ? to[1] : NULL, STRIDE * 2);
    for (int64_t at = 0; at < PLANES_MOST * STRIDE; at++) {
        bool within = at % STRIDE < PLANE && at / STRIDE * PLANE < c->n;
        if (within) check_value(set, c, at / STRIDE * PLANE + at % STRIDE, to[0][at], to[1][at]);
        if (!within) assert_true(to[0][at] == 0x5555);
        if (!within || !c->has_rest) assert_true(to[1][at] == 0x5555);
    }
}

static void every_affine(const kx_kernels *set)
{
    if (set->affine_bf16 == NULL) return;
    test_random random = {1};
    for (int64_t n = 1; n <= PLANES_MOST * PLANE; n++) {
        float *x = test_guarded(n), *scale = test_guarded(n), *shift = test_guarded(n);
        test_random_fill(&random, x, n);
        test_random_fill(&random, scale, n);
        test_random_fill(&random, shift, n);
        for (int64_t i = 0; i < n; i++) x[i] *= 8;
        for (int what = 0; what < 8; what++) {
            affine_case c = {.n = n, .x = x, .silu = what & 1, .has_rest = what & 2};
            if (what & 4) c.scale = scale, c.shift = shift;
            check_affine(set, &c);
        }
        x[test_random_below(&random, n)] = NAN;
        check_affine(set, &(affine_case){.n = n, .x = x, .silu = n % 2 == 0, .has_rest = true});
        test_guarded_free(x);
        test_guarded_free(scale);
        test_guarded_free(shift);
    }
}

static void operands_are_what_their_map_says(void **state)
{
    (void)state;
    test_every_set(every_affine);
}

/* ---- Results ------------------------------------------------------------------------------------------- */

typedef struct store_case {
    int64_t pixels, n, stride;
    bool add, past, biased, counted;
} store_case;

static void check_sums(const kx_kernels *set, const kx_store_pixels *call, const float *before_sums)
{
    for (int64_t c = 0; c < call->n; c++) {
        double sum = (double)before_sums[c], square = 2 * sum, size = 0;
        for (int64_t i = 0; i < call->pixels; i++) {
            double apart = (double)call->y[i * call->y_stride + c] - (double)call->middle[c];
            sum += apart;
            square += apart * apart;
            size += fabs(apart);
        }
        if (!(fabs(call->sums[c] - sum) <= 1e-5 * size && fabs(call->squares[c] - square) <= 1e-5 * square))
            fail_msg("%s: %lld pixels, channel %lld of %lld: sums %.9g and %.9g, %.9g and %.9g are expected",
                     set->name, (long long)call->pixels, (long long)c, (long long)call->n, call->sums[c],
                     call->squares[c], sum, square);
    }
}

static void check_store(const kx_kernels *set, test_random *random, const store_case *c)
{
    float bias[KX_STORE_CHANNELS], middle[KX_STORE_CHANNELS], start[KX_STORE_CHANNELS] = {0};
    double sums[KX_STORE_CHANNELS + 1], squares[KX_STORE_CHANNELS + 1];
    kx_tensor r = test_tensor(random, c->pixels, KX_STORE_CHANNELS, 0);
    kx_tensor y = test_tensor(random, c->pixels, c->n, c->stride - c->n), before = test_tensor_copy(&y);
    test_random_fill(random, bias, KX_STORE_CHANNELS);
    test_random_fill(random, middle, KX_STORE_CHANNELS);
    for (int64_t i = 0; i < c->n; i++) start[i] = (float)i, sums[i] = (double)i, squares[i] = 2.0 * (double)i;
    sums[c->n] = squares[c->n] = 77;
    kx_store_pixels call = {.pixels = c->pixels,
                            .n = c->n,
                            .r = kx_tensor_f32(&r),
                            .r_stride = r.stride,
                            .bias = c->biased ? bias : NULL,
                            .y = kx_tensor_f32(&y),
                            .y_stride = y.stride,
                            .add = c->add,
                            .past = c->past,
                            .middle = c->counted ? middle : NULL,
                            .sums = sums,
                            .squares = squares};
    set->store_pixels(&call);
    for (int64_t i = 0; i < c->pixels; i++)
        for (int64_t n = 0; n < c->n; n++) {
            float value = test_at(&r, i, n) + (c->biased ? bias[n] : 0);
            assert_true(test_at(&y, i, n) == (c->add ? test_at(&before, i, n) + value : value));
        }
    if (c->counted) check_sums(set, &call, start);
    assert_true(sums[c->n] == 77 && squares[c->n] == 77);
    test_tensor_check(&y, set->name);
    test_tensor_free(&r);
    test_tensor_free(&y);
    test_tensor_free(&before);
}

static void every_store(const kx_kernels *set)
{
    if (set->store_pixels == NULL) return;
    test_random random = {2};
    for (int64_t n = 1; n <= KX_STORE_CHANNELS; n++)
        for (int what = 0; what < 12; what++) {
            store_case c = {.pixels = 1 + test_random_below(&random, 70),
                            .n = n,
                            .stride = what & 1 ? n + 5 : kx_packed_rows(n) + 16,
                            .biased = what & 1,
                            .counted = what & 2,
                            .add = what / 4 == 1,
                            .past = what / 4 == 2};
            check_store(set, &random, &c);
        }
}

static void results_are_stored_and_counted(void **state)
{
    (void)state;
    test_every_set(every_store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_are_what_their_map_says),
        cmocka_unit_test(results_are_stored_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
