/* Bad pictures: each ends in KX_ERR_INPUT with a sentence, quickly, and with nothing left behind. */
#include "test_support.h"

#include "base/file.h"
#include "engine/images/decode.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const void *data, size_t bytes, const char *sentence)
{
    kx_error err = {0};
    kx_picture picture = {.rgb = (uint8_t *)1};
    assert_int_equal(kx_picture_decode(&picture, data, bytes, &err), KX_ERR_INPUT);
    assert_null(picture.rgb);
    if (strstr(err.message, sentence) == NULL)
        fail_msg("\"%s\" is expected in \"%s\"", sentence, err.message);
}

static void what_is_no_picture_is_named(void **state)
{
    (void)state;
    refuse("", 0, "the picture is empty");
    refuse("hello, I am a text file\n", 24, "this is text, not a picture; the known formats are JPEG, PNG");
    refuse("BM is how this text begins, and it is long", 42, "this is text");
    refuse("GIF is how this text begins", 27, "this is text");
    refuse("<svg xmlns=''></svg>", 20, "SVG");
    refuse("\0\0\0\x1c"
           "ftypavif\0\0\0\0avifmif1",
           24, "AVIF");
    refuse("\0\0\0\x1c"
           "ftypheic\0\0\0\0mif1heic",
           24, "HEIC");
    refuse("%PDF-1.4 and so on", 18, "PDF");
    refuse("\1\2\3\4\5\6\7\x08", 8, "not a picture of a known format");
}

static void a_load_names_the_file(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_picture picture;
    const char *path = test_write_file("notes.png", "only words\n", 11);
    assert_int_equal(kx_picture_load(&picture, path, &err), KX_ERR_INPUT);
    assert_memory_equal(err.message, path, strlen(path));
    assert_non_null(strstr(err.message, "notes.png: this is text"));
    err = (kx_error){0};
    assert_int_equal(kx_picture_load(&picture, "/nonexistent.png", &err), KX_ERR_INPUT);
    assert_non_null(strstr(err.message, "/nonexistent.png: No such file"));
    err = (kx_error){0};
    assert_int_equal(kx_picture_load(&picture, test_temporary_folder(), &err), KX_ERR_INPUT);
    assert_int_equal(kx_picture_load(&picture, "/nonexistent.png", NULL), KX_ERR_INPUT);
    assert_int_equal(kx_picture_load(&picture, NULL, NULL), KX_ERR_USAGE);
    assert_int_equal(kx_picture_decode(NULL, "x", 1, NULL), KX_ERR_USAGE);
    kx_picture_free(NULL);
    kx_free(NULL);
}

static void put_u32(uint8_t *at, uint32_t value, bool big_endian)
{
    for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (big_endian ? 24 - 8 * i : 8 * i));
}

static uint32_t png_crc(const uint8_t *data, size_t bytes)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* A PNG's signature, header of that size, and an IDAT chunk that never comes. */
static size_t make_png_header(uint8_t out[64], uint32_t width, uint32_t height)
{
    memcpy(out, "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", 16);
    put_u32(out + 16, width, true);
    put_u32(out + 20, height, true);
    memcpy(out + 24, "\x08\x02\0\0\0", 5);
    put_u32(out + 29, png_crc(out + 12, 17), true);
    memcpy(out + 33, "\0\0\1\0IDAT", 8);
    return 41;
}

static void a_size_over_the_limits_is_refused_from_the_header(void **state)
{
    (void)state;
    uint8_t file[64];
    refuse(file, make_png_header(file, 60000, 60000), "PNG is 60000x60000, the limit is 32768x32768");
    refuse(file, make_png_header(file, 1, 0x7fffffff), "PNG is 1x2147483647, the limit is 32768x32768");
    refuse(file, make_png_header(file, 20000, 20000),
           "PNG is 20000x20000 with 400000000 pixels, the limit is 100000000 pixels");
    uint8_t bmp[54] = "BM";
    put_u32(bmp + 10, 54, false);
    put_u32(bmp + 14, 40, false);
    put_u32(bmp + 18, 40000, false);
    put_u32(bmp + 22, 0x80000000, false);
    bmp[26] = 1;
    bmp[28] = 24;
    refuse(bmp, sizeof bmp, "BMP is 40000x2147483648, the limit is 32768x32768");
    static const char gif[] = "GIF89a\xff\xff\xff\xff\0\0\0\x2c\0\0\0\0\1\0\1\0\x80\0\0\0\0\0\0\2\2\x44\1\0;";
    refuse(gif, sizeof gif - 1, "GIF is 65535x65535, the limit is 32768x32768");
    static const char webp[] = "RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\x0f\0\0";
    refuse(webp, sizeof webp - 1, "WebP");
    static const char tiff[] = "II*\0\x08\0\0\0\4\0\0\1\4\0\1\0\0\0\0\0\1\0\1\1\4\0\1\0\0\0\0\0\1\0"
                               "\x11\1\4\0\1\0\0\0\x08\0\0\0\x17\1\4\0\1\0\0\0\1\0\0\0\0\0\0";
    refuse(tiff, sizeof tiff - 1, "TIFF is 65536x65536, the limit is 32768x32768");
    static const char jpeg[] = "\xff\xd8\xff\xc0\0\x11\x08\xea\x60\xea\x60\3\1\x11\0\2\x11\0\3\x11\0"
                               "\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0";
    refuse(jpeg, sizeof jpeg - 1, "JPEG is 60000x60000, the limit is 32768x32768");
}

static void a_file_over_the_byte_limit_is_refused(void **state)
{
    (void)state;
    uint8_t file[64] = {0};
    kx_picture picture;
    kx_error err = {0};
    kx_picture_limits limits = kx_picture_limits_default();
    limits.bytes = 40;
    assert_int_equal(kx_picture_decode_within(&picture, file, sizeof file, &limits, &err), KX_ERR_INPUT);
    assert_string_equal(err.message, "the picture has 64 bytes, the limit is 40");
}

/* What a cut may take away without harm: the bytes behind the end of the picture. GIF: further frames and the
 * end mark; BMP: the padding of the last row; TIFF: nothing, its list of tags lies behind the pixels in these
 * files, but a tag's value that is not needed may be the last one. */
static bool may_be_cut(const char *name, size_t cut, size_t bytes)
{
    if (strstr(name, ".gif") != NULL) return cut + 3 >= bytes || strcmp(name, "animated.gif") == 0;
    if (strstr(name, ".bmp") != NULL) return cut + 4 >= bytes;
    if (strstr(name, ".tif") != NULL) return true;
    return false;
}

static void check_cuts(const char *name, const uint8_t *data, size_t bytes)
{
    size_t step = strncmp(name, "icc_", 4) == 0 ? 41 : 1;
    for (size_t cut = 0; cut < bytes; cut += step) {
        uint8_t *copy = malloc(cut + 1); /* its own block: the sanitizer sees reads past the end */
        memcpy(copy, data, cut);
        kx_picture picture;
        kx_error err = {0};
        kx_status status = kx_picture_decode(&picture, copy, cut, &err);
        if (status == KX_OK && !may_be_cut(name, cut, bytes))
            fail_msg("%s cut at %zu of %zu bytes is taken for whole", name, cut, bytes);
        if (status != KX_OK && (status != KX_ERR_INPUT || err.message[0] == '\0' || picture.rgb != NULL))
            fail_msg("%s cut at %zu: status %s, \"%s\"", name, cut, kx_status_name(status), err.message);
        kx_picture_free(&picture);
        free(copy);
    }
}

/* Every byte (of files with a profile every 97th: setting up its conversion takes milliseconds), set to
 * values that break counts and sizes: any status, as long as nothing breaks. */
static void check_changes(const char *name, const uint8_t *data, size_t bytes)
{
    static const uint8_t values[] = {0, 0x7f, 0xff};
    kx_picture_limits limits = kx_picture_limits_default();
    limits.pixels = 1u << 20;
    size_t step = strncmp(name, "icc_", 4) == 0 ? 97 : 1;
    for (size_t at = 0; at < bytes; at += step)
        for (size_t v = 0; v < sizeof values; v++) {
            uint8_t *copy = malloc(bytes);
            memcpy(copy, data, bytes);
            copy[at] = values[v];
            kx_picture picture;
            kx_error err = {0};
            kx_status status = kx_picture_decode_within(&picture, copy, bytes, &limits, &err);
            assert_true(status == KX_OK || status == KX_ERR_INPUT || status == KX_ERR_MEMORY);
            assert_int_equal(status == KX_OK, picture.rgb != NULL);
            kx_picture_free(&picture);
            free(copy);
        }
}

static void for_each_small_picture(void (*check)(const char *name, const uint8_t *data, size_t bytes))
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_source_path("tests/data/images"));
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.' || strstr(entry->d_name, ".json") != NULL) continue;
        char *path = kx_file_join(folder, entry->d_name);
        size_t bytes;
        uint8_t *data = test_read_file(path, &bytes);
        check(entry->d_name, data, bytes);
        count++;
        free(data);
        free(path);
    }
    closedir(directory);
    assert_true(count > 50);
}

static void a_truncated_picture_is_refused(void **state)
{
    (void)state;
    for_each_small_picture(check_cuts);
    static const char *const names[] = {"progressive.jpg", "jpeg420.jpg",      "jpeg_restart.jpg",
                                        "lossy.webp",      "alpha_lossy.webp", "interlaced.png",
                                        "rgba.png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "golden/images/%s", names[i]);
        size_t bytes;
        uint8_t *data = test_read_file(test_shared_path(path), &bytes);
        check_cuts(names[i], data, bytes);
        free(data);
    }
}

static void changed_bytes_break_nothing(void **state)
{
    (void)state;
    for_each_small_picture(check_changes);
}

/* JPEG's marker segments of a progressive 8x8 grey picture whose scan is repeated without end. */
static void a_jpeg_with_endless_scans_is_refused(void **state)
{
    (void)state;
    static const char start[] = "\xff\xd8\xff\xdb\0\x43\0"
                                "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
                                "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
                                "\xff\xc2\0\x0b\x08\0\x08\0\x08\1\1\x11\0"
                                "\xff\xc4\0\x14\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    static const char scan[] = "\xff\xda\0\x08\1\1\0\0\0\0\x7f";
    size_t scans = 5000, at = sizeof start - 1;
    uint8_t *file = malloc(at + scans * (sizeof scan - 1) + 2);
    memcpy(file, start, at);
    for (size_t i = 0; i < scans; i++, at += sizeof scan - 1) memcpy(file + at, scan, sizeof scan - 1);
    memcpy(file + at, "\xff\xd9", 2);
    refuse(file, at + 2, "it has more than 200 scans");
    free(file);
}

static void the_smallest_picture_is_read(void **state)
{
    (void)state;
    static const uint8_t bmp[] = {'B', 'M', 58, 0, 0, 0, 0, 0, 0,  0, 54, 0, 0, 0, 40, 0, 0, 0, 1, 0,
                                  0,   0,   1,  0, 0, 0, 1, 0, 24, 0, 0,  0, 0, 0, 4,  0, 0, 0, 0, 0,
                                  0,   0,   0,  0, 0, 0, 0, 0, 0,  0, 0,  0, 0, 0, 3,  2, 1, 0};
    static const char gif[] = "GIF89a\1\0\1\0\x80\0\0\x0a\x14\x1e\0\0\0\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;";
    kx_picture picture;
    kx_error err = {0};
    assert_ok(kx_picture_decode(&picture, bmp, sizeof bmp, &err));
    assert_true(picture.width_px == 1 && picture.height_px == 1);
    assert_memory_equal(picture.rgb, "\1\2\3", 3);
    kx_picture_free(&picture);
    assert_ok(kx_picture_decode(&picture, gif, sizeof gif - 1, &err));
    assert_memory_equal(picture.rgb, "\x0a\x14\x1e", 3);
    kx_picture_free(&picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_picture_is_named),
        cmocka_unit_test(a_load_names_the_file),
        cmocka_unit_test(a_size_over_the_limits_is_refused_from_the_header),
        cmocka_unit_test(a_file_over_the_byte_limit_is_refused),
        cmocka_unit_test(a_truncated_picture_is_refused),
        cmocka_unit_test(changed_bytes_break_nothing),
        cmocka_unit_test(a_jpeg_with_endless_scans_is_refused),
        cmocka_unit_test(the_smallest_picture_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
