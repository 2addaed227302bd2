/* Schedules and noise, against numbers of the specification (committed here) and of PyTorch and diffusers. */
#include "test_support.h"

#include "base/json_file.h"
#include "engine/sampler/euler.h"
#include "engine/sampler/noise.h"
#include "engine/sampler/schedule.h"
#include "engine/tensor/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *load_shared(const char *relative)
{
    kx_error err = {0};
    json_t *root = NULL;
    assert_ok(kx_json_file_load(&root, test_shared_path(relative), 64u << 20, KX_ERR_INPUT, &err));
    return root;
}

static void assert_near(double found, double expected, double tolerance, const char *what, size_t index)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s [%zu]: found %.9g, expected %.9g within %g", what, index, found, expected, tolerance);
}

/* ---- Schedule ---- */

static void twenty_eight_steps_at_one_megapixel(void **state)
{
    (void)state;
    static const double expected[29] = {
        1,          .988408625, .976222456, .963394463, .949872613, .935598969, .920509040, .904530764,
        .887583435, .869575977, .850405633, .829956353, .808095515, .784671605, .759510934, .732412875,
        .703144670, .671434820, .636964500, .599356771, .558162808, .512844086, .462748408, .407078415,
        .344848931, .274827987, .195454597, .104720905, 0};
    kx_schedule schedule = kx_schedule_default();
    float sigmas[29], timesteps[28];
    kx_schedule_sigmas(&schedule, 28, 4096, sigmas);
    kx_schedule_timesteps(&schedule, 28, sigmas, timesteps);
    for (size_t k = 0; k < 29; k++) assert_near((double)sigmas[k], expected[k], 2e-7, "sigma", k);
    for (size_t k = 0; k < 28; k++)
        assert_near((double)timesteps[k], 1000 * expected[k], 2e-4, "timestep", k);
}

static void mu_of_the_preferred_sizes(void **state)
{
    (void)state;
    static const struct {
        size_t tokens;
        double mu;
    } rows[] = {{4096, 1.15},     {4116, 1.153385}, {4042, 1.140859}, {4095, 1.149831}, {4089, 1.148815},
                {4150, 1.159141}, {4056, 1.143229}, {4070, 1.145599}, {4071, 1.145768}, {256, 0.5}};
    kx_schedule schedule = kx_schedule_default();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_near(kx_schedule_mu(&schedule, rows[i].tokens), rows[i].mu, 6e-7, "mu", rows[i].tokens);
}

static void static_shift_ignores_the_size(void **state)
{
    (void)state;
    kx_schedule schedule = kx_schedule_default();
    schedule.dynamic_shifting = false;
    float small[5], large[5];
    kx_schedule_sigmas(&schedule, 4, 64, small);
    kx_schedule_sigmas(&schedule, 4, 4096, large);
    assert_memory_equal(small, large, sizeof small);
    /* 3 t / (1 + 2 t) at t = 1, 3/4, 1/2, 1/4 */
    static const double expected[5] = {1, 0.9, 0.75, 0.5, 0};
    for (size_t k = 0; k < 5; k++) assert_near((double)small[k], expected[k], 1e-7, "static sigma", k);
    schedule.shift = 1.0;
    kx_schedule_sigmas(&schedule, 4, 64, small);
    for (size_t k = 0; k < 5; k++)
        assert_near((double)small[k], 1.0 - 0.25 * (double)k, 1e-7, "plain sigma", k);
}

static void schedules_of_diffusers(void **state)
{
    (void)state;
    json_t *root = load_shared("golden/schedule.json");
    kx_schedule schedule = kx_schedule_default();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "schedules"), i, row)
    {
        size_t steps = (size_t)json_integer_value(json_object_get(row, "n"));
        size_t tokens = (size_t)json_integer_value(json_object_get(row, "L"));
        json_t *sigmas = json_object_get(row, "sigmas"), *timesteps = json_object_get(row, "timesteps");
        float found[64], found_timesteps[64];
        assert_true(steps < 64 && json_array_size(sigmas) == steps + 1);
        assert_near(kx_schedule_mu(&schedule, tokens), json_number_value(json_object_get(row, "mu")), 1e-15,
                    "mu", i);
        kx_schedule_sigmas(&schedule, steps, tokens, found);
        kx_schedule_timesteps(&schedule, steps, found, found_timesteps);
        for (size_t k = 0; k <= steps; k++)
            assert_near((double)found[k], json_number_value(json_array_get(sigmas, k)), 2e-7, "sigma",
                        1000 * i + k);
        for (size_t k = 0; k < steps; k++)
            assert_near((double)found_timesteps[k], json_number_value(json_array_get(timesteps, k)), 2e-4,
                        "timestep", 1000 * i + k);
    }
    assert_true(i >= 42);
    json_decref(root);
}

/* ---- Noise ---- */

static void seed_42_and_0_as_torch_draws_them(void **state)
{
    (void)state;
    static const double f32_42[8] = {1.9269153, 1.4872841,  0.9007172,  -2.1055210,
                                     0.6784185, -1.2345449, -0.0430675, -1.6046669};
    static const float old_42[16] = {-0.80859375f,   -1.53125f,     0.40625f,     0.171875f,
                                     -0.2470703125f, 0.2041015625f, -0.87890625f, -0.38671875f,
                                     0.6015625f,     0.267578125f,  -0.8515625f,  -0.2890625f,
                                     1.0f,           -0.78125f,     1.375f,       0.11865234375f};
    enum { COUNT = 16 * 128 * 128 };
    float *x = malloc(COUNT * sizeof *x), *rounded = malloc(COUNT * sizeof *rounded);
    assert_true(x != NULL && rounded != NULL);
    kx_noise_fill(KX_NOISE_TORCH_F32, 42, x, COUNT);
    kx_noise_fill(KX_NOISE_TORCH_BF16, 42, rounded, COUNT);
    for (size_t i = 0; i < 8; i++) assert_near((double)x[i], f32_42[i], 1e-6, "f32 stream, seed 42", i);
    assert_near((double)x[100000], 0.8800626, 1e-6, "f32 stream, seed 42", 100000);
    for (size_t i = 0; i < COUNT; i++) assert_true(rounded[i] == kx_bf16_to_f32(kx_bf16_from_f32(x[i])));
    kx_noise_fill(KX_NOISE_TORCH_BF16_OLD, 42, x, COUNT);
    for (size_t i = 0; i < 16; i++) assert_near((double)x[i], (double)old_42[i], 0, "old stream, seed 42", i);
    assert_near((double)x[100000], -0.2333984375, 0, "old stream, seed 42", 100000);
    free(x);
    free(rounded);
    static const double f32_0[4] = {-1.1258398, -1.1523602, -0.2505786, -0.4338788};
    static const double old_0[4] = {1.4609375, 0.291015625, 0.9609375, 1.5703125};
    float few[16];
    kx_noise_fill(KX_NOISE_TORCH_F32, 0, few, 16);
    for (size_t i = 0; i < 4; i++) assert_near((double)few[i], f32_0[i], 1e-6, "f32 stream, seed 0", i);
    kx_noise_fill(KX_NOISE_TORCH_BF16_OLD, 0, few, 16);
    for (size_t i = 0; i < 4; i++) assert_near((double)few[i], old_0[i], 0, "old stream, seed 0", i);
}

static void a_rest_below_16_redraws_the_last_16(void **state)
{
    (void)state;
    /* 20 numbers: the first 4 are those of a draw of 20 uniforms, the last 16 come from uniforms 20..35. */
    float x[20], longer[48];
    for (kx_noise_stream s = KX_NOISE_TORCH_F32; s <= KX_NOISE_TORCH_BF16_OLD; s++) {
        kx_noise_fill(s, 7, x, 20);
        kx_noise_fill(s, 7, longer, 48);
        assert_memory_equal(x, longer, 4 * sizeof x[0]);
        assert_memory_not_equal(x + 4, longer + 4, 12 * sizeof x[0]);
        for (size_t i = 0; i < 20; i++) assert_true(isfinite(x[i]) && fabsf(x[i]) < 6.0f);
    }
}

static void only_the_low_32_bits_of_a_seed_matter(void **state)
{
    (void)state;
    float a[64], b[64];
    kx_noise_fill(KX_NOISE_TORCH_F32, 5, a, 64);
    kx_noise_fill(KX_NOISE_TORCH_F32, (1ull << 32) + 5, b, 64);
    assert_memory_equal(a, b, sizeof a);
    kx_noise_fill(KX_NOISE_TORCH_F32, 6, b, 64);
    assert_memory_not_equal(a, b, sizeof a);
}

static void compare_stream(json_t *row, const char *name, kx_noise_stream stream, double tolerance,
                           size_t rare)
{
    json_t *expected = json_object_get(row, name), *shape = json_object_get(row, "shape"), *at, *value;
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(row, "seed"));
    size_t height = (size_t)json_integer_value(json_array_get(shape, 2));
    size_t width = (size_t)json_integer_value(json_array_get(shape, 3));
    size_t count = 16 * height * width, i, different = 0;
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    kx_noise_fill(stream, seed, x, count);
    /* One bf16 step is at most 2^-7 of the value. */
    json_array_foreach(json_object_get(expected, "first"), i, value)
    {
        double step = rare > 0 ? fabs(json_number_value(value)) * 0x1p-7 : 0;
        assert_near((double)x[i], json_number_value(value), tolerance + step, name, i);
        different += (double)x[i] != json_number_value(value);
    }
    json_array_foreach(json_object_get(expected, "at"), i, at)
    {
        size_t index = (size_t)json_integer_value(json_array_get(at, 0));
        double wanted = json_number_value(json_array_get(at, 1));
        double step = rare > 0 ? fabs(wanted) * 0x1p-7 : 0;
        assert_near((double)x[index], wanted, tolerance + step, name, index);
        different += (double)x[index] != wanted;
    }
    double sum = 0;
    for (i = 0; i < count; i++) sum += (double)x[i];
    assert_near(sum, json_number_value(json_object_get(expected, "sum")), 1e-2 + tolerance * (double)count,
                name, count);
    if (rare > 0) assert_true(different <= rare);
    if (stream == KX_NOISE_TORCH_BF16_OLD) {
        uint16_t *bits = malloc(count * sizeof *bits);
        assert_non_null(bits);
        for (i = 0; i < count; i++) bits[i] = kx_bf16_from_f32(x[i]);
        assert_string_equal(test_sha256(bits, count * sizeof *bits),
                            json_string_value(json_object_get(expected, "sha256")));
        free(bits);
    }
    free(x);
}

static void streams_of_torch(void **state)
{
    (void)state;
    /* 2^64-1 does not fit jansson's integers; it is put in as -1, which is the same seed. */
    size_t bytes;
    uint8_t *text = test_read_file(test_shared_path("golden/noise.json"), &bytes);
    json_error_t parse;
    char *large = strstr((char *)text, "18446744073709551615");
    if (large != NULL) memcpy(large, "-1                  ", 20);
    json_t *root = json_loads((char *)text, 0, &parse);
    if (root == NULL) fail_msg("noise.json: %s", parse.text);
    json_t *row;
    size_t i;
    json_array_foreach(json_object_get(root, "streams"), i, row)
    {
        compare_stream(row, "f32", KX_NOISE_TORCH_F32, 1e-6, 0);
        compare_stream(row, "bf16", KX_NOISE_TORCH_BF16, 0, 1);
        compare_stream(row, "bf16_old", KX_NOISE_TORCH_BF16_OLD, 0, 0);
    }
    assert_true(i >= 13);
    json_decref(root);
    free(text);
}

/* ---- Euler ---- */

static void a_constant_velocity_leads_to_the_picture(void **state)
{
    (void)state;
    /* v = noise - picture, so the steps from 1 to 0 end at the picture whatever the schedule. */
    kx_schedule schedule = kx_schedule_default();
    float sigmas[9], x[4] = {1.0f, -2.0f, 0.5f, 3.0f}, v[4];
    const float picture[4] = {0.25f, 0.5f, -0.75f, 0.0f};
    for (size_t i = 0; i < 4; i++) v[i] = x[i] - picture[i];
    kx_schedule_sigmas(&schedule, 8, 4096, sigmas);
    for (size_t k = 0; k < 8; k++) {
        float expected[4];
        kx_euler_step(x, v, 4, sigmas[k], sigmas[k + 1]);
        kx_euler_estimate(x, v, 4, sigmas[k + 1], expected);
        for (size_t i = 0; i < 4; i++)
            assert_near((double)expected[i], (double)picture[i], 1e-6, "estimate", i);
    }
    for (size_t i = 0; i < 4; i++) assert_near((double)x[i], (double)picture[i], 1e-6, "state", i);
    kx_euler_step(x, v, 4, 0.75f, 0.5f);
    for (size_t i = 0; i < 4; i++)
        assert_near((double)x[i], (double)(picture[i] - 0.25f * v[i]), 1e-6, "step", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_eight_steps_at_one_megapixel),
        cmocka_unit_test(mu_of_the_preferred_sizes),
        cmocka_unit_test(static_shift_ignores_the_size),
        cmocka_unit_test(schedules_of_diffusers),
        cmocka_unit_test(seed_42_and_0_as_torch_draws_them),
        cmocka_unit_test(a_rest_below_16_redraws_the_last_16),
        cmocka_unit_test(only_the_low_32_bits_of_a_seed_matter),
        cmocka_unit_test(streams_of_torch),
        cmocka_unit_test(a_constant_velocity_leads_to_the_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
