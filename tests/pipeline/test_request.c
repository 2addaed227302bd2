/* Every bad value of a request, given through the public API: refused with its status and one sentence that
 * names it, before any work, and the model stays usable. */
#include "pipeline_test_support.h"

#include "engine/formats/safetensors_writer.h"

#include <math.h>
#include <unistd.h>

typedef void change(kx_edit_request *request);

typedef struct bad_value {
    const char *name;
    change *make;
    kx_status status;
    const char *words;
} bad_value;

static kx_picture sample; /* 128x128, painted by the group's setup */
static kx_picture odd;    /* what a change needs of its own */
static char long_prompt[(1u << 20) + 2];

static void no_prompt(kx_edit_request *r)
{
    r->prompt = NULL;
}
static void empty_prompt(kx_edit_request *r)
{
    r->prompt = "";
}
static void prompt_of_bytes(kx_edit_request *r)
{
    r->prompt = "caf\xe9";
}
static void prompt_with_surrogate(kx_edit_request *r)
{
    r->prompt = "\xed\xa0\x80";
}
static void prompt_too_long(kx_edit_request *r)
{
    memset(long_prompt, 'a', sizeof long_prompt - 1);
    r->prompt = long_prompt;
}
static void five_references(kx_edit_request *r)
{
    r->num_references = 5;
}
static void endless_references(kx_edit_request *r)
{
    r->num_references = SIZE_MAX;
}
static void empty_reference(kx_edit_request *r)
{
    r->num_references = 2;
}
static void two_kinds(kx_edit_request *r)
{
    r->references[0].path = "picture.png";
}
static void missing_file(kx_edit_request *r)
{
    r->references[1].path = "/nowhere/picture.png";
    r->num_references = 2;
}
static void folder_as_picture(kx_edit_request *r)
{
    r->references[0] = (kx_reference){.path = test_tiny_model()};
}
static void garbage(kx_edit_request *r)
{
    r->references[0] = (kx_reference){.data = "no picture", .bytes = 10};
}
static void no_bytes(kx_edit_request *r)
{
    r->references[0] = (kx_reference){.data = "", .bytes = 0};
}
static void use_odd(kx_edit_request *r, int width, int height, uint8_t *rgb)
{
    odd = (kx_picture){width, height, rgb};
    r->references[0] = (kx_reference){.picture = &odd};
}
static void size_without_pixels(kx_edit_request *r)
{
    use_odd(r, 64, 64, NULL);
}
static void picture_of_no_width(kx_edit_request *r)
{
    use_odd(r, 0, 64, sample.rgb);
}
static void picture_of_negative_height(kx_edit_request *r)
{
    use_odd(r, 64, -64, sample.rgb);
}
static void picture_too_wide(kx_edit_request *r)
{
    use_odd(r, 32769, 1, sample.rgb);
}
static void native_too_small(kx_edit_request *r)
{
    use_odd(r, 15, 64, sample.rgb);
    r->ref_size = KX_REF_SIZE_NATIVE;
}
static void unknown_scheme(kx_edit_request *r)
{
    r->scheme = (kx_reference_scheme)3;
}
static void negative_scheme(kx_edit_request *r)
{
    r->scheme = (kx_reference_scheme)-1;
}
static void unknown_ref_size(kx_edit_request *r)
{
    r->ref_size = (kx_ref_size)3;
}
static void give(kx_edit_request *r, int width, int height)
{
    r->ref_size = KX_REF_SIZE_GIVEN;
    r->ref_width_px = width;
    r->ref_height_px = height;
}
static void given_nothing(kx_edit_request *r)
{
    give(r, 0, 0);
}
static void given_too_small(kx_edit_request *r)
{
    give(r, 64, 15);
}
static void given_too_large(kx_edit_request *r)
{
    give(r, 2049, 64);
}
static void ask(kx_edit_request *r, int width, int height)
{
    r->width_px = width;
    r->height_px = height;
}
static void too_narrow(kx_edit_request *r)
{
    ask(r, 15, 64);
}
static void too_wide(kx_edit_request *r)
{
    ask(r, 2049, 64);
}
static void only_a_width(kx_edit_request *r)
{
    ask(r, 64, 0);
}
static void negative_size(kx_edit_request *r)
{
    ask(r, -64, -64);
}
static void aspect(kx_edit_request *r, double w, double h)
{
    r->aspect_w = w;
    r->aspect_h = h;
}
static void half_an_aspect(kx_edit_request *r)
{
    aspect(r, 1, 0);
}
static void negative_aspect(kx_edit_request *r)
{
    aspect(r, -4, -3);
}
static void no_number_as_aspect(kx_edit_request *r)
{
    aspect(r, NAN, 1);
}
static void extreme_aspect(kx_edit_request *r)
{
    aspect(r, 1, 100000);
}
static void size_and_aspect(kx_edit_request *r)
{
    ask(r, 64, 64);
    aspect(r, 1, 1);
}
static void negative_steps(kx_edit_request *r)
{
    r->steps = -1;
}
static void negative_previews(kx_edit_request *r)
{
    r->preview_steps = -1;
}
static void negative_checkpoints(kx_edit_request *r)
{
    r->checkpoint_steps = -2;
}
static void too_many_steps(kx_edit_request *r)
{
    r->steps = 1001;
}
static void no_number_as_guidance(kx_edit_request *r)
{
    r->guidance = NAN;
}
static void infinite_guidance(kx_edit_request *r)
{
    r->guidance = INFINITY;
}
static void guidance_too_large(kx_edit_request *r)
{
    r->guidance = 100.5;
}
static void no_images(kx_edit_request *r)
{
    r->num_images = 0;
}
static void too_many_images(kx_edit_request *r)
{
    r->num_images = 65;
}
static void unknown_profile(kx_edit_request *r)
{
    r->profile = (kx_profile_mode)3;
}
static void negative_profile(kx_edit_request *r)
{
    r->profile = (kx_profile_mode)-1;
}
static void unknown_noise(kx_edit_request *r)
{
    r->noise_stream = (kx_noise_stream)3;
}
static void dump_of_two(kx_edit_request *r)
{
    r->num_images = 2;
    r->dump_file = "dump.safetensors";
}
static void noise_for_two(kx_edit_request *r)
{
    r->num_images = 2;
    r->noise_file = "noise.safetensors";
}
static void missing_noise(kx_edit_request *r)
{
    r->noise_file = "/nowhere/noise.safetensors";
}
static void garbage_noise(kx_edit_request *r)
{
    r->noise_file = test_write_file("garbage.safetensors", "abc", 3);
}
static void dump_into_nothing(kx_edit_request *r)
{
    r->dump_file = "/nowhere/dump.safetensors";
}
static void dump_onto_a_folder(kx_edit_request *r)
{
    r->dump_file = test_tiny_model();
}
static void no_memory(kx_edit_request *r)
{
    r->memory_limit_bytes = 1;
}

static const bad_value bad_values[] = {
    {"no prompt", no_prompt, KX_ERR_INPUT, "the prompt is empty"},
    {"an empty prompt", empty_prompt, KX_ERR_INPUT, "the prompt is empty"},
    {"a prompt that is not UTF-8", prompt_of_bytes, KX_ERR_INPUT, "UTF-8"},
    {"a surrogate in the prompt", prompt_with_surrogate, KX_ERR_INPUT, "UTF-8"},
    {"a prompt over a MiB", prompt_too_long, KX_ERR_INPUT, "the prompt is 1048577 bytes"},
    {"five references", five_references, KX_ERR_INPUT, "5 reference images are given, the limit is 4"},
    {"a senseless count of references", endless_references, KX_ERR_INPUT, "the limit is 4"},
    {"a reference that is nothing", empty_reference, KX_ERR_INPUT, "image 2: no picture is given"},
    {"a reference given twice", two_kinds, KX_ERR_USAGE, "image 1: one of"},
    {"a reference that does not exist", missing_file, KX_ERR_INPUT, "image 2: /nowhere/picture.png"},
    {"a folder as reference", folder_as_picture, KX_ERR_INPUT, "image 1: "},
    {"garbage as reference", garbage, KX_ERR_INPUT, "image 1: "},
    {"no bytes as reference", no_bytes, KX_ERR_INPUT, "image 1: "},
    {"a size without pixels", size_without_pixels, KX_ERR_INPUT, "image 1: the picture has no pixels"},
    {"a picture of no width", picture_of_no_width, KX_ERR_INPUT, "image 1 is 0x64"},
    {"a picture of negative height", picture_of_negative_height, KX_ERR_INPUT, "image 1 is 64x-64"},
    {"a picture too wide", picture_too_wide, KX_ERR_INPUT, "image 1 is 32769x1"},
    {"a native reference too small", native_too_small, KX_ERR_INPUT, "image 1: 15x64"},
    {"an unknown scheme", unknown_scheme, KX_ERR_INPUT, "scheme 3"},
    {"a negative scheme", negative_scheme, KX_ERR_INPUT, "scheme -1"},
    {"an unknown size rule", unknown_ref_size, KX_ERR_INPUT, "size rule 3"},
    {"no given reference size", given_nothing, KX_ERR_INPUT, "the reference size is 0x0"},
    {"a given reference size too small", given_too_small, KX_ERR_INPUT, "the reference size is 64x15"},
    {"a given reference size too large", given_too_large, KX_ERR_INPUT, "the reference size is 2049x64"},
    {"a result too narrow", too_narrow, KX_ERR_INPUT, "the output size is 15x64"},
    {"a result too wide", too_wide, KX_ERR_INPUT, "the output size is 2049x64"},
    {"only a width", only_a_width, KX_ERR_INPUT, "the output size is 64x0"},
    {"a negative size", negative_size, KX_ERR_INPUT, "the output size is -64x-64"},
    {"half an aspect", half_an_aspect, KX_ERR_INPUT, "aspect 1:0"},
    {"a negative aspect", negative_aspect, KX_ERR_INPUT, "aspect -4:-3"},
    {"an aspect that is no number", no_number_as_aspect, KX_ERR_INPUT, "aspect nan:1"},
    {"an extreme aspect", extreme_aspect, KX_ERR_INPUT, "aspect 1:100000"},
    {"a size and an aspect", size_and_aspect, KX_ERR_USAGE, "exclude each other"},
    {"negative steps", negative_steps, KX_ERR_INPUT, "-1 steps"},
    {"negative preview steps", negative_previews, KX_ERR_INPUT, "a preview each -1 steps"},
    {"negative checkpoint steps", negative_checkpoints, KX_ERR_INPUT, "a checkpoint each -2"},
    {"too many steps", too_many_steps, KX_ERR_INPUT, "1001 steps"},
    {"a guidance that is no number", no_number_as_guidance, KX_ERR_INPUT, "the guidance is nan"},
    {"an infinite guidance", infinite_guidance, KX_ERR_INPUT, "the guidance is inf"},
    {"a guidance too large", guidance_too_large, KX_ERR_INPUT, "the guidance is 100.5"},
    {"no images", no_images, KX_ERR_INPUT, "0 images"},
    {"too many images", too_many_images, KX_ERR_INPUT, "65 images"},
    {"an unknown noise", unknown_noise, KX_ERR_INPUT, "noise stream 3"},
    {"an unknown profile", unknown_profile, KX_ERR_INPUT, "profile mode 3"},
    {"a negative profile", negative_profile, KX_ERR_INPUT, "profile mode -1"},
    {"a dump of two images", dump_of_two, KX_ERR_USAGE, "goes with one image"},
    {"a noise for two images", noise_for_two, KX_ERR_USAGE, "goes with one image"},
    {"a noise that does not exist", missing_noise, KX_ERR_INPUT, "/nowhere/noise.safetensors"},
    {"garbage as noise", garbage_noise, KX_ERR_INPUT, "garbage.safetensors"},
    {"a dump into a folder that does not exist", dump_into_nothing, KX_ERR_OUTPUT,
     "/nowhere/dump.safetensors"},
    {"a dump onto a folder", dump_onto_a_folder, KX_ERR_OUTPUT, "is a directory"},
    {"no memory", no_memory, KX_ERR_MEMORY, "of memory"},
};

static void count_progress(void *user, const kx_progress *progress)
{
    (void)progress;
    ++*(int *)user;
}

static kx_edit_request good_request(void)
{
    kx_edit_request request = test_request("Make it blue");
    request.steps = 1;
    request.references[0].picture = &sample;
    request.num_references = 1;
    return request;
}

static void every_bad_value_is_refused_before_any_work(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(1);
    for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++) {
        const bad_value *bad = &bad_values[i];
        kx_error err = {0};
        kx_edit_request request = good_request();
        kx_result *result = (kx_result *)&request; /* must become NULL */
        int stages = 0;
        kx_callbacks callbacks = {.progress = count_progress, .user = &stages};
        bad->make(&request);
        kx_status status = kx_edit_run(model, &request, &callbacks, &result, &err);
        test_refused(bad->name, &err, status, bad->status, bad->words);
        assert_null(result);
        if (stages > 0) fail_msg("%s: work was begun", bad->name);
        /* The same without anyone to tell. */
        assert_int_equal(kx_edit_run(model, &request, NULL, &result, NULL), bad->status);
    }
    kx_edit_request request = good_request();
    kx_result_free(test_edit(model, &request));
    kx_model_close(model);
}

static void a_plan_refuses_what_the_edit_refuses(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(1);
    for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++) {
        const bad_value *bad = &bad_values[i];
        kx_edit_request request = good_request();
        bad->make(&request);
        /* A plan needs no prompt, no pixels and no files, and tells what does not fit. */
        bool fine = request.prompt == NULL || strcmp(bad->words, "the prompt is empty") == 0 ||
                    strstr(bad->name, "prompt") != NULL || bad->make == size_without_pixels ||
                    bad->make == missing_noise || bad->make == garbage_noise ||
                    bad->make == dump_into_nothing || bad->make == dump_onto_a_folder ||
                    bad->make == no_memory;
        kx_error err = {0};
        kx_plan *plan = NULL;
        kx_status status = kx_edit_plan(model, &request, &plan, &err);
        if (fine) {
            assert_ok(status);
            assert_int_equal(plan->fits, bad->make != no_memory);
        } else {
            test_refused(bad->name, &err, status, bad->status, bad->words);
            assert_null(plan);
        }
        kx_plan_free(plan);
    }
    kx_model_close(model);
}

/* A noise tensor that does not fit the size of the edit, 64x48: [16,6,8] f32 is expected. */
static void a_noise_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        kx_dtype dtype;
        int rank;
        int64_t shape[4];
        const char *words;
    } files[] = {
        {"turned", "noise", KX_F32, 3, {16, 8, 6}, "noise is F32 [16,8,6], F32 [16,6,8] is expected"},
        {"with-batch", "noise", KX_F32, 4, {1, 16, 6, 8}, "[1,16,6,8]"},
        {"packed", "noise", KX_F32, 2, {12, 64}, "[12,64]"},
        {"bf16", "noise", KX_BF16, 3, {16, 6, 8}, "noise is BF16"},
        {"other-name", "latents", KX_F32, 3, {16, 6, 8}, "no tensor named noise"},
        {"not-finite", "noise", KX_F32, 3, {16, 6, 8}, "element 5: nan is not a finite number"},
    };
    float values[16 * 6 * 8] = {0};
    kx_model *model = test_open_tiny(1);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        kx_error err = {0};
        kx_safetensors_writer writer = {0};
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.safetensors", test_temporary_folder(), files[i].name);
        values[5] = strcmp(files[i].name, "not-finite") == 0 ? NAN : 0.0f;
        assert_ok(kx_safetensors_writer_declare(&writer, files[i].tensor, files[i].dtype, files[i].rank,
                                                files[i].shape, &err));
        assert_ok(kx_safetensors_writer_open(&writer, path, &err));
        assert_ok(kx_safetensors_writer_append(&writer, values, 768 * kx_dtype_bytes(files[i].dtype), &err));
        assert_ok(kx_safetensors_writer_commit(&writer, &err));
        kx_safetensors_writer_discard(&writer);
        kx_edit_request request = test_request("x");
        kx_result *result = NULL;
        request.width_px = 64;
        request.height_px = 48;
        request.noise_file = path;
        kx_status status = kx_edit_run(model, &request, NULL, &result, &err);
        test_refused(files[i].name, &err, status, KX_ERR_INPUT, files[i].words);
    }
    kx_model_close(model);
}

static void a_refused_dump_leaves_nothing(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(1);
    kx_edit_request request = good_request();
    kx_result *result = NULL;
    const char *path = test_path_in(test_temporary_folder(), "never.safetensors");
    request.dump_file = path;
    request.steps = -1;
    assert_int_equal(kx_edit_run(model, &request, NULL, &result, &err), KX_ERR_INPUT);
    request.steps = 1;
    request.references[0] = (kx_reference){.path = "/nowhere"};
    err = (kx_error){0};
    assert_int_equal(kx_edit_run(model, &request, NULL, &result, &err), KX_ERR_INPUT);
    assert_false(kx_file_exists(path));
    kx_model_close(model);
}

static int paint_sample(void **state)
{
    (void)state;
    sample = test_paint(128, 128, 1);
    return 0;
}

static int free_sample(void **state)
{
    (void)state;
    kx_picture_free(&sample);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_value_is_refused_before_any_work),
        cmocka_unit_test(a_plan_refuses_what_the_edit_refuses),
        cmocka_unit_test(a_noise_that_does_not_fit_is_refused),
        cmocka_unit_test(a_refused_dump_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, paint_sample, free_sample);
}
