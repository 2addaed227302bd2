/* kx_op_conv and kx_op_group_norm_affine against their formulas in double. */
#include "amx_emulated.h"
#include "fixture.h"

#include "engine/kernels/conv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS_MOST = 512 };

typedef struct conv_case {
    kx_conv conv;
    kx_conv_mode mode;
    kx_conv_input input;
    bool add;
    kx_precision precision;
    bool by_tiles; /* in bf16, once rounded or as the sum of two */
    kx_tensor x, y;
    double mean[CHANNELS_MOST], squares[CHANNELS_MOST];
    kx_channel_stats stats; /* what the op told of y */
} conv_case;

/* What a result may be off, given the sum of the absolute values of its terms. Winograd's error is one of the
 * whole tile, whose values are near 1, and not of the terms of this sum. In bf16 the rounded operands are
 * compared, but an activation on the edge between two roundings may fall to the other side. */
static double error_bound(const conv_case *c, double absolute)
{
    if (c->by_tiles) return (c->conv.rounded ? 2e-4 : 1e-5) * absolute + 1e-7;
    return c->precision > KX_PRECISION_F32 ? 2e-5 * (absolute + 1) : 1e-6 * absolute + 1e-7;
}

static double operand_of(const conv_case *c, double value)
{
    bool rounded = c->by_tiles && c->conv.rounded;
    return rounded ? (double)kx_bf16_to_f32(kx_bf16_from_f32((float)value)) : value;
}

static void call_conv(kx_ops *ops, void *arguments)
{
    conv_case *c = arguments;
    ops->precision = c->precision;
    c->stats = (kx_channel_stats){.mean = c->mean, .squares = c->squares};
    kx_op_conv(ops, &c->x, &c->input, &c->conv, c->mode, c->add, &c->y, &c->stats);
}

/* The value at (y, x) of the padded, activated, for UP enlarged input. */
static double input_at(const conv_case *c, int64_t y, int64_t x, int64_t channel)
{
    int64_t grow = c->mode == KX_CONV_UP ? 2 : 1;
    if (y < 0 || x < 0 || y >= c->x.height * grow || x >= c->x.width * grow) return 0;
    double value = (double)test_at(&c->x, y / grow * c->x.width + x / grow, channel);
    if (c->input.scale != NULL)
        value =
            (double)test_at(c->input.scale, 0, channel) * value + (double)test_at(c->input.shift, 0, channel);
    return c->input.silu ? value / (1 + exp(-value)) : value;
}

static double expected_at(const conv_case *c, int64_t size, int64_t y, int64_t x, int64_t n, double *absolute)
{
    double sum = c->conv.bias == NULL ? 0 : (double)c->conv.bias[n];
    int64_t stride = c->mode == KX_CONV_DOWN ? 2 : 1, before = c->mode == KX_CONV_DOWN ? 0 : size / 2;
    *absolute = fabs(sum);
    for (int64_t channel = 0; channel < c->x.cols; channel++)
        for (int64_t tap = 0; tap < size * size; tap++) {
            double value =
                input_at(c, y * stride - before + tap / size, x * stride - before + tap % size, channel);
            double weight = (double)test_weight_at(&c->conv.weight, n, channel * size * size + tap);
            double term = operand_of(c, value) * operand_of(c, weight);
            sum += term;
            *absolute += fabs(term);
        }
    return sum;
}

static void check_conv(const conv_case *c, int64_t size, const kx_tensor *before, const char *what)
{
    for (int64_t row = 0; row < c->y.rows; row++)
        for (int64_t n = 0; n < c->y.cols; n++) {
            double absolute,
                expected = expected_at(c, size, row / c->y.width, row % c->y.width, n, &absolute);
            if (c->add) expected += (double)test_at(before, row, n);
            double actual = (double)test_at(&c->y, row, n);
            if (!(fabs(actual - expected) <= error_bound(c, absolute + fabs(expected))))
                fail_msg(
                    "%s: mode %d, %lldx%lld, %lld -> %lld channels, k %lld: pixel %lld channel %lld is %.9g, "
                    "%.9g is expected",
                    what, (int)c->mode, (long long)c->x.height, (long long)c->x.width, (long long)c->x.cols,
                    (long long)c->y.cols, (long long)size, (long long)row, (long long)n, actual, expected);
        }
    test_tensor_check(&c->y, what);
}

/* Each channel's, against those of the y that was written. */
static void check_stats(const conv_case *c, const char *what)
{
    assert_true(c->stats.known == c->by_tiles);
    for (int64_t n = 0; n < c->y.cols && c->stats.known; n++) {
        double mean = 0, squares = 0, rows = (double)c->y.rows;
        for (int64_t row = 0; row < c->y.rows; row++) mean += (double)test_at(&c->y, row, n) / rows;
        for (int64_t row = 0; row < c->y.rows; row++)
            squares += pow((double)test_at(&c->y, row, n) - mean, 2);
        double off = fabs(c->mean[n] - mean), spread = sqrt(squares / rows);
        if (!(off <= 1e-6 * (spread + 1e-6) && fabs(c->squares[n] - squares) <= 1e-5 * squares + 1e-12))
            fail_msg("%s: mode %d: channel %lld has mean %.9g and squares %.9g, told are %.9g and %.9g", what,
                     (int)c->mode, (long long)n, mean, squares, c->mean[n], c->squares[n]);
    }
}

typedef struct conv_shape {
    int64_t height, width, in, out, size;
    kx_conv_mode mode;
    kx_dtype dtype;
    int rank;
    bool affine, silu, add, rounded;
    kx_precision precision;
} conv_shape;

static conv_case make_case(test_random *random, conv_shape shape, float *bias, kx_tensor *scale,
                           kx_tensor *shift)
{
    int64_t extents[4] = {shape.out, shape.in, shape.size, shape.size};
    conv_case c = {
        .mode = shape.mode, .add = shape.add, .precision = shape.precision, .input = {.silu = shape.silu}};
    c.conv.weight =
        test_weight(random, shape.rank, extents, &shape.dtype, 1, shape.precision != KX_PRECISION_BF16);
    c.conv.bias = bias;
    c.conv.rounded = shape.rounded;
    c.input.scale = shape.affine ? scale : NULL;
    c.input.shift = shape.affine ? shift : NULL;
    c.x = test_map(random, shape.height, shape.width, shape.in, 3);
    int64_t height =
        shape.mode == KX_CONV_UP ? 2 * shape.height : shape.height >> (shape.mode == KX_CONV_DOWN);
    int64_t width = shape.mode == KX_CONV_UP ? 2 * shape.width : shape.width >> (shape.mode == KX_CONV_DOWN);
    c.y = test_map(random, height, width, shape.out, 5);
    return c;
}

static void run_case(const kx_kernels *kernels, test_random *random, conv_shape shape, size_t threads)
{
    float *bias = test_guarded(shape.out);
    test_random_fill(random, bias, shape.out);
    kx_tensor scale = test_tensor(random, 1, shape.in, 0), shift = test_tensor(random, 1, shape.in, 0);
    conv_case c = make_case(random, shape, shape.out % 2 == 0 ? bias : NULL, &scale, &shift);
    c.by_tiles = kx_packed_conv_fits(&(kx_ops){.kernels = kernels, .precision = c.precision}, &c.conv);
    kx_tensor before = test_tensor_copy(&c.y);
    uint64_t flops = test_run_op(kernels, threads, call_conv, &c);
    assert_int_equal(flops, 2 * shape.size * shape.size * shape.in * c.y.rows * shape.out);
    check_conv(&c, shape.size, &before, kernels->name);
    check_stats(&c, kernels->name);
    test_tensor_free(&before);
    test_tensor_free(&c.x);
    test_tensor_free(&c.y);
    test_tensor_free(&scale);
    test_tensor_free(&shift);
    test_weight_free(&c.conv.weight);
    test_guarded_free(bias);
}

static void every_shape(const kx_kernels *kernels)
{
    static const conv_shape shapes[] = {
        {.height = 1, .width = 1, .in = 1, .out = 1, .size = 3, .rank = 4},
        {.height = 3, .width = 5, .in = 3, .out = 16, .size = 3, .rank = 4, .silu = true, .affine = true},
        {.height = 17, .width = 19, .in = 16, .out = 3, .size = 3, .rank = 4, .silu = true, .affine = true},
        {.height = 9, .width = 40, .in = 20, .out = 50, .size = 3, .rank = 4, .add = true, .dtype = KX_BF16},
        {.height = 20, .width = 33, .in = 100, .out = 97, .size = 3, .rank = 4, .silu = true},
        {.height = 4,
         .width = 6,
         .in = 8,
         .out = 12,
         .size = 3,
         .rank = 4,
         .mode = KX_CONV_DOWN,
         .affine = true},
        {.height = 34,
         .width = 22,
         .in = 33,
         .out = 64,
         .size = 3,
         .rank = 4,
         .mode = KX_CONV_DOWN,
         .silu = true},
        {.height = 2,
         .width = 3,
         .in = 7,
         .out = 9,
         .size = 3,
         .rank = 4,
         .mode = KX_CONV_UP,
         .affine = true},
        {.height = 11,
         .width = 9,
         .in = 32,
         .out = 66,
         .size = 3,
         .rank = 4,
         .mode = KX_CONV_UP,
         .add = true},
        {.height = 7, .width = 21, .in = 40, .out = 30, .size = 1, .rank = 4, .add = true, .dtype = KX_F16},
        {.height = 13, .width = 5, .in = 24, .out = 96, .size = 1, .rank = 2, .affine = true},
        {.height = 5, .width = 4, .in = 300, .out = 8, .size = 3, .rank = 4, .dtype = KX_F8_E4M3}};
    test_random random = {1};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        run_case(kernels, &random, shapes[i], 1 + i % 3);
}

static void conv_of_any_shape_and_mode_is_the_formula(void **state)
{
    (void)state;
    test_every_set(every_shape);
}

/* Precisions below f32 take Winograd's way for the first ones: maps smaller than a tile, of whole tiles, and
 * of several blocks with a rest. Where there are 32 channels and more on both sides, sets with matrix tiles
 * round to bf16. */
static void every_reduced_shape(const kx_kernels *kernels)
{
    static const conv_shape shapes[] = {
        {.height = 1, .width = 1, .in = 8, .out = 1},
        {.height = 6, .width = 12, .in = 16, .out = 3, .silu = true, .affine = true},
        {.height = 7, .width = 5, .in = 20, .out = 50, .add = true, .dtype = KX_BF16},
        {.height = 20, .width = 33, .in = 100, .out = 97, .silu = true},
        {.height = 3, .width = 7, .in = 300, .out = 40, .affine = true},
        {.height = 62, .width = 77, .in = 9, .out = 17, .silu = true, .add = true, .dtype = KX_F16},
        {.height = 5, .width = 8, .in = 17, .out = 211, .mode = KX_CONV_UP},
        {.height = 11, .width = 9, .in = 32, .out = 66, .mode = KX_CONV_UP, .add = true, .affine = true},
        {.height = 6, .width = 4, .in = 24, .out = 30, .mode = KX_CONV_DOWN},
        {.height = 1, .width = 1, .in = 32, .out = 32, .rounded = true},
        {.height = 9, .width = 70, .in = 65, .out = 48, .silu = true, .affine = true, .rounded = true},
        {.height = 8, .width = 134, .in = 288, .out = 40, .mode = KX_CONV_DOWN, .add = true, .rounded = true},
        {.height = 9, .width = 70, .in = 65, .out = 48, .silu = true, .affine = true, .dtype = KX_BF16},
        {.height = 8, .width = 10, .in = 288, .out = 40, .mode = KX_CONV_DOWN, .add = true, .dtype = KX_BF16},
        {.height = 11, .width = 9, .in = 32, .out = 66, .mode = KX_CONV_UP, .dtype = KX_BF16},
        {.height = 11, .width = 37, .in = 40, .out = 66, .mode = KX_CONV_UP, .affine = true, .rounded = true},
        {.height = 3, .width = 5, .in = 33, .out = 32, .mode = KX_CONV_UP, .add = true, .rounded = true},
        {.height = 6, .width = 4, .in = 3, .out = 30},
        {.height = 5, .width = 6, .in = 24, .out = 30, .size = 1},
        {.height = 5,
         .width = 60,
         .in = 40,
         .out = 70,
         .size = 1,
         .rank = 2,
         .affine = true,
         .dtype = KX_BF16},
        {.height = 9, .width = 6, .in = 33, .out = 32, .size = 1, .add = true, .rounded = true}};
    test_random random = {4};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        conv_shape shape = shapes[i];
        if (shape.rank == 0) shape.rank = 4;
        shape.precision = KX_PRECISION_BF16;
        if (shape.size == 0) shape.size = 3;
        run_case(kernels, &random, shape, 1 + i % 3);
    }
}

static void conv_of_a_lower_precision_is_close_to_the_formula(void **state)
{
    (void)state;
    test_every_set(every_reduced_shape);
    every_reduced_shape(test_amx_emulated());
}

static void equal_bytes(const kx_kernels *kernels)
{
    static const conv_shape shapes[] = {
        {.height = 33, .width = 20, .in = 24, .out = 200, .size = 3, .rank = 4, .silu = true},
        {.height = 34, .width = 40, .in = 8, .out = 70, .size = 3, .rank = 4, .mode = KX_CONV_DOWN},
        {.height = 16, .width = 9, .in = 8, .out = 70, .size = 3, .rank = 4, .mode = KX_CONV_UP},
        {.height = 93,
         .width = 70,
         .in = 24,
         .out = 200,
         .size = 3,
         .rank = 4,
         .precision = KX_PRECISION_BF16},
        {.height = 5, .width = 8, .in = 40, .out = 300, .size = 3, .rank = 4, .precision = KX_PRECISION_BF16},
        {.height = 50,
         .width = 68,
         .in = 32,
         .out = 33,
         .size = 3,
         .rank = 4,
         .rounded = true,
         .precision = KX_PRECISION_BF16},
        {.height = 26,
         .width = 39,
         .in = 8,
         .out = 70,
         .size = 3,
         .rank = 4,
         .mode = KX_CONV_UP,
         .precision = KX_PRECISION_BF16},
        {.height = 26,
         .width = 39,
         .in = 32,
         .out = 70,
         .size = 3,
         .rank = 4,
         .mode = KX_CONV_UP,
         .rounded = true,
         .precision = KX_PRECISION_BF16}};
    test_random random = {2};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        conv_case c = make_case(&random, shapes[i], NULL, NULL, NULL);
        kx_tensor y = c.y;
        test_run_op(kernels, 1, call_conv, &c);
        conv_case one = c;
        for (size_t threads = 2; threads <= 5; threads++) {
            c.y = test_map(&random, y.height, y.width, y.cols, 5);
            test_run_op(kernels, threads, call_conv, &c);
            assert_memory_equal(c.y.data, y.data, (size_t)(y.rows * y.stride) * sizeof(float));
            if (c.stats.known) {
                assert_memory_equal(c.mean, one.mean, (size_t)y.cols * sizeof c.mean[0]);
                assert_memory_equal(c.squares, one.squares, (size_t)y.cols * sizeof c.squares[0]);
            }
            test_tensor_free(&c.y);
        }
        test_tensor_free(&c.x);
        test_tensor_free(&y);
        test_weight_free(&c.conv.weight);
    }
}

static void conv_gives_the_same_bytes_for_any_threads(void **state)
{
    (void)state;
    test_every_set(equal_bytes);
    equal_bytes(test_amx_emulated());
}

typedef struct group_case {
    kx_tensor x, scale, shift;
    int64_t groups;
    float *weight, *bias;
    kx_channel_stats stats; /* of x, if known */
} group_case;

static void call_group_norm(kx_ops *ops, void *arguments)
{
    group_case *c = arguments;
    kx_op_group_norm_affine(ops, &c->x, &c->stats, c->groups, 1e-6f, c->weight, c->bias, &c->scale,
                            &c->shift);
}

static void check_group_norm(const group_case *c)
{
    int64_t per_group = c->x.cols / c->groups;
    for (int64_t channel = 0; channel < c->x.cols; channel++) {
        int64_t first = channel / per_group * per_group;
        double sum = 0, squares = 0, count = (double)(c->x.rows * per_group);
        for (int64_t r = 0; r < c->x.rows; r++)
            for (int64_t i = first; i < first + per_group; i++) sum += (double)test_at(&c->x, r, i);
        for (int64_t r = 0; r < c->x.rows; r++)
            for (int64_t i = first; i < first + per_group; i++)
                squares += pow((double)test_at(&c->x, r, i) - sum / count, 2);
        double scale = (double)c->weight[channel] / sqrt(squares / count + 1e-6);
        double shift = (double)c->bias[channel] - sum / count * scale;
        assert_true(fabs((double)test_at(&c->scale, 0, channel) - scale) <= 2e-7 * fabs(scale));
        assert_true(fabs((double)test_at(&c->shift, 0, channel) - shift) <= 2e-7 * (fabs(shift) + 1));
    }
}

/* The same from what is known of the channels. */
static void check_known_stats(const kx_kernels *kernels, const group_case *what)
{
    double mean[CHANNELS_MOST] = {0}, squares[CHANNELS_MOST] = {0};
    group_case c = *what;
    for (int64_t i = 0; i < c.x.cols; i++) {
        for (int64_t r = 0; r < c.x.rows; r++) mean[i] += (double)test_at(&c.x, r, i) / (double)c.x.rows;
        for (int64_t r = 0; r < c.x.rows; r++) squares[i] += pow((double)test_at(&c.x, r, i) - mean[i], 2);
    }
    c.stats = (kx_channel_stats){.mean = mean, .squares = squares, .known = true};
    test_run_op(kernels, 2, call_group_norm, &c);
    check_group_norm(&c);
}

static void every_group(const kx_kernels *kernels)
{
    test_random random = {3};
    static const int64_t shapes[][3] = {{1, 4, 2}, {33, 32, 32}, {2500, 64, 32}, {5000, 15, 5}};
    for (size_t i = 0; i < 4; i++) {
        int64_t channels = shapes[i][1];
        group_case c = {
            .groups = shapes[i][2], .weight = test_guarded(channels), .bias = test_guarded(channels)};
        test_random_fill(&random, c.weight, channels);
        test_random_fill(&random, c.bias, channels);
        c.x = test_map(&random, shapes[i][0], 1, channels, 2);
        for (int64_t r = 0; r < c.x.rows;
             r++) /* far from zero, nearly constant: a one-pass variance fails here; or with a slope, so that
                     parts have means of their own */
            for (int64_t k = 0; k < channels; k++) {
                float *value = kx_tensor_f32(&c.x) + r * c.x.stride + k;
                *value = i % 2 == 1 ? *value + 1e-3f * (float)r : -3.0f + 1e-3f * *value;
            }
        c.scale = test_tensor(&random, 1, channels, 0);
        c.shift = test_tensor(&random, 1, channels, 0);
        test_run_op(kernels, 1, call_group_norm, &c);
        check_group_norm(&c);
        kx_tensor scale = test_tensor_copy(&c.scale), shift = test_tensor_copy(&c.shift);
        for (size_t threads = 2; threads <= 5; threads++) {
            test_run_op(kernels, threads, call_group_norm, &c);
            assert_memory_equal(c.scale.data, scale.data, (size_t)channels * sizeof(float));
            assert_memory_equal(c.shift.data, shift.data, (size_t)channels * sizeof(float));
        }
        check_known_stats(kernels, &c);
        test_tensor_check(&c.scale, "group norm scale");
        test_tensor_check(&c.shift, "group norm shift");
        test_tensor_free(&scale);
        test_tensor_free(&shift);
        test_tensor_free(&c.x);
        test_tensor_free(&c.scale);
        test_tensor_free(&c.shift);
        test_guarded_free(c.weight);
        test_guarded_free(c.bias);
    }
}

static void group_norm_is_exact_far_from_zero_and_equal_for_any_threads(void **state)
{
    (void)state;
    test_every_set(every_group);
}

/* A picture whose result goes past the caches, and its upper half, which does not. */
static void every_large_picture(const kx_kernels *kernels)
{
    enum { SIDE = 520, CHANNELS = 32 }; /* 33 MiB */
    if (kernels->sum_bf16 == NULL || kernels->store_past == NULL) return;
    test_random random = {10};
    float *bias = test_guarded(CHANNELS);
    test_random_fill(&random, bias, CHANNELS);
    conv_case c = {.mode = KX_CONV_SAME, .precision = KX_PRECISION_BF16};
    c.conv = (kx_conv){.weight = test_weight(&random, 4, (int64_t[]){CHANNELS, CHANNELS, 1, 1},
                                             (kx_dtype[]){KX_BF16}, 1, false),
                       .bias = bias,
                       .rounded = true};
    c.x = test_tensor(&random, SIDE * SIDE, CHANNELS, 0);
    c.y = test_tensor(&random, SIDE * SIDE, CHANNELS, 0);
    c.x.height = c.x.width = c.y.height = c.y.width = SIDE;
    assert_true(kx_driver_goes_past(kernels, KX_EPILOGUE_STORE, &c.y));
    test_run_op(kernels, 2, call_conv, &c);
    conv_case half = c;
    half.x.height = SIDE / 2;
    half.x.rows = SIDE / 2 * SIDE;
    half.y = test_tensor(&random, SIDE / 2 * SIDE, CHANNELS, 0);
    half.y.height = SIDE / 2;
    half.y.width = SIDE;
    assert_false(kx_driver_goes_past(kernels, KX_EPILOGUE_STORE, &half.y));
    test_run_op(kernels, 2, call_conv, &half);
    assert_memory_equal(c.y.data, half.y.data, (size_t)half.y.rows * CHANNELS * sizeof(float));
    test_tensor_free(&half.y);
    test_tensor_free(&c.x);
    test_tensor_free(&c.y);
    test_weight_free(&c.conv.weight);
    test_guarded_free(bias);
}

static void a_picture_past_the_caches_is_that_of_its_half(void **state)
{
    (void)state;
    test_every_set(every_large_picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_of_any_shape_and_mode_is_the_formula),
        cmocka_unit_test(conv_of_a_lower_precision_is_close_to_the_formula),
        cmocka_unit_test(conv_gives_the_same_bytes_for_any_threads),
        cmocka_unit_test(group_norm_is_exact_far_from_zero_and_equal_for_any_threads),
        cmocka_unit_test(a_picture_past_the_caches_is_that_of_its_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
