/* Resizing, cropping, stitching. Lanczos is compared with Pillow's bytes. */
#include "test_support.h"

#include "engine/images/arrange.h"
#include "engine/images/resize.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The formula of resize.json's synthetic pictures. */
static kx_picture make_synthetic(int width, int height)
{
    kx_picture picture = {
        .width_px = width, .height_px = height, .rgb = malloc((size_t)width * (size_t)height * 3)};
    uint8_t *out = picture.rgb;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                *out++ = (uint8_t)(7 * x * x + 13 * y + 5 * x * y + 91 * c + ((x * 31 ^ y * 17) & 63));
    return picture;
}

static kx_picture load_shared(const char *name)
{
    char path[256];
    kx_error err = {0};
    kx_picture picture;
    snprintf(path, sizeof path, "golden/images/%s", name);
    assert_ok(kx_picture_load(&picture, test_shared_path(path), &err));
    return picture;
}

static size_t bytes_of(const kx_picture *picture)
{
    return (size_t)picture->width_px * (size_t)picture->height_px * 3;
}

static void lanczos_equals_pillow_to_the_byte(void **state)
{
    (void)state;
    json_error_t problem;
    json_t *root = json_load_file(test_shared_path("golden/resize.json"), 0, &problem), *entry;
    assert_non_null(root);
    size_t index;
    json_array_foreach(json_object_get(root, "results"), index, entry)
    {
        const char *source = json_string_value(json_object_get(entry, "source"));
        const json_t *in_size = json_object_get(entry, "in"), *out_size = json_object_get(entry, "out");
        int width = (int)json_integer_value(json_array_get(out_size, 0));
        int height = (int)json_integer_value(json_array_get(out_size, 1));
        bool synthetic = strcmp(source, "synthetic") == 0;
        kx_picture in = synthetic ? make_synthetic((int)json_integer_value(json_array_get(in_size, 0)),
                                                   (int)json_integer_value(json_array_get(in_size, 1)))
                                  : load_shared(source);
        kx_picture out;
        kx_error err = {0};
        if (synthetic)
            assert_string_equal(test_sha256(in.rgb, bytes_of(&in)),
                                json_string_value(json_object_get(entry, "in_sha256")));
        assert_ok(kx_resize_lanczos(&in, width, height, &out, &err));
        const char *expected = json_string_value(json_object_get(entry, "sha256"));
        if (strcmp(test_sha256(out.rgb, bytes_of(&out)), expected) != 0)
            fail_msg("%s %dx%d -> %dx%d has other pixels", source, in.width_px, in.height_px, width, height);
        kx_picture_free(&in);
        kx_picture_free(&out);
    }
    assert_true(index > 30);
    json_decref(root);
}

static void lanczos_equals_the_stored_pictures(void **state)
{
    (void)state;
    static const struct {
        const char *source, *result;
    } cases[] = {{"chelsea.png", "resized_chelsea_48x32.png"},
                 {"astronaut.png", "resized_astronaut_100x37.png"},
                 {"coffee.png", "resized_coffee_64x48.png"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_picture in = load_shared(cases[i].source), expected = load_shared(cases[i].result), out;
        kx_error err = {0};
        assert_ok(kx_resize_lanczos(&in, expected.width_px, expected.height_px, &out, &err));
        assert_memory_equal(out.rgb, expected.rgb, bytes_of(&out));
        kx_picture_free(&in);
        kx_picture_free(&expected);
        kx_picture_free(&out);
    }
}

static void an_equal_size_changes_nothing(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_picture in = make_synthetic(37, 23), out;
    assert_ok(kx_resize_lanczos(&in, 37, 23, &out, &err));
    assert_ptr_not_equal(in.rgb, out.rgb);
    assert_memory_equal(in.rgb, out.rgb, bytes_of(&in));
    kx_picture_free(&in);
    kx_picture_free(&out);
}

static void a_plain_colour_stays_plain(void **state)
{
    (void)state;
    static const uint8_t colour[3] = {0, 128, 255};
    static const int sizes[][2] = {{1, 1}, {3, 200}, {500, 2}, {97, 31}, {2000, 1}};
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 5; k++) {
            kx_error err = {0};
            kx_picture in, out;
            assert_ok(kx_picture_blank(sizes[i][0], sizes[i][1], colour, &in, &err));
            assert_ok(kx_resize_lanczos(&in, sizes[k][0], sizes[k][1], &out, &err));
            for (size_t p = 0; p < bytes_of(&out); p++) assert_int_equal(out.rgb[p], colour[p % 3]);
            kx_picture_free(&in);
            kx_picture_free(&out);
        }
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    kx_picture in = make_synthetic(4, 4), out, empty = {0};
    static const int sizes[][2] = {{0, 4}, {4, 0}, {-1, 4}, {40000, 4}, {32768, 32768}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kx_error err = {0};
        assert_int_equal(kx_resize_lanczos(&in, sizes[i][0], sizes[i][1], &out, &err), KX_ERR_INPUT);
        assert_null(out.rgb);
    }
    kx_error err = {0};
    assert_int_equal(kx_resize_lanczos(&empty, 4, 4, &out, &err), KX_ERR_INPUT);
    kx_picture_free(&in);
}

static void a_crop_keeps_the_top_left_corner(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_picture in = make_synthetic(20, 10), out;
    assert_ok(kx_picture_crop(&in, 16, 7, &out, &err));
    for (size_t y = 0; y < 7; y++) assert_memory_equal(out.rgb + y * 48, in.rgb + y * 60, 48);
    kx_picture_free(&out);
    assert_int_equal(kx_picture_crop(&in, 21, 7, &out, &err), KX_ERR_INPUT);
    assert_string_equal(err.message, "a picture of 20x10 cannot be cropped to 21x7");
    kx_picture_free(&in);
}

static void a_paste_is_cut_at_the_edges(void **state)
{
    (void)state;
    static const uint8_t black[3], white[3] = {255, 255, 255};
    for (int left = -5; left <= 9; left++)
        for (int top = -4; top <= 7; top++) {
            kx_error err = {0};
            kx_picture canvas, in;
            assert_ok(kx_picture_blank(8, 6, black, &canvas, &err));
            assert_ok(kx_picture_blank(4, 3, white, &in, &err));
            kx_picture_paste(&in, left, top, &canvas);
            for (int y = 0; y < 6; y++)
                for (int x = 0; x < 8; x++) {
                    bool inside = x >= left && x < left + 4 && y >= top && y < top + 3;
                    assert_int_equal(canvas.rgb[3 * (y * 8 + x)], inside ? 255 : 0);
                }
            kx_picture_free(&canvas);
            kx_picture_free(&in);
        }
}

static void stitching_matches_heights_and_goes_right(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_picture pictures[3] = {make_synthetic(30, 20), make_synthetic(33, 17), make_synthetic(1, 90)}, canvas,
               second;
    int left[3], width[3];
    assert_ok(kx_picture_stitch(pictures, 3, &canvas, left, width, &err));
    /* 20 * 33 / 17 = 38.8; a sliver keeps one pixel */
    assert_int_equal(width[1], 38);
    assert_int_equal(left[2], 68);
    assert_int_equal(width[2], 1);
    assert_int_equal(canvas.width_px, 69);
    assert_int_equal(canvas.height_px, 20);
    assert_ok(kx_resize_lanczos(&pictures[1], 38, 20, &second, &err));
    for (size_t y = 0; y < 20; y++) {
        assert_memory_equal(canvas.rgb + y * 69 * 3, pictures[0].rgb + y * 90, 90);
        assert_memory_equal(canvas.rgb + y * 69 * 3 + 90, second.rgb + y * 38 * 3, 38 * 3);
    }
    kx_picture_free(&canvas);
    kx_picture wide[2] = {make_synthetic(20, 2000), make_synthetic(400, 10)};
    assert_int_equal(kx_picture_stitch(wide, 2, &canvas, NULL, NULL, &err), KX_ERR_INPUT);
    assert_null(canvas.rgb);
    for (size_t i = 0; i < 3; i++) kx_picture_free(&pictures[i]);
    kx_picture_free(&wide[0]);
    kx_picture_free(&wide[1]);
    kx_picture_free(&second);
}

static void a_camera_picture_is_resized_quickly(void **state)
{
    (void)state;
    kx_error err = {0};
    struct timespec begin, end;
    kx_picture in = make_synthetic(4000, 3000), out;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    assert_ok(kx_resize_lanczos(&in, 1184, 880, &out, &err));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    print_message("# 4000x3000 to 1184x880: %.3f s\n", seconds);
    assert_true(seconds < 10); /* sanitizers and slow machines included */
    kx_picture_free(&in);
    kx_picture_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanczos_equals_pillow_to_the_byte),
        cmocka_unit_test(lanczos_equals_the_stored_pictures),
        cmocka_unit_test(an_equal_size_changes_nothing),
        cmocka_unit_test(a_plain_colour_stays_plain),
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(a_crop_keeps_the_top_left_corner),
        cmocka_unit_test(a_paste_is_cut_at_the_edges),
        cmocka_unit_test(stitching_matches_heights_and_goes_right),
        cmocka_unit_test(a_camera_picture_is_resized_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
