/* Encoding: what was written comes back, metadata is where programs look for it, and bytes repeat. */
#include "test_support.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_TYPE                                                                                          \
    "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/"                         \
    "compositeWithTrainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>"

/* Smooth with some detail, so that lossy formats stay close. */
static kx_picture make_picture(int width, int height)
{
    kx_picture picture = {
        .width_px = width, .height_px = height, .rgb = malloc((size_t)width * (size_t)height * 3)};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *pixel = picture.rgb + 3 * (y * width + x);
            pixel[0] = (uint8_t)(x * 255 / width);
            pixel[1] = (uint8_t)(y * 255 / height);
            pixel[2] = (uint8_t)(128 + 60 * ((x / 8 + y / 8) % 2));
        }
    return picture;
}

static bool contains(const uint8_t *data, size_t bytes, const char *text)
{
    size_t length = strlen(text);
    for (size_t at = 0; at + length <= bytes; at++)
        if (memcmp(data + at, text, length) == 0) return true;
    return false;
}

static const kx_text_entry entries[] = {
    {"prompt", "a \"cat\" & a <dog>, gr\xc3\xbc\xc3\x9f"
               "e\nsecond line \x01 end"},
    {"seed", "42"},
    {"model", "demo"},
};

static double mean_difference(const kx_picture *a, const kx_picture *b)
{
    size_t bytes = (size_t)a->width_px * (size_t)a->height_px * 3;
    double sum = 0;
    for (size_t i = 0; i < bytes; i++) sum += abs(a->rgb[i] - b->rgb[i]);
    return sum / (double)bytes;
}

static void every_format_comes_back(void **state)
{
    (void)state;
    static const struct {
        kx_picture_format format;
        int quality;
        double difference;
    } cases[] = {{KX_FORMAT_PNG, 0, 0},    {KX_FORMAT_WEBP, 0, 0}, {KX_FORMAT_WEBP, 90, 5},
                 {KX_FORMAT_WEBP, 1, 30},  {KX_FORMAT_JPEG, 0, 3}, {KX_FORMAT_JPEG, 89, 5},
                 {KX_FORMAT_JPEG, 100, 1}, {KX_FORMAT_JPEG, 1, 40}};
    static const int sizes[][2] = {{1, 1}, {64, 48}, {33, 17}, {1, 300}, {300, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            kx_error err = {0};
            kx_picture picture = make_picture(sizes[s][0], sizes[s][1]), back;
            kx_save_options options = {cases[i].format, cases[i].quality, entries, s % 2 == 0 ? 3 : 0};
            uint8_t *data, *again;
            size_t bytes, again_bytes;
            assert_ok(kx_picture_encode(&picture, &options, &data, &bytes, &err));
            assert_ok(kx_picture_encode(&picture, &options, &again, &again_bytes, &err));
            assert_int_equal(bytes, again_bytes);
            assert_memory_equal(data, again, bytes);
            assert_ok(kx_picture_decode(&back, data, bytes, &err));
            assert_true(back.width_px == picture.width_px && back.height_px == picture.height_px);
            double difference = mean_difference(&picture, &back);
            if (difference > cases[i].difference)
                fail_msg("format %d, quality %d, %dx%d: mean difference %g", (int)cases[i].format,
                         cases[i].quality, sizes[s][0], sizes[s][1], difference);
            kx_free(data);
            kx_free(again);
            kx_picture_free(&picture);
            kx_picture_free(&back);
        }
}

static void metadata_is_written_and_escaped(void **state)
{
    (void)state;
    static const kx_picture_format formats[] = {KX_FORMAT_PNG, KX_FORMAT_JPEG, KX_FORMAT_WEBP};
    kx_picture picture = make_picture(16, 16);
    for (size_t i = 0; i < 3; i++) {
        kx_error err = {0};
        uint8_t *data;
        size_t bytes;
        kx_save_options options = {formats[i], 0, entries, 3};
        assert_ok(kx_picture_encode(&picture, &options, &data, &bytes, &err));
        assert_true(contains(data, bytes, SOURCE_TYPE));
        if (formats[i] == KX_FORMAT_PNG) {
            assert_true(contains(data, bytes, "sRGB"));
            assert_true(contains(data, bytes, "iTXtseed")); /* then flags, two empty strings, the value */
            assert_true(contains(data, bytes, entries[0].value));
            assert_true(contains(data, bytes, "iTXtXML:com.adobe.xmp"));
        } else {
            assert_true(contains(data, bytes, "<kontext:seed>42</kontext:seed>"));
            assert_true(contains(data, bytes,
                                 "<kontext:prompt>a &quot;cat&quot; &amp; a &lt;dog&gt;, gr\xc3\xbc\xc3\x9f"
                                 "e\nsecond line \xef\xbf\xbd end</kontext:prompt>"));
        }
        kx_free(data);
    }
    kx_picture_free(&picture);
}

static void without_entries_there_is_no_metadata(void **state)
{
    (void)state;
    static const kx_picture_format formats[] = {KX_FORMAT_PNG, KX_FORMAT_JPEG, KX_FORMAT_WEBP};
    kx_picture picture = make_picture(16, 16);
    for (size_t i = 0; i < 3; i++) {
        kx_error err = {0};
        uint8_t *data;
        size_t bytes;
        kx_save_options options = {formats[i], 0, NULL, 0};
        assert_ok(kx_picture_encode(&picture, &options, &data, &bytes, &err));
        static const char *const words[] = {"iTXt", "tEXt", "xmp", "XMP", "adobe", "kontext", "Exif", "tIME"};
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
            assert_false(contains(data, bytes, words[w]));
        kx_free(data);
    }
    kx_picture_free(&picture);
}

static void a_long_prompt_is_kept_or_visibly_cut(void **state)
{
    (void)state;
    size_t length = 200000;
    char *text = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        text[i] = "<\xc3\xa4"[i % 3]; /* escapes, and characters of two bytes */
    text[length / 3 * 3] = '\0';
    kx_text_entry long_entries[] = {{"prompt", text}, {"seed", "7"}};
    static const kx_picture_format formats[] = {KX_FORMAT_PNG, KX_FORMAT_JPEG, KX_FORMAT_WEBP};
    kx_picture picture = make_picture(16, 16), back;
    for (size_t i = 0; i < 3; i++) {
        kx_error err = {0};
        uint8_t *data;
        size_t bytes;
        kx_save_options options = {formats[i], 0, long_entries, 2};
        assert_ok(kx_picture_encode(&picture, &options, &data, &bytes, &err));
        assert_ok(kx_picture_decode(&back, data, bytes, &err));
        bool cut = contains(data, bytes, "\xe2\x80\xa6</kontext:prompt>");
        assert_int_equal(cut, formats[i] == KX_FORMAT_JPEG);
        assert_true(formats[i] == KX_FORMAT_PNG ? bytes > length : contains(data, bytes, "<kontext:seed>7<"));
        kx_picture_free(&back);
        kx_free(data);
    }
    kx_picture_free(&picture);
    free(text);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    kx_text_entry bad[] = {{"", "x"},   {"two words", "x"}, {"7up", "x"},    {"XML:com.adobe.xmp", "x"},
                           {NULL, "x"}, {"key", NULL},      {"key", "\xff"}, {"key", "\xed\xa0\x80"}};
    kx_picture picture = make_picture(16, 16), empty = {0};
    uint8_t *data = NULL;
    size_t bytes;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kx_error err = {0};
        kx_save_options options = {KX_FORMAT_PNG, 0, &bad[i], 1};
        assert_int_equal(kx_picture_encode(&picture, &options, &data, &bytes, &err), KX_ERR_INPUT);
        assert_non_null(strstr(err.message, "metadata"));
        assert_null(data);
    }
    kx_text_entry twice[] = {{"a", "1"}, {"a", "2"}};
    kx_save_options cases[] = {
        {KX_FORMAT_PNG, 0, twice, 2},  {KX_FORMAT_AUTO, 0, NULL, 0},       {KX_FORMAT_JPEG, 101, NULL, 0},
        {KX_FORMAT_JPEG, -1, NULL, 0}, {(kx_picture_format)9, 0, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(kx_picture_encode(&picture, &cases[i], &data, &bytes, NULL), KX_ERR_INPUT);
    kx_save_options png = {KX_FORMAT_PNG, 0, NULL, 0};
    assert_int_equal(kx_picture_encode(&empty, &png, &data, &bytes, NULL), KX_ERR_INPUT);
    assert_int_equal(kx_picture_encode(&picture, NULL, &data, &bytes, NULL), KX_ERR_USAGE);
    kx_picture_free(&picture);
}

static void a_picture_beyond_the_format_is_refused(void **state)
{
    (void)state;
    static const struct {
        kx_picture_format format;
        int width;
        const char *sentence;
    } cases[] = {{KX_FORMAT_WEBP, 16384, "the picture is 16384x1, WebP holds at most 16383x16383"},
                 {KX_FORMAT_JPEG, 65501, "the picture is 65501x1, JPEG holds at most 65500x65500"}};
    for (size_t i = 0; i < 2; i++) {
        kx_error err = {0};
        kx_picture picture = make_picture(cases[i].width, 1);
        kx_save_options options = {cases[i].format, 0, NULL, 0};
        uint8_t *data;
        size_t bytes;
        assert_int_equal(kx_picture_encode(&picture, &options, &data, &bytes, &err), KX_ERR_INPUT);
        assert_string_equal(err.message, cases[i].sentence);
        kx_picture_free(&picture);
    }
}

static void a_save_chooses_the_format_by_the_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *name, *magic;
        size_t length;
    } cases[] = {{"a.png", "\x89PNG", 4},
                 {"a.JPG", "\xff\xd8\xff", 3},
                 {"a.jpeg", "\xff\xd8\xff", 3},
                 {"a.b.WebP", "RIFF", 4}};
    kx_picture picture = make_picture(20, 10);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_error err = {0};
        char *path = kx_file_join(test_temporary_folder(), cases[i].name);
        assert_ok(kx_picture_save(&picture, path, NULL, &err));
        size_t bytes;
        uint8_t *data = test_read_file(path, &bytes);
        assert_memory_equal(data, cases[i].magic, cases[i].length);
        free(data);
        free(path);
    }
    kx_error err = {0};
    char *path = kx_file_join(test_temporary_folder(), "b.jpg");
    kx_save_options as_png = {KX_FORMAT_PNG, 0, NULL, 0};
    assert_ok(kx_picture_save(&picture, path, &as_png, &err));
    size_t bytes;
    uint8_t *data = test_read_file(path, &bytes);
    assert_memory_equal(data, "\x89PNG", 4);
    free(data);
    free(path);
    kx_picture_free(&picture);
}

static void a_save_that_cannot_be_is_refused(void **state)
{
    (void)state;
    kx_picture picture = make_picture(20, 10);
    static const char *const names[] = {"out", "out.gif", "out.tiff", "out.png/", ".", "dir.png/file"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        kx_error err = {0};
        char *path = kx_file_join(test_temporary_folder(), names[i]);
        assert_int_equal(kx_picture_save(&picture, path, NULL, &err), KX_ERR_INPUT);
        assert_non_null(strstr(err.message, "the name must end in .png, .jpg, .jpeg or .webp"));
        assert_false(strcmp(names[i], ".") != 0 && kx_file_exists(path));
        free(path);
    }
    kx_error err = {0};
    assert_int_equal(kx_picture_save(&picture, "/nonexistent/folder/a.png", NULL, &err), KX_ERR_OUTPUT);
    assert_int_equal(kx_picture_save(&picture, NULL, NULL, NULL), KX_ERR_USAGE);
    kx_picture_free(&picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_comes_back),
        cmocka_unit_test(metadata_is_written_and_escaped),
        cmocka_unit_test(without_entries_there_is_no_metadata),
        cmocka_unit_test(a_long_prompt_is_kept_or_visibly_cut),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(a_picture_beyond_the_format_is_refused),
        cmocka_unit_test(a_save_chooses_the_format_by_the_suffix),
        cmocka_unit_test(a_save_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
