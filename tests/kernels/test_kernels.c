/* Every entry of every kernel set against plain C (and the functions with a curve against double), over odd
 * sizes, with guards around what is written. */
#include "fixture.h"

#include "engine/kernels/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const kx_kernels *portable(void)
{
    return kx_kernel_sets[0].kernels;
}

static void check_close(const float *got, const float *expected, int64_t count, double bound, const char *set,
                        const char *what)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)expected[i]) <= bound))
            fail_msg("%s: %s of %lld values: [%lld] is %.9g, %.9g is expected", set, what, (long long)count,
                     (long long)i, (double)got[i], (double)expected[i]);
    test_guarded_check(got, count, what);
}

static void check_equal(const float *got, const float *expected, int64_t count, const char *set,
                        const char *what)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&got[i], &expected[i], sizeof got[i]) != 0 && !(isnan(got[i]) && isnan(expected[i])))
            fail_msg("%s: %s: [%lld] is %.9g, %.9g is expected", set, what, (long long)i, (double)got[i],
                     (double)expected[i]);
    test_guarded_check(got, count, what);
}

static float *guarded_random(test_random *random, int64_t count)
{
    float *values = test_guarded(count);
    test_random_fill(random, values, count);
    return values;
}

static float *guarded_copy(const float *from, int64_t count)
{
    float *values = test_guarded(count);
    memcpy(values, from, (size_t)count * sizeof(float));
    return values;
}

/* Sizes around every multiple of the lanes. */
static int64_t odd_size(int i)
{
    static const int64_t sizes[] = {1,  2,  3,  4,  5,  7,  8,  9,  15, 16,  17,  23,  24,  31,  32,  33,
                                    47, 48, 49, 63, 64, 65, 95, 96, 97, 127, 128, 129, 255, 256, 257, 1001};
    return sizes[i];
}
enum { ODD_SIZES = 32 };

/* Any width, which no set's own tile takes. */
static void plain_tile(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t a_stride,
                       const float *b, bool add, float *c, int64_t c_stride)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++) {
            double sum = add ? (double)c[r * c_stride + j] : 0;
            for (int64_t k = 0; k < depth; k++) sum += (double)a[r * a_stride + k] * (double)b[k * width + j];
            c[r * c_stride + j] = (float)sum;
        }
}

static void one_tile(const kx_kernels *set, test_random *random, int64_t rows, int64_t width, int64_t depth,
                     bool add)
{
    int64_t a_stride = depth + 3, c_stride = set->tile_cols + 2, count = (rows - 1) * c_stride + width;
    float *a = guarded_random(random, rows * a_stride), *b = guarded_random(random, depth * width);
    float *c = guarded_random(random, count), *expected = guarded_copy(c, count);
    set->tile(rows, width, depth, a, a_stride, b, add, c, c_stride);
    plain_tile(rows, width, depth, a, a_stride, b, add, expected, c_stride);
    check_close(c, expected, count, 1e-6 * (4 + (double)depth), set->name, "tile");
    for (int64_t r = 0; r + 1 < rows; r++) /* between the rows nothing may change */
        assert_memory_equal(c + r * c_stride + width, expected + r * c_stride + width,
                            (size_t)(c_stride - width) * sizeof(float));
    test_guarded_free(a);
    test_guarded_free(b);
    test_guarded_free(c);
    test_guarded_free(expected);
}

static void every_tile(const kx_kernels *set)
{
    test_random random = {1};
    for (int64_t rows = 1; rows <= set->tile_rows; rows++)
        for (int64_t width = set->lanes; width <= set->tile_cols; width += set->lanes)
            for (int64_t depth = 1; depth < 300; depth += 1 + depth / 2) {
                one_tile(set, &random, rows, width, depth, false);
                one_tile(set, &random, rows, width, depth, true);
            }
}

static void tiles_are_those_of_plain_c(void **state)
{
    (void)state;
    test_every_set(every_tile);
}

static void every_transpose(const kx_kernels *set)
{
    test_random random = {2};
    for (int64_t rows = 0; rows <= set->lanes; rows++)
        for (int i = 0; i < 22; i++) {
            int64_t depth = odd_size(i), y_stride = set->tile_cols,
                    count = (depth - 1) * y_stride + set->lanes;
            float *x = guarded_random(&random, (rows + 1) * (depth + 5));
            float *y = guarded_random(&random, count), *expected = guarded_copy(y, count);
            for (int64_t k = 0; k < depth; k++)
                for (int64_t r = 0; r < set->lanes; r++)
                    expected[k * y_stride + r] = r < rows ? x[r * (depth + 5) + k] : 0;
            set->transpose(rows, depth, x, depth + 5, y, y_stride);
            check_equal(y, expected, count, set->name, "transpose");
            test_guarded_free(x);
            test_guarded_free(y);
            test_guarded_free(expected);
        }
}

static void transposes_are_exact(void **state)
{
    (void)state;
    test_every_set(every_transpose);
}

/* All bit patterns of the type (a spread of them for F32), at the given offset. */
static void widen_all(const kx_kernels *set, kx_dtype dtype, int64_t offset, float scale)
{
    size_t size = kx_dtype_bytes(dtype);
    int64_t count = size == 1 ? 256 : 65536;
    uint8_t *bits = malloc((size_t)count * size + 64);
    for (int64_t i = 0; i < count; i++) {
        uint32_t pattern = size == 4 ? (uint32_t)i << 16 | (uint32_t)i : (uint32_t)i;
        memcpy(bits + offset + i * (int64_t)size, &pattern, size);
    }
    float *y = test_guarded(count), *expected = test_guarded(count);
    set->widen(dtype, bits + offset, count, scale, y);
    for (int64_t i = 0; i < count; i++) expected[i] = scale * kx_dtype_get(dtype, bits + offset, (size_t)i);
    check_equal(y, expected, count, set->name, kx_dtype_name(dtype));
    test_guarded_free(y);
    for (int i = 0; i < ODD_SIZES; i++) {
        if (odd_size(i) > 256) continue;
        y = test_guarded(odd_size(i));
        set->widen(dtype, bits + offset, odd_size(i), scale, y);
        check_equal(y, expected, odd_size(i), set->name, kx_dtype_name(dtype));
        test_guarded_free(y);
    }
    test_guarded_free(expected);
    free(bits);
}

static void every_widen(const kx_kernels *set)
{
    static const kx_dtype dtypes[] = {KX_F32, KX_BF16, KX_F16, KX_F8_E4M3, KX_F8_E5M2};
    for (size_t i = 0; i < 5; i++)
        for (int64_t offset = 0; offset < 4; offset++)
            widen_all(set, dtypes[i], offset, offset == 2 ? 0.0371f : 1.0f);
}

static void weights_of_every_type_widen_exactly(void **state)
{
    (void)state;
    test_every_set(every_widen);
}

static void every_dots(const kx_kernels *set)
{
    test_random random = {3};
    for (int64_t rows = 1; rows <= KX_DOT_ROWS_MAX; rows++)
        for (int i = 0; i < ODD_SIZES; i++) {
            int64_t n = odd_size(i);
            float *w = guarded_random(&random, n), *x = guarded_random(&random, rows * (n + 1));
            float *y = guarded_random(&random, rows), *expected = guarded_copy(y, rows);
            float *alone = guarded_copy(y, rows);
            set->dots(rows, n, w, x, n + 1, y);
            portable()->dots(rows, n, w, x, n + 1, expected);
            check_close(y, expected, rows, 1e-6 * (4 + (double)n), set->name, "dots");
            for (int64_t r = 0; r < rows; r++) set->dots(1, n, w, x + r * (n + 1), n + 1, alone + r);
            check_equal(y, alone, rows, set->name, "dots of one row and of several");
            test_guarded_free(w);
            test_guarded_free(x);
            test_guarded_free(y);
            test_guarded_free(expected);
            test_guarded_free(alone);
        }
}

static void dot_products_are_those_of_plain_c(void **state)
{
    (void)state;
    test_every_set(every_dots);
}

static void every_epilogue(const kx_kernels *set)
{
    test_random random = {4};
    for (int kind = KX_EPILOGUE_STORE; kind <= KX_EPILOGUE_MULTIPLY; kind++)
        for (int i = 0; i < ODD_SIZES; i++)
            for (int biased = 0; biased < 2; biased++) {
                int64_t n = odd_size(i);
                float *r = guarded_random(&random, n), *bias = guarded_random(&random, n);
                float *gate = guarded_random(&random, n), *y = guarded_random(&random, n);
                float *expected = guarded_copy(y, n);
                for (int64_t k = 0; k < n; k++) r[k] *= 9;
                set->epilogue((kx_epilogue)kind, n, r, biased ? bias : NULL, gate, y);
                portable()->epilogue((kx_epilogue)kind, n, r, biased ? bias : NULL, gate, expected);
                check_close(y, expected, n, 3e-6, set->name, "epilogue");
                portable()->epilogue((kx_epilogue)kind, n, r, biased ? bias : NULL, gate, expected);
                set->epilogue((kx_epilogue)kind, n, r, biased ? bias : NULL, gate, r); /* in place */
                test_guarded_check(r, n, "epilogue in place");
                if (kind == KX_EPILOGUE_STORE || kind == KX_EPILOGUE_GELU_TANH)
                    check_equal(r, y, n, set->name, "in place");
                test_guarded_free(r);
                test_guarded_free(bias);
                test_guarded_free(gate);
                test_guarded_free(y);
                test_guarded_free(expected);
            }
}

/* Bit by bit what the epilogue stores, at an address that is a multiple of 64 bytes, and at any other. */
static void every_store_past(const kx_kernels *set)
{
    enum { ROOM = 16 };
    if (set->store_past == NULL) return;
    test_random random = {12};
    for (int i = 0; i < ODD_SIZES; i++)
        for (int biased = 0; biased < 2; biased++)
            for (int64_t shift = 0; shift < 2; shift++) {
                int64_t n = odd_size(i);
                float *r = guarded_random(&random, n), *bias = guarded_random(&random, n);
                float *room = test_guarded(n + 2 * ROOM), *expected = guarded_copy(r, n);
                int64_t before = shift + (int64_t)(-(uintptr_t)room % (ROOM * sizeof *room) / sizeof *room);
                for (int64_t k = 0; k < n + 2 * ROOM; k++) room[k] = -7;
                set->store_past(n, r, biased ? bias : NULL, room + before);
                set->epilogue(KX_EPILOGUE_STORE, n, r, biased ? bias : NULL, NULL, expected);
                assert_memory_equal(room + before, expected, (size_t)n * sizeof *room);
                test_guarded_check(room, n + 2 * ROOM, "store past");
                for (int64_t k = 0; k < n + 2 * ROOM; k++)
                    assert_true(room[k] == -7 || (k >= before && k < before + n));
                test_guarded_free(r);
                test_guarded_free(bias);
                test_guarded_free(room);
                test_guarded_free(expected);
            }
}

static void results_past_the_caches_are_the_same(void **state)
{
    (void)state;
    test_every_set(every_store_past);
}

static void epilogues_are_those_of_plain_c(void **state)
{
    (void)state;
    test_every_set(every_epilogue);
}

static void rows_of(const kx_kernels *set, test_random *random, int64_t n)
{
    float *x = guarded_random(random, n), *a = guarded_random(random, n), *b = guarded_random(random, n);
    float *y = test_guarded(n), *expected = test_guarded(n), spread = n > 4 ? 1.0f : 4.0f;
    set->scale(n, x, 0.37f, y);
    portable()->scale(n, x, 0.37f, expected);
    check_equal(y, expected, n, set->name, "scale");
    set->blend(n, a, -0.61f, 0.83f, y);
    portable()->blend(n, a, -0.61f, 0.83f, expected);
    check_close(y, expected, n, 1e-6, set->name, "blend");
    for (int silu = 0; silu < 2; silu++) {
        set->affine(n, x, a, b, silu, y);
        portable()->affine(n, x, a, b, silu, expected);
        check_close(y, expected, n, 1e-6, set->name, "affine");
        set->affine(n, x, NULL, NULL, silu, y);
        portable()->affine(n, x, NULL, NULL, silu, expected);
        check_close(y, expected, n, 1e-6, set->name, "affine without a map");
    }
    set->layer_norm(n, x, 1e-2f, a, 1, b, y);
    portable()->layer_norm(n, x, 1e-2f, a, 1, b, expected);
    check_close(y, expected, n, (double)(4e-6f * spread), set->name, "layer norm");
    set->rms_norm(n, x, 1e-6f, a, y);
    portable()->rms_norm(n, x, 1e-6f, a, expected);
    check_close(y, expected, n, 4e-6, set->name, "rms norm");
    memcpy(y, x, (size_t)n * sizeof(float));
    set->layer_norm(n, y, 1e-2f, a, 0, b, y);
    portable()->layer_norm(n, x, 1e-2f, a, 0, b, expected);
    check_close(y, expected, n, (double)(4e-6f * spread), set->name, "layer norm in place");
    if (n % 2 == 0) {
        memcpy(y, x, (size_t)n * sizeof(float));
        memcpy(expected, x, (size_t)n * sizeof(float));
        set->head_norm_rope(n, y, 1e-6f, a, b, b + n / 2);
        portable()->head_norm_rope(n, expected, 1e-6f, a, b, b + n / 2);
        check_close(y, expected, n, 4e-6, set->name, "head norm and rope");
    }
    test_guarded_free(x);
    test_guarded_free(a);
    test_guarded_free(b);
    test_guarded_free(y);
    test_guarded_free(expected);
}

static void every_row(const kx_kernels *set)
{
    test_random random = {5};
    for (int i = 0; i < ODD_SIZES; i++) rows_of(set, &random, odd_size(i));
}

static void rows_are_those_of_plain_c(void **state)
{
    (void)state;
    test_every_set(every_row);
}

static void far_rows(const kx_kernels *set)
{
    test_random random = {6};
    int64_t n = 3072;
    float *x = guarded_random(&random, n), *one = test_guarded(n), *zero = test_guarded(n),
          *y = test_guarded(n);
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = 1000.0f + x[i];
        one[i] = 1;
        zero[i] = 0;
        mean += (double)x[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) squares += pow((double)x[i] - mean, 2);
    set->layer_norm(n, x, 0, one, 0, zero, y);
    for (int64_t i = 0; i < n; i++)
        assert_true(fabs((double)y[i] - ((double)x[i] - mean) / sqrt(squares / (double)n)) < 2e-4);
    test_guarded_free(x);
    test_guarded_free(one);
    test_guarded_free(zero);
    test_guarded_free(y);
}

static void layer_norm_holds_far_from_zero(void **state)
{
    (void)state;
    test_every_set(far_rows);
}

static void every_softmax(const kx_kernels *set)
{
    test_random random = {7};
    for (int i = 0; i < ODD_SIZES; i++) {
        int64_t n = odd_size(i);
        float *s = guarded_random(&random, n), *expected = guarded_copy(s, n);
        float max = -INFINITY, sum = 0, expected_max = max, expected_sum = sum;
        for (int round = 0; round < 3; round++) {
            float factor = set->softmax(n, s, &max, &sum);
            float expected_factor = portable()->softmax(n, expected, &expected_max, &expected_sum);
            assert_true(max == expected_max && (round > 0 || factor == 0.0f));
            assert_true(fabsf(factor - expected_factor) <= 1e-6f);
            assert_true(fabsf(sum - expected_sum) <= 1e-6f * (float)n * expected_sum);
            check_close(s, expected, n, 4e-7, set->name, "softmax");
            for (int64_t k = 0; k < n; k++) s[k] = expected[k] = 20 * test_random_value(&random);
        }
        test_guarded_free(s);
        test_guarded_free(expected);
    }
}

static void streaming_softmax_is_that_of_plain_c(void **state)
{
    (void)state;
    test_every_set(every_softmax);
}

/* What a test's rows of a softmax carry. */
typedef struct softmax_rows {
    float max[KX_SOFTEN_ROWS], sum[KX_SOFTEN_ROWS], factor[KX_SOFTEN_ROWS], share[KX_SOFTEN_ROWS],
        scale[KX_SOFTEN_ROWS];
} softmax_rows;

static kx_soften_rows begun(softmax_rows *rows)
{
    memset(rows, 0, sizeof *rows);
    for (int r = 0; r < KX_SOFTEN_ROWS; r++) rows->max[r] = -INFINITY;
    return (kx_soften_rows){rows->max, rows->sum, rows->factor, rows->share, rows->scale};
}

/* How many rows the i-th size is tried with: one, a part of a register, one and a part of another, all. */
static int64_t soften_rows_of(int i)
{
    const int64_t counts[] = {1, 3, 19, KX_SOFTEN_ROWS};
    return counts[i % 4];
}

/* Row r of planes of bytes, `plane` bytes apart: the bytes of value k, `size` each. */
static const void *plane_value(const void *planes, int64_t plane, int64_t r, int64_t k, int64_t size)
{
    int64_t values = KX_PLANE_BYTES / size;
    return (const uint8_t *)planes + k / values * plane + r * KX_PLANE_BYTES + k % values * size;
}

/* bf16 exponentials of a row, n of them in whole planes; rounding may change a value by 1/256. */
static void check_soften_row(const float *s, int64_t n, float max, const void *got, int64_t plane, int64_t r,
                             double own_error)
{
    for (int64_t k = 0; k < (n + 31) / 32 * 32; k++) {
        uint16_t bits;
        memcpy(&bits, plane_value(got, plane, r, k, 2), sizeof bits);
        double value = k < n ? exp((double)s[k] - (double)max) : 0;
        assert_true(fabs((double)kx_bf16_to_f32(bits) - value) <= (1.0 / 256 + own_error) * value + 2e-38);
        assert_true(k < n || bits == 0);
    }
}

/* Three blocks one after the other. */
static void every_soften(const kx_kernels *set)
{
    test_random random = {17};
    for (int i = 0; i < ODD_SIZES; i++) {
        int64_t n = odd_size(i), planes = (n + 31) / 32, rows = soften_rows_of(i), stride = n + 3;
        int64_t plane = (rows + 1) * KX_PLANE_BYTES, count = planes * plane / 4 - KX_PLANE_BYTES / 4;
        float *s = guarded_random(&random, rows * stride), *got = test_guarded(count);
        float *expected = test_guarded(count);
        softmax_rows mine, theirs;
        kx_soften_rows state = begun(&mine), expected_state = begun(&theirs);
        for (int round = 0; round < 3; round++) {
            for (int64_t k = 0; k < rows * stride; k++)
                s[k] = (n > 100 ? 60 : 20) * test_random_value(&random);
            set->soften(rows, n, s, stride, &state, (uint16_t *)(void *)got, plane);
            portable()->soften(rows, n, s, stride, &expected_state, (uint16_t *)(void *)expected, plane);
            for (int64_t r = 0; r < rows; r++) {
                assert_true(mine.max[r] == theirs.max[r] && (round > 0 || mine.factor[r] == 0.0f));
                assert_true(fabsf(mine.factor[r] - theirs.factor[r]) <= 1e-6f);
                assert_true(fabsf(mine.sum[r] - theirs.sum[r]) <= 2e-4f * theirs.sum[r]);
                check_soften_row(s + r * stride, n, mine.max[r], got, plane, r, 2e-4);
                check_soften_row(s + r * stride, n, mine.max[r], expected, plane, r, 2e-6);
            }
            test_guarded_check(got, count, "soften");
            test_guarded_check(expected, count, "soften");
        }
        s[n - 1] = NAN;
        set->soften(rows, n, s, stride, &state, (uint16_t *)(void *)got, plane);
        for (int64_t r = 0; r < rows; r++) assert_true(isnan(mine.sum[r]) == (r == 0));
        test_guarded_free(s);
        test_guarded_free(got);
        test_guarded_free(expected);
    }
}

static void exponentials_in_bf16_are_close_to_exp(void **state)
{
    (void)state;
    test_every_set(every_soften);
}

/* The bytes of a row: within one step of 254 exp(s - top), ones past the end. Returns the sum of the weights
 * that they and what is spread over all keys stand for. */
static double check_weights(const float *s, int64_t n, double top, const void *got, int64_t plane, int64_t r,
                            const softmax_rows *rows)
{
    double weights = 0;
    for (int64_t k = 0; k < (n + KX_PLANE_BYTES - 1) / KX_PLANE_BYTES * KX_PLANE_BYTES; k++) {
        int byte = *(const uint8_t *)plane_value(got, plane, r, k, 1);
        double value = k < n ? 254 * exp((double)s[k] - top) : 0;
        assert_true(byte >= 1 && fabs(byte - 1 - value) <= (k < n ? 0.5 + 0.03 : 0));
        if (k < n) weights += (byte - KX_OPERAND_OFFSET) * (double)rows->scale[r] + (double)rows->share[r];
    }
    return weights;
}

/* Row r after a block of n values, and how it was before; *exact: the sum of all exponentials below what was
 * the maximum then. Weights add up to the row's sum, which is exact. */
static void check_soften_i8(const float *row, int64_t n, const void *got, int64_t plane, int64_t r,
                            const softmax_rows *now, const softmax_rows *before, double *exact)
{
    double max = (double)now->max[r], old = (double)before->max[r], sum = (double)now->sum[r];
    float top = row[0];
    for (int64_t k = 1; k < n; k++)
        if (row[k] > top) top = row[k];
    assert_true(now->max[r] == (before->max[r] > top ? before->max[r] : top));
    assert_true(fabs((double)now->factor[r] - exp(old - max)) <= 1e-6);
    assert_true(fabs((double)now->scale[r] - exp((double)top - max) / 254) <= 1e-8);
    double weights = check_weights(row, n, (double)top, got, plane, r, now);
    *exact *= exp(old - max);
    for (int64_t k = 0; k < n; k++) *exact += exp((double)row[k] - max);
    assert_true(fabs(sum - *exact) <= 2e-4 * *exact);
    double grown = sum - (double)before->sum[r] * (double)now->factor[r];
    assert_true(fabs(weights - grown) <= 2e-5 * sum);
}

/* Three blocks one after the other, then a NaN in one row. */
static void every_soften_i8(const kx_kernels *set)
{
    test_random random = {18};
    for (int i = 0; i < ODD_SIZES; i++) {
        int64_t n = odd_size(i), planes = (n + KX_PLANE_BYTES - 1) / KX_PLANE_BYTES;
        int64_t rows = soften_rows_of(i), stride = n + 3;
        int64_t plane = (rows + 1) * KX_PLANE_BYTES, count = planes * plane / 4 - KX_PLANE_BYTES / 4;
        float *s = guarded_random(&random, rows * stride), *got = test_guarded(count);
        softmax_rows now;
        kx_soften_rows state = begun(&now);
        double exact[KX_SOFTEN_ROWS] = {0};
        for (int round = 0; round < 3; round++) {
            softmax_rows before = now;
            for (int64_t k = 0; k < rows * stride; k++) s[k] = 6 * test_random_value(&random);
            set->soften_i8(rows, n, s, stride, &state, (uint8_t *)(void *)got, plane);
            for (int64_t r = 0; r < rows; r++)
                check_soften_i8(s + r * stride, n, got, plane, r, &now, &before, &exact[r]);
            assert_true(round > 0 || now.factor[0] == 0.0f);
        }
        s[n - 1] = NAN;
        set->soften_i8(rows, n, s, stride, &state, (uint8_t *)(void *)got, plane);
        for (int64_t r = 0; r < rows; r++) assert_true(isnan(now.sum[r]) == (r == 0));
        test_guarded_check(got, count, "soften_i8");
        test_guarded_free(s);
        test_guarded_free(got);
    }
}

static void weights_in_int8_are_close_to_exp_and_add_up(void **state)
{
    (void)state;
    test_every_set(every_soften_i8);
}

static void every_column_sum(const kx_kernels *set)
{
    test_random random = {8};
    for (int i = 0; i < ODD_SIZES; i++) {
        int64_t n = odd_size(i), rows = 9;
        float *x = guarded_random(&random, rows * (n + 2));
        double *sums = calloc((size_t)(3 * n), sizeof *sums), *expected = sums + n, *mean = expected + n;
        for (int64_t k = 0; k < n; k++) mean[k] = 0.01 * (double)k;
        set->column_sums(rows, n, x, n + 2, NULL, sums);
        portable()->column_sums(rows, n, x, n + 2, NULL, expected);
        set->column_sums(rows, n, x, n + 2, mean, sums);
        portable()->column_sums(rows, n, x, n + 2, mean, expected);
        assert_memory_equal(sums, expected, (size_t)n * sizeof *sums);
        free(sums);
        test_guarded_free(x);
    }
}

static void column_sums_are_equal_to_plain_c(void **state)
{
    (void)state;
    test_every_set(every_column_sum);
}

static void every_rotation(const kx_kernels *set)
{
    test_random random = {10};
    for (int64_t n = 1; n <= KX_HADAMARD_MAX; n *= 2) {
        float *x = guarded_random(&random, n), *y = test_guarded(n), *plain = test_guarded(n);
        set->hadamard(n, x, y);
        portable()->hadamard(n, x, plain);
        assert_memory_equal(y, plain, (size_t)n * sizeof *y);
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += __builtin_parityll((uint64_t)((i & k) ^ (k & k >> 1))) ? -(double)x[k] : (double)x[k];
            assert_true(fabs((double)y[i] - sum) < 1e-6 * (double)n);
        }
        test_guarded_check(y, n, "hadamard");
        test_guarded_free(x);
        test_guarded_free(y);
        test_guarded_free(plain);
    }
}

/* The signs are those of the Rudin-Shapiro sequence: the number of pairs of neighbouring ones in k. */
static void hadamard_is_the_formula_and_the_same_bytes_on_every_set(void **state)
{
    (void)state;
    test_every_set(every_rotation);
}

static void every_place(const kx_kernels *set)
{
    test_random random = {9};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < ODD_SIZES; i++) {
        int64_t n = odd_size(i);
        float *x = guarded_random(&random, n);
        x[0] = 3e38f;
        x[n] = NAN; /* not part of the row */
        assert_true(set->all_finite(n, x));
        for (int64_t k = 0; k < n; k++) {
            float old = x[k];
            x[k] = bad[k % 3];
            assert_false(set->all_finite(n, x));
            x[k] = old;
        }
        test_guarded_free(x);
    }
}

static void a_value_that_is_not_finite_is_found_anywhere(void **state)
{
    (void)state;
    test_every_set(every_place);
}

enum { CURVE_POINTS = 400000 };

/* exp through softmax with the maximum held at 0; sigmoid and GELU through their epilogues. */
static void every_curve(const kx_kernels *set)
{
    double exp_error = 0, silu_error = 0, gelu_error = 0;
    float *x = test_guarded(CURVE_POINTS), *y = test_guarded(CURVE_POINTS);
    for (int64_t i = 0; i < CURVE_POINTS; i++) x[i] = y[i] = -87.0f * (float)i / CURVE_POINTS;
    float max = 0, sum = 0;
    set->softmax(CURVE_POINTS, y, &max, &sum);
    for (int64_t i = 0; i < CURVE_POINTS; i++)
        exp_error = fmax(exp_error, fabs((double)y[i] / exp((double)x[i]) - 1));
    for (int64_t i = 0; i < CURVE_POINTS; i++) x[i] = -80.0f + 120.0f * ((float)i + 0.5f) / CURVE_POINTS;
    set->epilogue(KX_EPILOGUE_SILU, CURVE_POINTS, x, NULL, NULL, y);
    for (int64_t i = 0; i < CURVE_POINTS; i++)
        silu_error = fmax(silu_error, fabs((double)y[i] * (1 + exp(-(double)x[i])) / (double)x[i] - 1));
    for (int64_t i = 0; i < CURVE_POINTS; i++) x[i] = -20.0f + 40.0f * ((float)i + 0.5f) / CURVE_POINTS;
    set->epilogue(KX_EPILOGUE_GELU_TANH, CURVE_POINTS, x, NULL, NULL, y);
    for (int64_t i = 0; i < CURVE_POINTS; i++) {
        double r = (double)x[i], u = sqrt(2 / 3.14159265358979323846) * (r + 0.044715 * r * r * r);
        gelu_error = fmax(gelu_error, fabs((double)y[i] - r / (1 + exp(-2 * u))) / fabs(r));
    }
    print_message("# %s: largest error of exp %.2e, of SiLU %.2e (both relative), of GELU %.2e |x|\n",
                  set->name, exp_error, silu_error, gelu_error);
    assert_true(exp_error < 1.3e-7);
    assert_true(silu_error < 2.5e-7);
    assert_true(gelu_error < 2e-7);
    test_guarded_free(x);
    test_guarded_free(y);
}

static void curves_are_within_two_units_of_the_last_place(void **state)
{
    (void)state;
    test_every_set(every_curve);
}

static void exponentials_end_well(const kx_kernels *set)
{
    float s[20] = {0, -103.0f, -104.5f, -1000.0f, -INFINITY, -87.5f, -95.0f, NAN}, max = 0, sum = 0;
    set->softmax(20, s, &max, &sum);
    assert_true(s[0] == 1.0f && s[2] == 0.0f && s[3] == 0.0f && s[4] == 0.0f && isnan(s[7]));
    assert_true(fabs((double)s[1] - exp(-103.0)) < 1.5e-45 && fabs((double)s[5] / exp(-87.5) - 1) < 1e-6);
    assert_true(fabs((double)s[6] - exp(-95.0)) < 1.5e-45 && isnan(sum));
    float x[20] = {0, 200.0f, -200.0f, 1e30f, -88.0f, NAN}, y[20];
    set->epilogue(KX_EPILOGUE_SILU, 20, x, NULL, NULL, y);
    assert_true(y[0] == 0.0f && y[1] == 200.0f && fabsf(y[2]) < 1e-30f && y[3] == 1e30f && isnan(y[5]));
    assert_true(y[4] < 0.0f && y[4] > -1e-35f);
    set->epilogue(KX_EPILOGUE_GELU_TANH, 20, x, NULL, NULL, y);
    assert_true(y[0] == 0.0f && y[1] == 200.0f && y[2] == 0.0f && y[3] == 1e30f && isnan(y[5]));
}

static void curves_hold_at_their_ends(void **state)
{
    (void)state;
    test_every_set(exponentials_end_well);
}

/* The first from the best end that this processor has and would rather use. */
static const kx_kernels *best_set(void)
{
    size_t i = kx_kernel_set_count - 1;
    while (!kx_kernel_sets[i].supported() || !kx_kernel_sets[i].preferred()) i--;
    return kx_kernel_sets[i].kernels;
}

static void the_best_set_is_chosen_by_itself(void **state)
{
    (void)state;
    kx_error err = {0};
    const kx_kernels *kernels = NULL;
    assert_ok(kx_kernels_choose(NULL, &kernels, &err));
    assert_ptr_equal(kernels, best_set());
    kernels = NULL;
    assert_ok(kx_kernels_choose("auto", &kernels, &err));
    assert_ptr_equal(kernels, best_set());
}

static void a_set_is_chosen_by_name(void **state)
{
    (void)state;
    kx_error err = {0};
    const kx_kernels *kernels = NULL;
    assert_ok(kx_kernels_choose("portable", &kernels, &err));
    assert_string_equal(kernels->name, "portable");
    for (size_t i = 0; i < kx_kernel_set_count; i++) {
        const kx_kernel_set *set = &kx_kernel_sets[i];
        const kx_kernels *named = NULL;
        kx_error refusal = {0};
        kx_status status = kx_kernels_choose(set->kernels->name, &named, &refusal);
        assert_int_equal(status, set->supported() ? KX_OK : KX_ERR_INPUT);
        if (status == KX_OK) assert_ptr_equal(named, set->kernels);
        if (status != KX_OK) assert_non_null(strstr(refusal.message, set->kernels->name));
    }
    assert_int_equal(kx_kernels_choose("sse9", &kernels, &err), KX_ERR_INPUT);
    assert_non_null(strstr(err.message, "sse9"));
    assert_non_null(strstr(err.message, "portable"));
}

/* The loops that `kontext bench` measures peaks by. */
static void peak_loops_run_on_the_sets_that_they_name(void **state)
{
    (void)state;
    size_t ranks[KX_BENCH_PRECISIONS] = {0};
    for (size_t i = 0; i < kx_peak_loop_count; i++) {
        const kx_peak_loop *loop = &kx_peak_loops[i];
        size_t rank = 0;
        while (rank < kx_kernel_set_count && strcmp(kx_kernel_sets[rank].kernels->name, loop->set) != 0)
            rank++;
        if (rank == kx_kernel_set_count) fail_msg("%s is of no set: %s", loop->instruction, loop->set);
        assert_true(ranks[loop->precision] <= rank && loop->operations > 0); /* the plainest first */
        ranks[loop->precision] = rank;
        if (kx_kernel_sets[rank].supported()) assert_true(isfinite(loop->run(100)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_set_is_chosen_by_itself),
        cmocka_unit_test(a_set_is_chosen_by_name),
        cmocka_unit_test(tiles_are_those_of_plain_c),
        cmocka_unit_test(transposes_are_exact),
        cmocka_unit_test(weights_of_every_type_widen_exactly),
        cmocka_unit_test(dot_products_are_those_of_plain_c),
        cmocka_unit_test(epilogues_are_those_of_plain_c),
        cmocka_unit_test(results_past_the_caches_are_the_same),
        cmocka_unit_test(rows_are_those_of_plain_c),
        cmocka_unit_test(layer_norm_holds_far_from_zero),
        cmocka_unit_test(streaming_softmax_is_that_of_plain_c),
        cmocka_unit_test(exponentials_in_bf16_are_close_to_exp),
        cmocka_unit_test(weights_in_int8_are_close_to_exp_and_add_up),
        cmocka_unit_test(column_sums_are_equal_to_plain_c),
        cmocka_unit_test(hadamard_is_the_formula_and_the_same_bytes_on_every_set),
        cmocka_unit_test(a_value_that_is_not_finite_is_found_anywhere),
        cmocka_unit_test(curves_are_within_two_units_of_the_last_place),
        cmocka_unit_test(curves_hold_at_their_ends),
        cmocka_unit_test(peak_loops_run_on_the_sets_that_they_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
