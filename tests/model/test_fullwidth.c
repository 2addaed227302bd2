/* Single layers, and the whole autoencoder, at the true dimensions of FLUX.1 (golden/fullwidth.json):
 * parameters from an integer hash, a few rows and sums of the results from a float64 run. Takes about 1.5 GB.
 */
#include "model_test_support.h"

#include "base/json_file.h"
#include "base/limits.h"
#include "engine/model/clip.h"
#include "engine/model/mmdit_parts.h"
#include "engine/model/t5.h"
#include "engine/model/vae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double limit = 1e-5;

static json_t *open_reference(void)
{
    kx_error err = {0};
    json_t *root = NULL;
    assert_ok(kx_json_file_load(&root, test_shared_path("golden/fullwidth.json"), KX_LIMIT_CONFIG_BYTES,
                                KX_ERR_MODEL, &err));
    return root;
}

static const json_t *open_part(json_t *root, const char *name, test_weights *weights)
{
    const json_t *part = json_object_get(root, name);
    test_weights_add_hashed(weights, json_object_get(part, "tensors"));
    return part;
}

/* values (rows, cols) against the digest of the same: the first 16 and last 8 values of some rows, l2 norms
 * and sums. */
static void expect_digest(const char *what, const json_t *digest, const float *values, int64_t rows,
                          int64_t cols)
{
    const char *key;
    json_t *row;
    double sum = 0, square = 0;
    assert_int_equal(rows, (int64_t)json_number_value(json_array_get(json_object_get(digest, "shape"), 0)));
    for (int64_t i = 0; i < rows * cols; i++)
        sum += (double)values[i], square += (double)values[i] * (double)values[i];
    double l2 = json_number_value(json_object_get(digest, "l2")),
           total = json_number_value(json_object_get(digest, "sum"));
    print_message("# %s: l2 %.2e, sum %.2e of the norm\n", what, fabs(sqrt(square) - l2) / l2,
                  fabs(sum - total) / l2);
    assert_true(fabs(sqrt(square) - l2) <= limit * l2);
    assert_true(fabs(sum - total) <= limit * l2 * sqrt((double)(rows * cols)));
    json_object_foreach(json_object_get(digest, "rows"), key, row)
    {
        char name[64];
        float got[24], *first = test_json_values(row, "first", 16), *last = test_json_values(row, "last", 8);
        const float *own = values + strtoll(key, NULL, 10) * cols;
        float expected[24];
        memcpy(got, own, 16 * sizeof got[0]), memcpy(got + 16, own + cols - 8, 8 * sizeof got[0]);
        memcpy(expected, first, 16 * sizeof got[0]), memcpy(expected + 16, last, 8 * sizeof got[0]);
        snprintf(name, sizeof name, "%s row %s", what, key);
        test_expect(name, got, expected, 24, limit);
        free(first), free(last);
    }
}

/* ---- Blocks of the transformer ------------------------------------------------------------------------- */

enum { TEXT = 16, TARGET = 24, REFERENCE = 24, ROWS = TEXT + TARGET + REFERENCE, HIDDEN = 3072 };

static const kx_mmdit_config flux = {
    .hidden = HIDDEN, .heads = 24, .head_dim = 128, .mlp = 12288, .axes = {16, 56, 56}, .theta = 10000};

typedef struct block_case {
    const kx_mmdit_double *pair; /* one of the two */
    const kx_mmdit_single *single;
    kx_tensor vec; /* (1,h) */
    kx_tensor x;   /* (ROWS,h) in place */
    bool target_only;
} block_case;

/* text (0,0,0); target (0,y,x) 4x6; reference (1,y,x+6) 4x6 */
static void fill_positions(float positions[3 * ROWS])
{
    memset(positions, 0, 3 * ROWS * sizeof positions[0]);
    for (int i = 0; i < TARGET; i++) {
        float *target = positions + 3 * (TEXT + i), *reference = positions + 3 * (TEXT + TARGET + i);
        target[1] = reference[1] = (float)(i / 6);
        target[2] = (float)(i % 6);
        reference[0] = 1;
        reference[2] = (float)(i % 6 + 6);
    }
}

static void run_block(kx_ops *ops, void *user)
{
    block_case *c = user;
    kx_scratch_mark mark = kx_ops_mark(ops);
    float positions[3 * ROWS];
    fill_positions(positions);
    kx_mmdit_rows rows = {.text = TEXT, .target = TARGET, .references = REFERENCE};
    rows.cosines = kx_ops_take(ops, "cosines", ROWS, 64);
    rows.sines = kx_ops_take(ops, "sines", ROWS, 64);
    kx_mmdit_fill_rotations(&flux, ops, positions, &rows.cosines, &rows.sines);
    kx_tensor activation = kx_ops_take(ops, "vec", 1, HIDDEN);
    kx_op_silu(ops, &c->vec, &activation);
    kx_tensor text = kx_ops_take(ops, "modulation", 1, 6 * HIDDEN),
              image = kx_ops_take(ops, "modulation", 1, 6 * HIDDEN);
    if (c->pair != NULL) {
        kx_op_linear(ops, &activation, &c->pair->text.modulation, KX_EPILOGUE_STORE, NULL, &text);
        kx_op_linear(ops, &activation, &c->pair->image.modulation, KX_EPILOGUE_STORE, NULL, &image);
        kx_mmdit_run_double(&flux, ops, c->pair, &rows, text.data, image.data, &c->x);
    } else {
        kx_tensor three = kx_tensor_cols(&text, 0, 3 * HIDDEN);
        kx_op_linear(ops, &activation, &c->single->modulation, KX_EPILOGUE_STORE, NULL, &three);
        kx_mmdit_run_single(&flux, ops, c->single, &rows, text.data, c->target_only, &c->x);
    }
    kx_ops_release(ops, mark);
}

static void a_double_block_at_full_width(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = open_reference();
    test_weights weights = {0};
    kx_arena arena = {0};
    kx_mmdit_double block;
    const json_t *part = open_part(root, "double_block", &weights);
    kx_weight_source source = test_weights_source(&weights, "transformer");
    weights.add_before = "double_blocks.0.";
    kx_parameters p = {.source = &source, .arena = &arena, .err = &err};
    assert_ok(kx_mmdit_load_double(&p, &flux, 0, &block));
    weights.add_before = NULL;
    float *image = test_weights_f32(&weights, "img"), *text = test_weights_f32(&weights, "txt");
    float *vec = test_weights_f32(&weights, "vec"), *x = malloc(ROWS * HIDDEN * sizeof *x);
    memcpy(x, text, TEXT * HIDDEN * sizeof *x);
    memcpy(x + TEXT * HIDDEN, image, (TARGET + REFERENCE) * HIDDEN * sizeof *x);
    block_case c = {.pair = &block, .vec = kx_tensor_of(vec, 1, HIDDEN), .x = kx_tensor_of(x, ROWS, HIDDEN)};
    test_run(run_block, &c, 2, NULL);
    expect_digest("double block, image", json_object_get(part, "img_out"), x + TEXT * HIDDEN,
                  TARGET + REFERENCE, HIDDEN);
    expect_digest("double block, text", json_object_get(part, "txt_out"), x, TEXT, HIDDEN);
    free(image), free(text), free(vec), free(x);
    kx_arena_free(&arena);
    test_weights_free(&weights);
    json_decref(root);
}

static void a_single_block_at_full_width(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = open_reference();
    test_weights weights = {0};
    kx_arena arena = {0};
    kx_mmdit_single block;
    const json_t *part = open_part(root, "single_block", &weights);
    kx_weight_source source = test_weights_source(&weights, "transformer");
    weights.add_before = "single_blocks.0.";
    kx_parameters p = {.source = &source, .arena = &arena, .err = &err};
    assert_ok(kx_mmdit_load_single(&p, &flux, 0, &block));
    weights.add_before = NULL;
    float *x = test_weights_f32(&weights, "z"), *vec = test_weights_f32(&weights, "vec");
    float *target = test_weights_f32(&weights, "z");
    block_case c = {
        .single = &block, .vec = kx_tensor_of(vec, 1, HIDDEN), .x = kx_tensor_of(x, ROWS, HIDDEN)};
    test_run(run_block, &c, 2, NULL);
    expect_digest("single block", json_object_get(part, "z_out"), x, ROWS, HIDDEN);
    c.target_only = true; /* as the last block does it */
    c.x.data = target;
    test_run(run_block, &c, 2, NULL);
    test_expect("single block, target rows alone", target + TEXT * HIDDEN, x + TEXT * HIDDEN, TARGET * HIDDEN,
                1e-6);
    free(x), free(vec), free(target);
    kx_arena_free(&arena);
    test_weights_free(&weights);
    json_decref(root);
}

/* ---- Text ---------------------------------------------------------------------------------------------- */

typedef struct text_case {
    kx_t5 *t5;
    kx_clip *clip;
    int32_t ids[128];
    int64_t count;
    kx_tensor out;
} text_case;

static void run_text(kx_ops *ops, void *user)
{
    text_case *c = user;
    if (c->t5 != NULL)
        kx_t5_encode(c->t5, ops, c->ids, c->count, &c->out);
    else
        kx_clip_encode(c->clip, ops, c->ids, c->count, &c->out);
}

/* The hash's 24 bits modulo `vocabulary`. */
static void fill_ids(text_case *c, uint32_t k, int32_t vocabulary)
{
    for (int64_t j = 0; j < c->count; j++)
        c->ids[j] = (int32_t)((test_hash_value(k, (uint32_t)j) + 1.0f) * 0x1p23f) % vocabulary;
}

static void a_t5_block_at_full_width(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = open_reference();
    test_weights weights = {0};
    text_case c = {.count = 96};
    const json_t *part = open_part(root, "t5_block", &weights);
    kx_weight_source source = test_weights_source(&weights, "t5");
    assert_ok(kx_t5_load(&c.t5, &source, NULL, &err));
    fill_ids(&c, 2900, 1000);
    float *out = malloc(96 * 4096 * sizeof *out);
    c.out = kx_tensor_of(out, 96, 4096);
    test_run(run_text, &c, 2, NULL);
    expect_digest("t5 block", json_object_get(part, "out"), out, 96, 4096);
    free(out);
    kx_t5_free(c.t5);
    test_weights_free(&weights);
    json_decref(root);
}

static void a_clip_layer_at_full_width(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = open_reference();
    test_weights weights = {.strip = "text_model."};
    text_case c = {.count = 77};
    float pooled[768];
    const json_t *part = open_part(root, "clip_layer", &weights);
    kx_weight_source source = test_weights_source(&weights, "clip");
    assert_ok(kx_clip_load(&c.clip, &source, NULL, &err)); /* 12 heads: width / 64 */
    fill_ids(&c, 3900, 999);
    for (int64_t j = 77 / 2; j < 77; j++) c.ids[j] = 999;
    c.out = kx_tensor_of(pooled, 1, 768);
    test_run(run_text, &c, 2, NULL);
    expect_digest("clip pooled", json_object_get(part, "pooled"), pooled, 1, 768);
    kx_clip_free(c.clip);
    test_weights_free(&weights);
    json_decref(root);
}

/* ---- The autoencoder ----------------------------------------------------------------------------------- */

enum { WIDTH = 48, HEIGHT = 32, CELLS = WIDTH * HEIGHT / 64 };

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

/* (rows, channels) -> (channels, rows), in place of the caller's buffer */
static void channels_first(float *values, int64_t rows, int64_t channels)
{
    float *turned = test_channels_last(values, rows, channels);
    memcpy(values, turned, (size_t)(rows * channels) * sizeof *values);
    free(turned);
}

/* The picture of fullwidth.json (height,width,3), which has HEIGHT x WIDTH there; malloc'ed. */
static float *new_picture(int height, int width)
{
    float *pixels = malloc((size_t)(width * height * 3) * sizeof *pixels);
    assert_non_null(pixels);
    for (int i = 0; i < width * height; i++)
        for (int ch = 0; ch < 3; ch++)
            pixels[3 * i + ch] = (float)sin(0.5 * ch + 0.21 * (i / width) + 0.13 * (i % width));
    return pixels;
}

static void the_autoencoder_at_full_width(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = open_reference();
    test_weights weights = {0};
    test_traces traces = {0};
    vae_case c = {0};
    const json_t *part = open_part(root, "autoencoder", &weights);
    kx_weight_source source = test_weights_source(&weights, "vae");
    assert_ok(kx_vae_load(&c.vae, &source, &(kx_vae_config){.scaling = 1}, &err)); /* no scale, no shift */
    float *pixels = new_picture(HEIGHT, WIDTH), *latent = malloc(CELLS * 16 * sizeof *latent);
    c.pixels = kx_tensor_map_of(pixels, HEIGHT, WIDTH, 3);
    c.latent = kx_tensor_map_of(latent, HEIGHT / 8, WIDTH / 8, 16);
    test_run(run_vae, &c, 2, &traces);
    test_trace moments = *test_traces_get(&traces, "vae.encode.moments");
    channels_first(moments.values, CELLS, 32);
    expect_digest("moments", json_object_get(part, "moments"), moments.values, 32, CELLS);
    c.decode = true;
    test_run(run_vae, &c, 2, NULL);
    channels_first(pixels, WIDTH * HEIGHT, 3);
    expect_digest("decoded", json_object_get(part, "decoded"), pixels, 3, WIDTH * HEIGHT);
    free(pixels), free(latent);
    test_traces_free(&traces);
    kx_vae_free(c.vae);
    test_weights_free(&weights);
    json_decref(root);
}

/* Where the kernel set prefers that, the decoder rounds to bf16. */
static void expect_picture(const float *got, const float *exact, size_t count)
{
    if (test_kernels()->sum_bf16 == NULL) {
        test_expect("picture in bf16", got, exact, count, 1e-4);
        return;
    }
    test_difference d = test_compare_f32(got, exact, count);
    print_message("# picture in bf16, rounded: rel l2 %.2e, largest %.2e of %.2e\n", d.relative_l2, d.largest,
                  d.scale);
    assert_true(d.relative_l2 < 1e-2 && d.largest < 1e-2 * d.scale);
}

/* A latent and a picture in a lower precision, both from what f32 is given. Of a picture that is large enough
 * for its errors to have settled: those of 24 cells differ by a tenth from one order of sums to another. */
static void the_autoencoder_of_a_lower_precision_stays_near_f32(void **state)
{
    enum { SIDE = 96, PIXELS = SIDE * SIDE * 3, VALUES = SIDE * SIDE / 64 * 16 };
    (void)state;
    kx_error err = {0};
    json_t *root = open_reference();
    test_weights weights = {0};
    vae_case exact = {0};
    open_part(root, "autoencoder", &weights);
    kx_weight_source source = test_weights_source(&weights, "vae");
    assert_ok(kx_vae_load(&exact.vae, &source, NULL, &err));
    float *pixels = new_picture(SIDE, SIDE), *latent = malloc(VALUES * sizeof *latent);
    float *other_pixels = malloc(PIXELS * sizeof *pixels), *other = malloc(VALUES * sizeof *other);
    exact.pixels = kx_tensor_map_of(pixels, SIDE, SIDE, 3);
    exact.latent = kx_tensor_map_of(latent, SIDE / 8, SIDE / 8, 16);
    vae_case lower = exact;
    lower.precision = KX_PRECISION_BF16;
    lower.latent.data = other;
    test_run(run_vae, &exact, 2, NULL);
    test_run(run_vae, &lower, 2, NULL);
    assert_memory_not_equal(other, latent, VALUES * sizeof *latent); /* it is another way */
    test_expect("latent in bf16", other, latent, VALUES, 1e-4);
    exact.decode = lower.decode = true;
    lower.latent.data = latent;
    lower.pixels.data = other_pixels;
    test_run(run_vae, &exact, 2, NULL);
    test_run(run_vae, &lower, 2, NULL);
    assert_memory_not_equal(other_pixels, pixels, PIXELS * sizeof *pixels);
    expect_picture(other_pixels, pixels, PIXELS);
    free(pixels), free(latent), free(other_pixels), free(other);
    kx_vae_free(exact.vae);
    test_weights_free(&weights);
    json_decref(root);
}

/* What a large picture needs, as vae.h says: 384 floats for each pixel decoding, 256 encoding, and little
 * beside. */
static void large_pictures_need_what_is_promised(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = open_reference();
    test_weights weights = {0};
    vae_case c = {0};
    open_part(root, "autoencoder", &weights);
    kx_weight_source source = test_weights_source(&weights, "vae");
    assert_ok(kx_vae_load(&c.vae, &source, NULL, &err));
    c.pixels = kx_tensor_map_of(NULL, 1536, 1536, 3);
    c.latent = kx_tensor_map_of(NULL, 192, 192, 16);
    double pixel_bytes = 1536.0 * 1536.0 * sizeof(float);
    double encode = (double)test_measure(run_vae, &c) / pixel_bytes;
    c.decode = true;
    double decode = (double)test_measure(run_vae, &c) / pixel_bytes;
    print_message("# 1536x1536: encode %.1f, decode %.1f floats for each pixel\n", encode, decode);
    assert_true(encode >= 256 && encode < 266);
    assert_true(decode >= 384 && decode < 394);
    c.precision = KX_PRECISION_BF16;
    double lower_decode = (double)test_measure(run_vae, &c) / pixel_bytes;
    c.decode = false;
    double lower_encode = (double)test_measure(run_vae, &c) / pixel_bytes;
    print_message("# in bf16: encode %.1f, decode %.1f\n", lower_encode, lower_decode);
    assert_true(lower_encode >= 256 && lower_encode < 256 + 16 + 10);
    assert_true(lower_decode >= 384 && lower_decode < 384 + 8 + 10);
    kx_vae_free(c.vae);
    test_weights_free(&weights);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_double_block_at_full_width),
        cmocka_unit_test(a_single_block_at_full_width),
        cmocka_unit_test(a_t5_block_at_full_width),
        cmocka_unit_test(a_clip_layer_at_full_width),
        cmocka_unit_test(the_autoencoder_at_full_width),
        cmocka_unit_test(the_autoencoder_of_a_lower_precision_stays_near_f32),
        cmocka_unit_test(large_pictures_need_what_is_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
