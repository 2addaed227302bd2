/* The four networks against reference values of very small ones (tests/data/model/networks.json, written by
 * tests/make/make_model_goldens.py), and what holds for any of them: threads, memory, broken parameters. */
#include "model_test_support.h"

#include "base/json_file.h"
#include "base/limits.h"
#include "engine/model/clip.h"
#include "engine/model/mmdit.h"
#include "engine/model/t5.h"
#include "engine/model/vae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double limit = 2e-6, lower_limit = 1e-5;

static json_t *goldens;

static int load_goldens(void **state)
{
    (void)state;
    kx_error err = {0};
    assert_ok(kx_json_file_load(&goldens, test_source_path("tests/data/model/networks.json"),
                                KX_LIMIT_CONFIG_BYTES, KX_ERR_MODEL, &err));
    return 0;
}

static int drop_goldens(void **state)
{
    (void)state;
    json_decref(goldens);
    return 0;
}

/* The reference of one network, with its parameters. */
static const json_t *open_part(const char *name, test_weights *weights)
{
    const json_t *part = json_object_get(goldens, name);
    test_weights_add_hashed(weights, json_object_get(part, "tensors"));
    return part;
}

static int64_t integer(const json_t *object, const char *key)
{
    return (int64_t)json_number_value(json_object_get(object, key));
}

static int32_t *ids_of(const json_t *part, int64_t *count)
{
    size_t found;
    float *values = test_json_f32(json_object_get(part, "ids"), &found);
    int32_t *ids = malloc(found * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < found; i++) ids[i] = (int32_t)values[i];
    free(values);
    *count = (int64_t)found;
    return ids;
}

/* ---- CLIP ---------------------------------------------------------------------------------------------- */

typedef struct clip_case {
    kx_clip *clip;
    const int32_t *ids;
    int64_t count;
    kx_tensor pooled;
} clip_case;

static void encode_clip(kx_ops *ops, void *user)
{
    clip_case *c = user;
    kx_clip_encode(c->clip, ops, c->ids, c->count, &c->pooled);
}

static void clip_pools_at(int32_t eos_id, const char *expected_key)
{
    kx_error err = {0};
    test_weights weights = {0};
    const json_t *part = open_part("clip", &weights);
    kx_weight_source source = test_weights_source(&weights, "clip");
    clip_case c = {0};
    kx_clip_config hints = {.heads = integer(part, "heads"), .eos_id = eos_id};
    assert_ok(kx_clip_load(&c.clip, &source, &hints, &err));
    int64_t width = kx_clip_config_of(c.clip)->width;
    float *pooled = calloc((size_t)width, sizeof *pooled),
          *expected = test_json_values(part, expected_key, (size_t)width);
    int32_t *ids = ids_of(part, &c.count);
    c.ids = ids;
    c.pooled = kx_tensor_of(pooled, 1, width);
    size_t peak = test_run(encode_clip, &c, 1, NULL);
    test_expect(expected_key, pooled, expected, (size_t)width, limit);
    c.ids = NULL; /* unknown yet: the longest prompt */
    assert_true(test_measure(encode_clip, &c) >= peak);
    kx_clip_free(c.clip);
    test_weights_free(&weights);
    free(pooled), free(expected), free(ids);
}

static void clip_pools_at_the_largest_id_with_old_configurations(void **state)
{
    (void)state;
    clip_pools_at(2, "pooled_of_largest");
}

static void clip_pools_at_the_end_token_with_new_configurations(void **state)
{
    (void)state;
    clip_pools_at(30, "pooled_of_30");
}

static void an_id_of_another_tokenizer_is_an_error(void **state)
{
    (void)state;
    kx_error err = {0};
    test_weights weights = {0};
    open_part("clip", &weights);
    kx_weight_source source = test_weights_source(&weights, "clip");
    clip_case c = {.ids = (int32_t[]){1, 2, 40}, .count = 3};
    float pooled[18];
    assert_ok(kx_clip_load(&c.clip, &source, &(kx_clip_config){.heads = 3}, &err));
    c.pooled = kx_tensor_of(pooled, 1, 18);
    assert_int_equal(test_run_status(encode_clip, &c, &err), KX_ERR_MODEL);
    assert_non_null(strstr(err.message, "token id 40 is outside of the embedding table of 40 rows"));
    kx_clip_free(c.clip);
    test_weights_free(&weights);
}

/* ---- T5 ------------------------------------------------------------------------------------------------ */

typedef struct t5_case {
    kx_t5 *t5;
    const int32_t *ids;
    int64_t count;
    kx_tensor out;
} t5_case;

static void encode_t5(kx_ops *ops, void *user)
{
    t5_case *c = user;
    kx_t5_encode(c->t5, ops, c->ids, c->count, &c->out);
}

static void t5_embeds_every_token(void **state)
{
    (void)state;
    kx_error err = {0};
    test_weights weights = {0};
    const json_t *part = open_part("t5", &weights);
    kx_weight_source source = test_weights_source(&weights, "t5");
    t5_case c = {0};
    assert_ok(kx_t5_load(&c.t5, &source, NULL, &err));
    int32_t *ids = ids_of(part, &c.count);
    size_t size = (size_t)(c.count * kx_t5_config_of(c.t5)->width);
    float *out = calloc(size, sizeof *out), *twice = calloc(size, sizeof *twice);
    float *expected = test_json_values(part, "embeddings", size);
    c.ids = ids;
    c.out = kx_tensor_of(out, c.count, kx_t5_config_of(c.t5)->width);
    test_run(encode_t5, &c, 1, NULL);
    test_expect("t5 embeddings", out, expected, size, limit);
    c.out.data = twice;
    test_run(encode_t5, &c, 2, NULL);
    assert_memory_equal(out, twice, size * sizeof *out);
    kx_t5_free(c.t5);
    test_weights_free(&weights);
    free(out), free(twice), free(expected), free(ids);
}

static void distances_fall_into_the_published_buckets(void **state)
{
    (void)state;
    const kx_t5_config config = {.buckets = 32, .max_distance = 128};
    const int64_t starts[8] = {8, 12, 16, 23, 32, 46, 64, 91}; /* of buckets 8 to 15 */
    for (int64_t n = 0; n < 600; n++) {
        int64_t expected = n < 8 ? n : 7;
        for (int i = 0; i < 8; i++) expected += n >= starts[i];
        assert_int_equal(kx_t5_bucket(&config, -n), expected);
        assert_int_equal(kx_t5_bucket(&config, n), n == 0 ? 0 : 16 + expected);
    }
}

/* ---- The autoencoder ----------------------------------------------------------------------------------- */

typedef struct vae_case {
    kx_vae *vae;
    bool decode;
    kx_tensor pixels, latent;
    kx_precision precision;
} vae_case;

static void run_vae(kx_ops *ops, void *user)
{
    vae_case *c = user;
    ops->precision = c->precision;
    if (c->decode)
        kx_vae_decode(c->vae, ops, &c->latent, &c->pixels);
    else
        kx_vae_encode(c->vae, ops, &c->pixels, &c->latent);
}

static void load_vae(test_weights *weights, const json_t *part, kx_vae **vae)
{
    kx_error err = {0};
    kx_weight_source source = test_weights_source(weights, "vae");
    kx_vae_config hints = {.groups = integer(part, "groups"),
                           .scaling = (float)json_number_value(json_object_get(part, "scaling")),
                           .shift = (float)json_number_value(json_object_get(part, "shift"))};
    assert_ok(kx_vae_load(vae, &source, &hints, &err));
}

static void the_autoencoder_encodes_and_decodes(void **state)
{
    (void)state;
    test_weights weights = {0};
    const json_t *part = open_part("vae", &weights);
    vae_case c = {0};
    load_vae(&weights, part, &c.vae);
    int64_t height = integer(part, "height"), width = integer(part, "width"), cell = kx_vae_cell_px(c.vae);
    int64_t h = height / cell, w = width / cell, channels = kx_vae_config_of(c.vae)->latent_channels;
    size_t pixels = (size_t)(height * width * 3), cells = (size_t)(h * w * channels);
    float *image = test_weights_f32(&weights, "image"), *out = calloc(pixels, sizeof *out);
    float *latent = calloc(cells, sizeof *latent), *twice = calloc(pixels, sizeof *twice);
    float *expected_latent = test_json_values(part, "latent", cells);
    float *expected = test_json_values(part, "decoded", pixels);
    c.pixels = kx_tensor_map_of(image, height, width, 3);
    c.latent = kx_tensor_map_of(latent, h, w, channels);
    test_run(run_vae, &c, 1, NULL);
    test_expect("vae latent", latent, expected_latent, cells, limit);
    c.decode = true;
    c.latent.data = expected_latent;
    c.pixels.data = out;
    test_run(run_vae, &c, 1, NULL);
    test_expect("vae decoded", out, expected, pixels, limit);
    c.pixels.data = twice;
    test_run(run_vae, &c, 2, NULL);
    assert_memory_equal(out, twice, pixels * sizeof *out);
    for (c.precision = KX_PRECISION_BF16; c.precision <= KX_PRECISION_INT8; c.precision++) {
        test_run(run_vae, &c, 1, NULL); /* Winograd's convolutions; attention stays f32 */
        test_expect("vae decoded in a lower precision", twice, expected, pixels, lower_limit);
    }
    kx_vae_free(c.vae);
    test_weights_free(&weights);
    free(image), free(out), free(latent), free(twice), free(expected_latent), free(expected);
}

/* The planes of a decoder whose widest full-size block has 10 input and 6 output channels: no third map. */
static void decoding_holds_two_maps_at_most(void **state)
{
    (void)state;
    test_weights weights = {0};
    const json_t *part = open_part("vae", &weights);
    vae_case c = {.decode = true};
    load_vae(&weights, part, &c.vae);
    c.latent = kx_tensor_map_of(NULL, 256, 256, 3);
    c.pixels = kx_tensor_map_of(NULL, 1024, 1024, 3);
    double floats = (double)test_measure(run_vae, &c) / sizeof(float);
    double floor = (10.0 + 6.0) * 1024 * 1024;
    assert_true(floats >= floor && floats < 1.15 * floor);
    kx_vae_free(c.vae);
    test_weights_free(&weights);
}

static void a_picture_of_broken_cells_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    test_weights weights = {0};
    const json_t *part = open_part("vae", &weights);
    vae_case c = {0};
    load_vae(&weights, part, &c.vae);
    c.pixels = kx_tensor_map_of(NULL, 10, 12, 3);
    c.latent = kx_tensor_map_of(NULL, 2, 3, 3);
    assert_int_equal(test_run_status(run_vae, &c, &err), KX_ERR_INTERNAL);
    kx_vae_free(c.vae);
    test_weights_free(&weights);
}

/* ---- The transformer ----------------------------------------------------------------------------------- */

/* Decides as the test says; what it was told. */
typedef struct test_cache {
    kx_mmdit_cache cache;
    bool answer;
    int asked;
    double changes[8];
    int reused;
} test_cache;

static bool answer(void *user, double change)
{
    test_cache *t = user;
    assert_true(t->asked < 8);
    t->changes[t->asked++] = change;
    return t->answer;
}

typedef struct mmdit_case {
    kx_mmdit *model;
    kx_mmdit_inputs inputs;
    kx_tensor target;
    kx_tensor velocity; /* (steps x L, channels) */
    test_cache *cache;  /* NULL: none */
} mmdit_case;

static void run_mmdit(kx_ops *ops, void *user)
{
    mmdit_case *c = user;
    kx_scratch_mark mark = kx_ops_mark(ops);
    kx_mmdit_run run;
    kx_mmdit_begin(c->model, ops, &c->inputs, &run);
    if (c->cache != NULL) kx_mmdit_take_cache(c->model, ops, &run, &c->cache->cache);
    for (int64_t k = 0; k < c->inputs.steps; k++) {
        kx_tensor velocity = kx_tensor_rows(&c->velocity, k * c->target.rows, c->target.rows);
        kx_mmdit_step(c->model, ops, &run, k, &c->target, &velocity);
        if (!ops->dry && c->cache != NULL) c->cache->reused += c->cache->cache.reused;
    }
    kx_ops_release(ops, mark);
}

static const json_t *load_mmdit(test_weights *weights, mmdit_case *c)
{
    kx_error err = {0};
    const json_t *part = open_part("mmdit", weights);
    kx_weight_source source = test_weights_source(weights, "transformer");
    kx_mmdit_config hints = {.theta = json_number_value(json_object_get(part, "theta"))};
    for (size_t a = 0; a < KX_MMDIT_AXES; a++)
        hints.axes[a] = (int64_t)json_number_value(json_array_get(json_object_get(part, "axes"), a));
    assert_ok(kx_mmdit_load(&c->model, &source, &hints, &err));
    return part;
}

static kx_tensor tensor_of(test_weights *weights, const char *name)
{
    const kx_weight *weight = &test_weights_get(weights, name)->weight;
    return kx_tensor_of(test_weights_f32(weights, name), weight->shape[0], weight->shape[1]);
}

static void the_transformer_predicts_velocities(void **state)
{
    (void)state;
    test_weights weights = {0};
    mmdit_case c = {0};
    const json_t *part = load_mmdit(&weights, &c);
    size_t steps, count;
    float *times = test_json_f32(json_object_get(part, "times"), &steps);
    float *positions = test_json_f32(json_object_get(part, "positions"), &count);
    c.target = tensor_of(&weights, "target");
    c.inputs = (kx_mmdit_inputs){.context = tensor_of(&weights, "context"),
                                 .pooled = tensor_of(&weights, "pooled"),
                                 .references = tensor_of(&weights, "references"),
                                 .target_tokens = c.target.rows,
                                 .positions = positions,
                                 .steps = (int64_t)steps,
                                 .times = times,
                                 .guidance = (float)json_number_value(json_object_get(part, "guidance"))};
    size_t size = steps * (size_t)(c.target.rows * c.target.cols);
    float *velocity = calloc(size, sizeof *velocity), *twice = calloc(size, sizeof *twice);
    float *expected = test_json_values(part, "velocities", size);
    c.velocity = kx_tensor_of(velocity, (int64_t)steps * c.target.rows, c.target.cols);
    test_run(run_mmdit, &c, 1, NULL);
    test_expect("transformer velocities", velocity, expected, size, limit);
    c.velocity.data = twice;
    test_run(run_mmdit, &c, 2, NULL);
    assert_memory_equal(velocity, twice, size * sizeof *velocity);
    kx_mmdit_free(c.model);
    test_weights_free(&weights);
    free(times), free(positions), free(velocity), free(twice), free(expected);
    free(c.target.data), free(c.inputs.context.data), free(c.inputs.pooled.data),
        free(c.inputs.references.data);
}

/* More steps than one window of modulation vectors: a step's result does not depend on the window that it is
 * in. */
static void many_steps_need_bounded_modulation(void **state)
{
    (void)state;
    enum { STEPS = 2 * KX_MMDIT_WINDOW + 9 };
    test_weights weights = {0};
    mmdit_case c = {0};
    load_mmdit(&weights, &c);
    c.target = tensor_of(&weights, "target");
    float times[STEPS], positions[3 * 11] = {0};
    for (int k = 0; k < STEPS; k++) times[k] = k % KX_MMDIT_WINDOW == 3 ? 0.5f : (float)k / STEPS;
    c.inputs = (kx_mmdit_inputs){.context = tensor_of(&weights, "context"),
                                 .pooled = tensor_of(&weights, "pooled"),
                                 .target_tokens = c.target.rows,
                                 .positions = positions,
                                 .steps = STEPS,
                                 .times = times,
                                 .guidance = 1};
    size_t size = (size_t)(c.target.rows * c.target.cols);
    float *velocity = calloc(STEPS * size, sizeof *velocity);
    c.velocity = kx_tensor_of(velocity, STEPS * c.target.rows, c.target.cols);
    test_run(run_mmdit, &c, 1, NULL);
    test_expect("step 35 as step 3", velocity + 35 * size, velocity + 3 * size, size, 1e-5);
    test_expect("step 67 as step 3", velocity + 67 * size, velocity + 3 * size, size, 1e-5);
    test_difference other = test_compare_f32(velocity + 4 * size, velocity + 3 * size, size);
    assert_true(other.relative_l2 > 1e-3);
    kx_mmdit_free(c.model);
    test_weights_free(&weights);
    free(velocity), free(c.target.data), free(c.inputs.context.data), free(c.inputs.pooled.data);
}

/* Steps at equal times are equal steps: nothing has changed, and a reused one ends as a whole one. At another
 * time there is a change, and what is reused is no longer the same. */
static void a_reused_step_is_the_last_whole_one(void **state)
{
    (void)state;
    enum { STEPS = 4 };
    test_weights weights = {0};
    mmdit_case c = {0};
    load_mmdit(&weights, &c);
    c.target = tensor_of(&weights, "target");
    float times[STEPS] = {0.5f, 0.5f, 0.5f, 0.2f}, positions[3 * 11] = {0};
    c.inputs = (kx_mmdit_inputs){.context = tensor_of(&weights, "context"),
                                 .pooled = tensor_of(&weights, "pooled"),
                                 .target_tokens = c.target.rows,
                                 .positions = positions,
                                 .steps = STEPS,
                                 .times = times,
                                 .guidance = 1};
    size_t size = (size_t)(c.target.rows * c.target.cols);
    float *whole = calloc(STEPS * size, sizeof *whole), *kept = calloc(STEPS * size, sizeof *kept);
    c.velocity = kx_tensor_of(whole, STEPS * c.target.rows, c.target.cols);
    test_run(run_mmdit, &c, 1, NULL);
    c.velocity.data = kept;
    for (int probe = 0; probe < 2; probe++)
        for (int reuses = 0; reuses < 2; reuses++) {
            test_cache t = {.cache = {.probe = (kx_mmdit_probe)probe, .reuse = answer}, .answer = reuses};
            t.cache.user = &t;
            c.cache = &t;
            test_run(run_mmdit, &c, 2, NULL);
            assert_int_equal(t.asked, STEPS - 1);
            assert_int_equal(t.reused, reuses ? STEPS - 1 : 0);
            assert_true(t.changes[0] == 0 && t.changes[1] == 0 && t.changes[2] > 1e-4);
            if (!reuses) assert_memory_equal(whole, kept, STEPS * size * sizeof *kept);
            test_expect("equal steps", kept, whole, 3 * size, 1e-5);
            if (!reuses) continue;
            test_difference last = test_compare_f32(kept + 3 * size, whole + 3 * size, size);
            assert_true(last.relative_l2 > 1e-4);
        }
    kx_mmdit_free(c.model);
    test_weights_free(&weights);
    free(whole), free(kept), free(c.target.data), free(c.inputs.context.data), free(c.inputs.pooled.data);
}

static void a_run_stops_wherever_it_is_cancelled(void **state)
{
    (void)state;
    test_weights weights = {0};
    mmdit_case c = {0};
    load_mmdit(&weights, &c);
    float positions[3 * 11] = {0}, velocity[6 * 6];
    c.target = tensor_of(&weights, "target");
    c.velocity = kx_tensor_of(velocity, 6, 6);
    c.inputs = (kx_mmdit_inputs){.context = tensor_of(&weights, "context"),
                                 .pooled = tensor_of(&weights, "pooled"),
                                 .target_tokens = 6,
                                 .positions = positions,
                                 .steps = 1,
                                 .times = (float[]){1}};
    for (int polls = 1; polls <= 60; polls += polls < 12 ? 1 : 7) {
        kx_error err = {0};
        assert_int_equal(test_run_cancelled(run_mmdit, &c, polls, &err), KX_ERR_CANCELLED);
    }
    kx_mmdit_free(c.model);
    test_weights_free(&weights);
    free(c.target.data), free(c.inputs.context.data), free(c.inputs.pooled.data);
}

static void a_missing_or_misshapen_parameter_is_named(void **state)
{
    (void)state;
    kx_error err = {0};
    test_weights weights = {0};
    mmdit_case c = {0};
    load_mmdit(&weights, &c);
    kx_mmdit_free(c.model);
    kx_weight_source source = test_weights_source(&weights, "transformer");
    kx_mmdit_config hints = {.axes = {2, 2, 6}};
    test_weight *bias = test_weights_get(&weights, "single_blocks.1.linear1.bias");
    bias->name[0] = 'x';
    assert_int_equal(kx_mmdit_load(&c.model, &source, &hints, &err), KX_ERR_MODEL);
    assert_string_equal(err.message, "transformer: tensor single_blocks.1.linear1.bias is missing");
    assert_null(c.model);
    bias->name[0] = 's';
    test_weights_get(&weights, "double_blocks.1.txt_attn.proj.weight")->weight.shape[1] = 29;
    err = (kx_error){0};
    assert_int_equal(kx_mmdit_load(&c.model, &source, &hints, &err), KX_ERR_MODEL);
    assert_non_null(
        strstr(err.message, "double_blocks.1.txt_attn.proj.weight has shape [30,29], [30,30] is expected"));
    hints.axes[2] = 8;
    err = (kx_error){0};
    assert_int_equal(kx_mmdit_load(&c.model, &source, &hints, &err), KX_ERR_MODEL);
    assert_non_null(strstr(err.message, "the rotary axes have 12 dimensions together, the heads have 10"));
    test_weights_free(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clip_pools_at_the_largest_id_with_old_configurations),
        cmocka_unit_test(clip_pools_at_the_end_token_with_new_configurations),
        cmocka_unit_test(an_id_of_another_tokenizer_is_an_error),
        cmocka_unit_test(t5_embeds_every_token),
        cmocka_unit_test(distances_fall_into_the_published_buckets),
        cmocka_unit_test(the_autoencoder_encodes_and_decodes),
        cmocka_unit_test(decoding_holds_two_maps_at_most),
        cmocka_unit_test(a_picture_of_broken_cells_is_refused),
        cmocka_unit_test(the_transformer_predicts_velocities),
        cmocka_unit_test(many_steps_need_bounded_modulation),
        cmocka_unit_test(a_reused_step_is_the_last_whole_one),
        cmocka_unit_test(a_run_stops_wherever_it_is_cancelled),
        cmocka_unit_test(a_missing_or_misshapen_parameter_is_named),
    };
    return cmocka_run_group_tests(tests, load_goldens, drop_goldens);
}
