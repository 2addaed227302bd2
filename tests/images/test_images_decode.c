/* Decoding against Pillow: the reference pictures, and the small ones of tests/make/make_pictures.py. */
#include "test_support.h"

#include "base/file.h"
#include "engine/images/decode.h"
#include "engine/images/exif.h"
#include "engine/images/orient.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *load_json(const char *path)
{
    json_error_t problem;
    json_t *root = json_load_file(path, 0, &problem);
    if (root == NULL) fail_msg("%s: %s", path, problem.text);
    return root;
}

static size_t picture_bytes(const kx_picture *picture)
{
    return (size_t)picture->width_px * (size_t)picture->height_px * 3;
}

/* JPEG may differ by 2 from build to build, by 4 where colours are interpolated, and so may WebP. */
static void check_samples(const char *file, const json_t *entry, const kx_picture *picture)
{
    int tolerance = strstr(file, "420") != NULL || strstr(file, "rocket") != NULL ||
                            strstr(file, "cmyk") != NULL || strstr(file, ".webp") != NULL ||
                            strstr(file, "progressive") != NULL || strstr(file, "restart") != NULL
                        ? 4
                        : 2;
    size_t index;
    json_t *sample;
    json_array_foreach(json_object_get(entry, "samples"), index, sample)
    {
        json_int_t x = json_integer_value(json_array_get(sample, 0)),
                   y = json_integer_value(json_array_get(sample, 1));
        for (size_t c = 0; c < 3; c++) {
            int expected = (int)json_integer_value(json_array_get(sample, 2 + c));
            int found = picture->rgb[3 * (size_t)(y * picture->width_px + x) + c];
            if (abs(found - expected) > tolerance)
                fail_msg("%s: channel %zu at (%d, %d) is %d, expected %d", file, c, (int)x, (int)y, found,
                         expected);
        }
    }
    for (size_t c = 0; c < 3; c++) {
        double sum = 0, pixels = (double)picture->width_px * picture->height_px;
        for (size_t i = c; i < picture_bytes(picture); i += 3) sum += picture->rgb[i];
        double expected = json_real_value(json_array_get(json_object_get(entry, "mean"), c));
        if (sum / pixels < expected - 0.5 || sum / pixels > expected + 0.5)
            fail_msg("%s: the mean of channel %zu is %g, expected %g", file, c, sum / pixels, expected);
    }
}

/* Files with alpha are compared over white, 16-bit ones with the high byte. */
static const char *expected_sha256(const json_t *entry)
{
    static const char *const keys[] = {"rgba_over_white_sha256", "high_byte_rgb_sha256", "rgb_sha256"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value = json_string_value(json_object_get(entry, keys[i]));
        if (value != NULL) return value;
    }
    return "";
}

static void reference_pictures_decode_as_pillow_decodes_them(void **state)
{
    (void)state;
    json_t *root = load_json(test_shared_path("golden/decode.json"));
    size_t index, exact = 0, lossy = 0;
    json_t *entry;
    json_array_foreach(json_object_get(root, "files"), index, entry)
    {
        const char *file = json_string_value(json_object_get(entry, "file"));
        if (strstr(file, ".ppm") != NULL) continue; /* a format that is not read */
        char path[256];
        snprintf(path, sizeof path, "golden/images/%s", file);
        kx_error err = {0};
        kx_picture picture;
        if (kx_picture_load(&picture, test_shared_path(path), &err) != KX_OK) fail_msg("%s", err.message);
        const json_t *size = json_object_get(entry, "size");
        if (picture.width_px != json_integer_value(json_array_get(size, 0)) ||
            picture.height_px != json_integer_value(json_array_get(size, 1)))
            fail_msg("%s is %dx%d", file, picture.width_px, picture.height_px);
        bool equal = strcmp(test_sha256(picture.rgb, picture_bytes(&picture)), expected_sha256(entry)) == 0;
        bool is_lossy = json_is_true(json_object_get(entry, "lossy"));
        if (!is_lossy && !equal) fail_msg("%s has other pixels", file);
        if (!equal && strstr(file, "alpha") == NULL) check_samples(file, entry, &picture);
        if (!equal) print_message("# %s differs from the reference within its tolerance\n", file);
        exact += equal;
        lossy += is_lossy;
        kx_picture_free(&picture);
    }
    print_message("# %zu of %zu equal to the byte (%zu are lossy)\n", exact, index, lossy);
    assert_true(exact >= 20);
    json_decref(root);
}

static uint8_t hex_byte(const char *hex)
{
    char text[3] = {hex[0], hex[1], 0};
    return (uint8_t)strtoul(text, NULL, 16);
}

static void small_pictures_of_every_kind_decode_to_their_values(void **state)
{
    (void)state;
    json_t *root = load_json(test_source_path("tests/data/images/pictures.json"));
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(root, "pictures"), index, entry)
    {
        const char *file = json_string_value(json_object_get(entry, "file"));
        const char *hex = json_string_value(json_object_get(entry, "rgb"));
        int tolerance = (int)json_integer_value(json_object_get(entry, "tolerance"));
        char path[256];
        snprintf(path, sizeof path, "tests/data/images/%s", file);
        kx_error err = {0};
        kx_picture picture;
        if (kx_picture_load(&picture, test_source_path(path), &err) != KX_OK) fail_msg("%s", err.message);
        if (picture.width_px != json_integer_value(json_object_get(entry, "width")) ||
            picture.height_px != json_integer_value(json_object_get(entry, "height")))
            fail_msg("%s is %dx%d", file, picture.width_px, picture.height_px);
        assert_int_equal(strlen(hex), 2 * picture_bytes(&picture));
        for (size_t i = 0; i < picture_bytes(&picture); i++) {
            int expected = hex_byte(hex + 2 * i), found = picture.rgb[i];
            if (abs(found - expected) > tolerance)
                fail_msg("%s: channel %zu of pixel %zu is %d, expected %d", file, i % 3, i / 3, found,
                         expected);
        }
        kx_picture_free(&picture);
    }
    assert_true(index > 50);
    json_decref(root);
}

static void orientations_turn_a_picture_as_exif_says(void **state)
{
    (void)state;
    /* 2x3 pixels a b / c d / e f, by the red channel; where EXIF puts the first row and column. */
    static const struct {
        int orientation, width;
        const char *pixels;
    } cases[] = {{0, 2, "abcdef"}, {1, 2, "abcdef"}, {2, 2, "badcfe"}, {3, 2, "fedcba"}, {4, 2, "efcdab"},
                 {5, 3, "acebdf"}, {6, 3, "ecafdb"}, {7, 3, "fdbeca"}, {8, 3, "bdface"}, {9, 2, "abcdef"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_error err = {0};
        kx_picture picture = {.width_px = 2, .height_px = 3, .rgb = calloc(6, 3)};
        for (size_t p = 0; p < 6; p++) picture.rgb[3 * p] = (uint8_t)('a' + p);
        assert_ok(kx_orient_picture(&picture, cases[i].orientation, &err));
        assert_int_equal(picture.width_px, cases[i].width);
        char found[7] = "";
        for (size_t p = 0; p < 6; p++) found[p] = (char)picture.rgb[3 * p];
        assert_string_equal(found, cases[i].pixels);
        kx_picture_free(&picture);
    }
}

static void a_broken_exif_block_has_no_orientation(void **state)
{
    (void)state;
    static const uint8_t good[] = "Exif\0\0II*\0\x08\0\0\0\x02\0"
                                  "\x0f\x01\x02\0\x01\0\0\0\0\0\0\0"
                                  "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0";
    size_t bytes = sizeof good - 1;
    assert_int_equal(kx_exif_orientation(good, bytes), 6);
    assert_int_equal(kx_exif_orientation(good + 6, bytes - 6), 6);
    for (size_t cut = 0; cut < 6 + 8 + 2 + 12 + 10; cut++) {
        uint8_t *copy = malloc(cut + 1); /* so that a read past the end is seen by the sanitizer */
        memcpy(copy, good, cut);
        assert_int_equal(kx_exif_orientation(copy, cut), 0);
        free(copy);
    }
    uint8_t bad[sizeof good];
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{6, 'X'}, {8, 43}, {10, 0xff}, {13, 0xff}, {30, 4}, {32, 2}, {36, 9}, {36, 0}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        memcpy(bad, good, sizeof good);
        bad[changes[i].at] = changes[i].value;
        if (kx_exif_orientation(bad, bytes) != 0) fail_msg("byte %zu = %u", changes[i].at, changes[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_pictures_decode_as_pillow_decodes_them),
        cmocka_unit_test(small_pictures_of_every_kind_decode_to_their_values),
        cmocka_unit_test(orientations_turn_a_picture_as_exif_says),
        cmocka_unit_test(a_broken_exif_block_has_no_orientation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
