/* What an edit of a tiny model makes of its inputs, seen through the dump and through requests that must
 * agree. */
#include "pipeline_test_support.h"

#include "engine/images/resize.h"

#include <jansson.h>

/* ---- References ---- */

static void a_reference_by_file_bytes_or_pixels_is_the_same(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(0);
    kx_picture picture = test_paint(80, 64, 5);
    kx_edit_request request = test_request("Same");
    request.num_references = 1;
    const char *path = test_path_in(test_temporary_folder(), "same.png");
    assert_ok(kx_picture_save(&picture, path, NULL, &err));
    size_t bytes;
    uint8_t *encoded = test_read_file(path, &bytes);
    request.references[0] = (kx_reference){.picture = &picture};
    kx_result *by_pixels = test_edit(model, &request);
    request.references[0] = (kx_reference){.path = path};
    kx_result *by_file = test_edit(model, &request);
    request.references[0] = (kx_reference){.data = encoded, .bytes = bytes};
    kx_result *by_bytes = test_edit(model, &request);
    test_same_pictures("a file and pixels", by_file, by_pixels);
    test_same_pictures("bytes and pixels", by_bytes, by_pixels);
    kx_result_free(by_pixels);
    kx_result_free(by_file);
    kx_result_free(by_bytes);
    free(encoded);
    kx_picture_free(&picture);
    kx_model_close(model);
}

/* Runs with the request's dump in a file of that name and opens it. */
static kx_result *edit_with_dump(kx_model *model, kx_edit_request *request, const char *name,
                                 kx_safetensors *dump)
{
    kx_error err = {0};
    request->dump_file = test_path_in(test_temporary_folder(), name);
    kx_result *result = test_edit(model, request);
    assert_ok(kx_safetensors_open(dump, request->dump_file, KX_ERR_INPUT, &err));
    return result;
}

/* ref.0.pixels of a dump against a picture: 2 (u8/255) - 1, channel by channel, exactly. */
static void assert_pixels(const char *what, const kx_safetensors *dump, const kx_picture *picture)
{
    const kx_safetensors_tensor *pixels = kx_safetensors_find(dump, "ref.0.pixels");
    assert_non_null(pixels);
    int64_t height = pixels->shape[1], width = pixels->shape[2];
    assert_true(height <= picture->height_px && width <= picture->width_px);
    for (int64_t i = 0; i < 3 * height * width; i++) {
        int64_t c = i / (height * width), y = i / width % height, x = i % width;
        float found,
            expected = 2.0f * ((float)picture->rgb[3 * (y * picture->width_px + x) + c] / 255.0f) - 1.0f;
        memcpy(&found, pixels->data + 4 * i, 4);
        if (found != expected)
            fail_msg("%s: pixel (%d,%d), channel %d is %.9g, %.9g is expected", what, (int)x, (int)y, (int)c,
                     (double)found, (double)expected);
    }
}

static void a_reference_that_fits_is_never_resampled(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int size[2];
        kx_ref_size rule;
    } cases[] = {
        {"preferred", {112, 144}, KX_REF_SIZE_PREFERRED},
        {"native", {96, 64}, KX_REF_SIZE_NATIVE},
        {"native, cropped", {111, 79}, KX_REF_SIZE_NATIVE},
        {"given", {64, 80}, KX_REF_SIZE_GIVEN},
    };
    kx_model *model = test_open_tiny(0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_safetensors dump = {0};
        kx_picture picture = test_paint(cases[i].size[0], cases[i].size[1], 9);
        kx_edit_request request = test_request("Keep");
        request.references[0].picture = &picture;
        request.num_references = 1;
        request.ref_size = cases[i].rule;
        request.ref_width_px = cases[i].size[0];
        request.ref_height_px = cases[i].size[1];
        request.width_px = request.height_px = 32;
        kx_result_free(edit_with_dump(model, &request, "fits.safetensors", &dump));
        assert_pixels(cases[i].name, &dump, &picture);
        kx_safetensors_close(&dump);
        kx_picture_free(&picture);
    }
    kx_model_close(model);
}

/* The canvas of two pictures, the second at the first one's height already. */
static kx_picture side_by_side(const kx_picture *a, const kx_picture *b)
{
    kx_picture canvas = test_paint(a->width_px + b->width_px, a->height_px, 0);
    for (int y = 0; y < a->height_px; y++) {
        uint8_t *row = canvas.rgb + 3 * (size_t)y * (size_t)canvas.width_px;
        memcpy(row, a->rgb + 3 * y * a->width_px, 3 * (size_t)a->width_px);
        memcpy(row + 3 * a->width_px, b->rgb + 3 * y * b->width_px, 3 * (size_t)b->width_px);
    }
    return canvas;
}

static void stitching_is_one_reference_of_the_canvas(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(0);
    kx_picture first = test_paint(96, 64, 1), second = test_paint(50, 128, 2), resized = {0};
    kx_edit_request request = test_request("Both of them");
    request.references[0].picture = &first;
    request.references[1].picture = &second;
    request.num_references = 2;
    request.scheme = KX_REFERENCES_STITCH;
    request.width_px = request.height_px = 64;
    kx_result *stitched = test_edit(model, &request);
    assert_ok(kx_resize_lanczos(&second, 25, 64, &resized, &err));
    kx_picture canvas = side_by_side(&first, &resized);
    request.references[0].picture = &canvas;
    request.num_references = 1;
    request.scheme = KX_REFERENCES_OFFSET;
    kx_result *by_hand = test_edit(model, &request);
    test_same_pictures("stitched and by hand", stitched, by_hand);
    assert_int_equal(stitched->num_references, 2);
    kx_result_free(stitched);
    kx_result_free(by_hand);
    kx_picture_free(&first);
    kx_picture_free(&second);
    kx_picture_free(&resized);
    kx_picture_free(&canvas);
    kx_model_close(model);
}

/* ---- Noise and dump ---- */

static void a_noise_file_replaces_the_seed(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(0);
    kx_safetensors dump = {0};
    kx_edit_request request = test_request("Noise");
    request.width_px = 64;
    request.height_px = 50;
    kx_result *drawn = edit_with_dump(model, &request, "noise.safetensors", &dump);
    request.noise_file = request.dump_file;
    request.dump_file = NULL;
    request.seed = 99;
    kx_result *read = test_edit(model, &request);
    test_same_pictures("noise from the seed and from a file", read, drawn);
    request.noise_file = NULL;
    kx_result *other = test_edit(model, &request);
    assert_true(memcmp(other->images[0].picture.rgb, drawn->images[0].picture.rgb, 3 * 64 * 50) != 0);
    kx_result_free(drawn);
    kx_result_free(read);
    kx_result_free(other);
    kx_safetensors_close(&dump);
    kx_model_close(model);
}

__attribute__((format(printf, 6, 7))) static void assert_dumped(const kx_safetensors *dump, kx_dtype dtype,
                                                                int64_t a, int64_t b, int64_t c,
                                                                const char *format, ...)
{
    char name[64], shape[96];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const kx_safetensors_tensor *tensor = kx_safetensors_find(dump, name);
    if (tensor == NULL) fail_msg("the dump lacks %s", name);
    const int64_t expected[3] = {a, b, c};
    int rank = c > 0 ? 3 : b > 0 ? 2 : 1;
    kx_safetensors_shape_text(tensor, shape, sizeof shape);
    if (tensor->dtype != dtype || tensor->rank != rank ||
        memcmp(tensor->shape, expected, 8 * (size_t)rank) != 0)
        fail_msg("the dump has %s as %s %s, %s of rank %d is expected", name, kx_dtype_name(tensor->dtype),
                 shape, kx_dtype_name(dtype), rank);
}

static json_int_t size_of_model(kx_model *model, const char *part, const char *what)
{
    kx_error err = {0};
    char *text = NULL;
    assert_ok(kx_model_describe(model, &text, &err));
    json_t *root = json_loads(text, 0, NULL);
    json_t *value = json_object_get(json_object_get(json_object_get(root, "sizes"), part), what);
    assert_true(json_is_integer(value));
    json_int_t number = json_integer_value(value);
    json_decref(root);
    kx_free(text);
    return number;
}

static void the_dump_holds_what_the_architecture_says(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(0);
    kx_safetensors dump = {0};
    kx_picture pictures[2] = {test_paint(64, 48, 1), test_paint(32, 80, 2)};
    kx_edit_request request = test_request("Dump");
    for (int k = 0; k < 2; k++) request.references[k].picture = &pictures[k];
    request.num_references = 2;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.width_px = 90; /* 96x48 inside */
    request.height_px = 40;
    request.dump_blocks = 1;
    kx_result *result = edit_with_dump(model, &request, "dump.safetensors", &dump);
    const int64_t text = 64, target = 6 * 3, references = 4 * 3 + 2 * 5, all = text + target + references;
    const json_int_t clip = size_of_model(model, "clip", "width"), t5 = size_of_model(model, "t5", "width");
    const json_int_t hidden = size_of_model(model, "transformer", "width");
    size_t count = 0;
#define DUMPED(...) (assert_dumped(&dump, __VA_ARGS__), count++)
    DUMPED(KX_I32, 77, 0, 0, "clip.ids");
    DUMPED(KX_I32, text, 0, 0, "t5.ids");
    DUMPED(KX_F32, clip, 0, 0, "clip.pooled");
    DUMPED(KX_F32, text, t5, 0, "t5.embeds");
    for (int k = 0; k < 2; k++) {
        DUMPED(KX_F32, 3, pictures[k].height_px, pictures[k].width_px, "ref.%d.pixels", k);
        DUMPED(KX_F32, 16, pictures[k].height_px / 8, pictures[k].width_px / 8, "ref.%d.latents", k);
        DUMPED(KX_F32, target, 64, 0, "step.%d.velocity", k);
        DUMPED(KX_F32, target, 64, 0, "step.%d.latents", k);
    }
    DUMPED(KX_F32, all, 3, 0, "ids");
    DUMPED(KX_F32, 16, 6, 12, "noise");
    DUMPED(KX_F32, 3, 0, 0, "sigmas");
    DUMPED(KX_F32, 16, 6, 12, "latents");
    DUMPED(KX_F32, 3, 48, 96, "image");
    for (int k = 0; k < size_of_model(model, "transformer", "double_blocks"); k++) {
        DUMPED(KX_F32, target + references, hidden, 0, "block.double.%d.img", k);
        DUMPED(KX_F32, text, hidden, 0, "block.double.%d.txt", k);
    }
    json_int_t single = size_of_model(model, "transformer", "single_blocks");
    for (int k = 0; k < single; k++)
        DUMPED(KX_F32, k + 1 < single ? all : target, hidden, 0, "block.single.%d", k);
#undef DUMPED
    assert_int_equal(dump.num_tensors, count);
    kx_safetensors_close(&dump);

    request.dump_blocks = 0;
    kx_result *without = edit_with_dump(model, &request, "dump.safetensors", &dump);
    assert_null(kx_safetensors_find(&dump, "block.single.0"));
    test_same_pictures("with and without blocks in the dump", without, result);
    request.dump_file = NULL;
    kx_result *silent = test_edit(model, &request);
    test_same_pictures("with and without a dump", silent, result);
    kx_safetensors_close(&dump);
    kx_result_free(result);
    kx_result_free(without);
    kx_result_free(silent);
    for (int k = 0; k < 2; k++) kx_picture_free(&pictures[k]);
    kx_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reference_by_file_bytes_or_pixels_is_the_same),
        cmocka_unit_test(a_reference_that_fits_is_never_resampled),
        cmocka_unit_test(stitching_is_one_reference_of_the_canvas),
        cmocka_unit_test(a_noise_file_replaces_the_seed),
        cmocka_unit_test(the_dump_holds_what_the_architecture_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
