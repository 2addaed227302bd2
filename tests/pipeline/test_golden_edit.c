/* Whole edits against the official pipelines: every tensor of the dump and every byte of the picture. */
#include "test_support.h"

#include "base/file.h"
#include "engine/formats/safetensors.h"

#include <jansson.h>
#include <kontext/kontext.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct golden_case {
    json_t *json;
    const char *name;
    size_t num_references;
} golden_case;

static const char *text_of(const golden_case *c, const char *key)
{
    return json_string_value(json_object_get(c->json, key));
}

static void fill_request(const golden_case *c, kx_edit_request *request)
{
    char path[128];
    const char *noise = text_of(c, "noise");
    json_t *size = json_object_get(c->json, "size"), *references = json_object_get(c->json, "refs");
    request->prompt = text_of(c, "prompt");
    request->width_px = (int)json_integer_value(json_array_get(size, 0));
    request->height_px = (int)json_integer_value(json_array_get(size, 1));
    request->steps = (int)json_integer_value(json_object_get(c->json, "steps"));
    request->guidance = json_number_value(json_object_get(c->json, "guidance"));
    request->seed = (uint64_t)json_integer_value(json_object_get(c->json, "seed"));
    request->noise_stream = strcmp(noise, "bf16_old") == 0 ? KX_NOISE_TORCH_BF16_OLD : KX_NOISE_TORCH_F32;
    request->scheme = strcmp(text_of(c, "scheme"), "index") == 0 ? KX_REFERENCES_INDEX : KX_REFERENCES_OFFSET;
    request->ref_size = strcmp(c->name, "e_auto_resize") == 0 ? KX_REF_SIZE_PREFERRED : KX_REF_SIZE_NATIVE;
    request->num_references = c->num_references;
    for (size_t k = 0; k < c->num_references; k++) {
        snprintf(path, sizeof path, "golden/images/%s", json_string_value(json_array_get(references, k)));
        request->references[k].path = test_shared_path(path);
    }
}

/* One tensor of ours against one of the reference, which may have leading axes of 1. */
static void compare(const golden_case *c, const kx_safetensors *ours, const char *our_name,
                    const kx_safetensors *golden, const char *golden_name, double limit)
{
    const kx_safetensors_tensor *expected = kx_safetensors_find(golden, golden_name);
    const kx_safetensors_tensor *actual = kx_safetensors_find(ours, our_name);
    if (expected == NULL) return; /* equals that of another case */
    if (actual == NULL) fail_msg("%s: the dump lacks %s", c->name, our_name);
    if (actual->count != expected->count)
        fail_msg("%s: %s has %zu values, %zu are expected", c->name, our_name, actual->count,
                 expected->count);
    float *a = malloc(actual->bytes), *b = malloc(actual->bytes);
    memcpy(a, actual->data, actual->bytes);
    memcpy(b, expected->data, actual->bytes);
    if (actual->dtype == KX_I32)
        for (size_t i = 0; i < actual->count; i++) {
            int32_t id;
            memcpy(&id, actual->data + 4 * i, 4);
            a[i] = (float)id;
        }
    test_difference d = test_compare_f32(a, b, actual->count);
    free(a);
    free(b);
    print_message("# %-20s %-16s relative l2 %.2e, largest %.2e of %.3g\n", c->name, our_name, d.relative_l2,
                  d.largest, d.scale);
    if (!(d.relative_l2 <= limit) || !(d.largest <= 1e-4 * fmax(d.scale, 1e-30)))
        fail_msg("%s: %s is off by %.2e relative l2 (limit %.2e), %.2e at most (largest value %.3g)", c->name,
                 our_name, d.relative_l2, limit, d.largest, d.scale);
}

static void compare_dump(const golden_case *c, const char *dump_path)
{
    kx_error err = {0};
    kx_safetensors ours = {0}, golden = {0};
    char path[128], our_name[64], golden_name[64];
    snprintf(path, sizeof path, "golden/tiny-diffusers-dumps/%s.safetensors", c->name);
    assert_ok(kx_safetensors_open(&golden, test_shared_path(path), KX_ERR_INPUT, &err));
    assert_ok(kx_safetensors_open(&ours, dump_path, KX_ERR_INPUT, &err));
    double limit = c->num_references >= 3 ? 5e-5 : 2e-5;
    compare(c, &ours, "clip.ids", &golden, "clip_ids", 0);
    compare(c, &ours, "t5.ids", &golden, "t5_ids", 0);
    compare(c, &ours, "clip.pooled", &golden, "clip_pooled", limit);
    compare(c, &ours, "t5.embeds", &golden, "t5_embeds", limit);
    compare(c, &ours, "sigmas", &golden, "sigmas", 2e-7);
    compare(c, &ours, "noise", &golden, "noise", 1e-6);
    for (size_t k = 0; k < c->num_references; k++) {
        snprintf(our_name, sizeof our_name, "ref.%zu.pixels", k);
        snprintf(golden_name, sizeof golden_name, "ref%zu_image", k);
        compare(c, &ours, our_name, &golden, golden_name, 1e-7);
        snprintf(our_name, sizeof our_name, "ref.%zu.latents", k);
        snprintf(golden_name, sizeof golden_name, "ref%zu_latent", k);
        compare(c, &ours, our_name, &golden, golden_name, 5e-5);
    }
    int steps = (int)json_integer_value(json_object_get(c->json, "steps"));
    for (int k = 0; k < steps; k++) {
        snprintf(our_name, sizeof our_name, "step.%d.velocity", k);
        snprintf(golden_name, sizeof golden_name, "velocity_%02d", k);
        compare(c, &ours, our_name, &golden, golden_name, limit);
        snprintf(our_name, sizeof our_name, "step.%d.latents", k);
        snprintf(golden_name, sizeof golden_name, "latents_%02d", k);
        compare(c, &ours, our_name, &golden, golden_name, limit);
    }
    compare(c, &ours, "latents", &golden, "latent_final", limit);
    compare(c, &ours, "image", &golden, "image", limit);
    const kx_safetensors_tensor *ids = kx_safetensors_find(&ours, "ids"),
                                *expected = kx_safetensors_find(&golden, "img_ids");
    if (expected != NULL)
        assert_memory_equal(ids->data + ids->bytes - expected->bytes, expected->data, expected->bytes);
    kx_safetensors_close(&ours);
    kx_safetensors_close(&golden);
}

static void compare_picture(const golden_case *c, const kx_picture *picture)
{
    kx_error err = {0};
    kx_picture golden;
    char path[128];
    snprintf(path, sizeof path, "golden/tiny-diffusers-dumps/%s.png", c->name);
    assert_ok(kx_picture_load(&golden, test_shared_path(path), &err));
    assert_int_equal(picture->width_px, golden.width_px);
    assert_int_equal(picture->height_px, golden.height_px);
    size_t count = 3 * (size_t)golden.width_px * (size_t)golden.height_px, differing = 0;
    for (size_t i = 0; i < count; i++) {
        int off = abs(picture->rgb[i] - golden.rgb[i]);
        if (off > 1)
            fail_msg("%s: byte %zu is %d, %d is expected", c->name, i, picture->rgb[i], golden.rgb[i]);
        differing += off != 0;
    }
    print_message("# %-20s picture: %zu of %zu bytes differ by 1\n", c->name, differing, count);
    if (differing * 1000 > count) fail_msg("%s: %zu of %zu bytes differ", c->name, differing, count);
    kx_picture_free(&golden);
}

static kx_model *open_golden_model(const char *path)
{
    kx_error err = {0};
    kx_model *model = NULL;
    kx_model_options options = kx_model_options_default();
    options.path = path;
    options.tokenizers = test_shared_path("models/flux1-dev-config");
    options.cpu = getenv("KONTEXT_CPU");
    assert_ok(kx_model_open(&model, &options, &err));
    return model;
}

/* Runs every case; `stop_after` bounds their number where all would take too long. */
static void run_cases(const char *model_path, size_t stop_after)
{
    kx_error err = {0};
    json_t *root = json_load_file(test_shared_path("golden/tiny-diffusers-dumps/cases.json"), 0, NULL);
    assert_non_null(root);
    kx_model *model = open_golden_model(model_path);
    json_t *cases = json_object_get(root, "cases");
    for (size_t i = 0; i < json_array_size(cases) && i < stop_after; i++) {
        golden_case c = {.json = json_array_get(cases, i)};
        c.name = text_of(&c, "name");
        c.num_references = json_array_size(json_object_get(c.json, "refs"));
        const char *dump = test_write_file("dump.safetensors", "", 0);
        kx_edit_request request = kx_edit_request_default();
        kx_result *result = NULL;
        fill_request(&c, &request);
        request.dump_file = dump;
        request.dump_blocks = 1;
        assert_ok(kx_edit_run(model, &request, NULL, &result, &err));
        compare_dump(&c, dump);
        compare_picture(&c, &result->images[0].picture);
        kx_result_free(result);
    }
    kx_model_close(model);
    json_decref(root);
}

static void every_case_equals_the_official_pipeline(void **state)
{
    (void)state;
    run_cases(test_shared_path("golden/tiny-diffusers"), SIZE_MAX);
}

static void link_into(const char *folder, const char *name, const char *target)
{
    char path[4096], absolute[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (realpath(target, absolute) == NULL || symlink(absolute, path) != 0) fail_msg("cannot link %s", path);
}

/* The transformer and the VAE as single files under their original names, beside the diffusers encoders. */
static void original_names_give_the_same(void **state)
{
    (void)state;
    char folder[2048];
    snprintf(folder, sizeof folder, "%s/original", test_temporary_folder());
    kx_error err = {0};
    assert_ok(kx_file_make_directory(folder, &err));
    link_into(folder, "some-name.safetensors", test_shared_path("golden/bfl-layout/tiny-bfl.safetensors"));
    link_into(folder, "ae.safetensors", test_shared_path("golden/bfl-layout/tiny-ae.safetensors"));
    link_into(folder, "text_encoder", test_shared_path("golden/tiny-diffusers/text_encoder"));
    link_into(folder, "text_encoder_2", test_shared_path("golden/tiny-diffusers/text_encoder_2"));
    run_cases(folder, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_equals_the_official_pipeline),
        cmocka_unit_test(original_names_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
