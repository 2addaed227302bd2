#include "formats_test_support.h"

#include <dirent.h>

static kx_status open_raw(const char *header, size_t data_bytes, kx_error *err)
{
    size_t bytes;
    uint8_t *data = raw_file(header, data_bytes, &bytes);
    kx_safetensors file;
    kx_status status = kx_safetensors_open_memory(&file, data, bytes, "f", KX_ERR_MODEL, err);
    kx_safetensors_close(&file);
    free(data);
    return status;
}

static void assert_refused(const char *header, size_t data_bytes, const char *words)
{
    kx_error err = {0};
    kx_status status = open_raw(header, data_bytes, &err);
    assert_says(&err, status, KX_ERR_MODEL, words);
}

static void assert_accepted(const char *header, size_t data_bytes)
{
    kx_error err = {0};
    assert_ok(open_raw(header, data_bytes, &err));
}

#define TENSOR(name, dtype, shape, offsets)                                                                  \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void what_is_written_is_read(void **state)
{
    (void)state;
    kx_error err = {0};
    float a[6] = {1, 2, 3, 4, 5, 6};
    uint16_t b[2] = {0x3f80, 0xc000};
    float scalar = 7;
    test_item items[] = {
        {"zeta.weight", KX_F32, 2, {2, 3}, a},
        {"alpha", KX_BF16, 1, {2}, b},
        {"a \"quoted\" \\ name", KX_F32, 0, {0}, &scalar},
        {"empty", KX_F32, 2, {0, 3}, a},
    };
    const char *path = path_in(test_temporary_folder(), "round.safetensors");
    write_items(path, items, 4, "prompt", "line\none \"two\" \xc3\xa4\x01");
    kx_safetensors file;
    assert_ok(kx_safetensors_open(&file, path, KX_ERR_MODEL, &err));
    assert_int_equal(file.num_tensors, 4);
    assert_string_equal(kx_safetensors_metadata(&file, "prompt"), "line\none \"two\" \xc3\xa4\x01");
    assert_null(kx_safetensors_metadata(&file, "absent"));
    const kx_safetensors_tensor *zeta = kx_safetensors_find(&file, "zeta.weight");
    assert_non_null(zeta);
    assert_int_equal(zeta->rank, 2);
    assert_int_equal(zeta->shape[0], 2);
    assert_int_equal(zeta->shape[1], 3);
    assert_int_equal(zeta->count, 6);
    assert_memory_equal(zeta->data, a, sizeof a);
    char shape[16];
    kx_safetensors_shape_text(zeta, shape, sizeof shape);
    assert_string_equal(shape, "[2,3]");
    assert_memory_equal(kx_safetensors_find(&file, "alpha")->data, b, sizeof b);
    assert_int_equal(kx_safetensors_find(&file, "a \"quoted\" \\ name")->rank, 0);
    assert_memory_equal(kx_safetensors_find(&file, "a \"quoted\" \\ name")->data, &scalar, 4);
    assert_int_equal(kx_safetensors_find(&file, "empty")->bytes, 0);
    assert_null(kx_safetensors_find(&file, "beta"));
    for (size_t i = 1; i < file.num_tensors; i++)
        assert_true(strcmp(file.tensors[i - 1].name, file.tensors[i].name) < 0);
    kx_safetensors_close(&file);
}

static void a_file_of_nothing_is_legal(void **state)
{
    (void)state;
    assert_accepted("{}", 0);
    assert_accepted("{}   ", 0);
    assert_accepted("{\"__metadata__\":{}}", 0);
    assert_accepted("{" TENSOR("s", "F32", "[]", "[0,4]") "}", 4);
    assert_accepted("{" TENSOR("z", "F32", "[0]", "[4,4]") "," TENSOR("s", "F32", "[]", "[0,4]") "}", 4);
    assert_accepted("{" TENSOR("z", "F32", "[0]", "[0,0]") "," TENSOR("s", "F32", "[]", "[0,4]") "}", 4);
    const char *path = path_in(test_temporary_folder(), "empty.safetensors");
    write_items(path, NULL, 0, NULL, NULL);
    kx_error err = {0};
    kx_safetensors file;
    assert_ok(kx_safetensors_open(&file, path, KX_ERR_MODEL, &err));
    assert_null(kx_safetensors_find(&file, "x"));
    kx_safetensors_close(&file);
}

static void a_lying_header_length_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[16];
        size_t size;
        const char *words;
    } cases[] = {
        {{0}, 0, "at least 8"},
        {{1, 2, 3}, 3, "at least 8"},
        {{0}, 8, "no JSON object"},
        {{0, 0, 0, 0, 0, 0, 0, 0x10, '{', '}'}, 10, "a header of 1152921504606846976 bytes"}, /* 2^60 */
        {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "18446744073709551615"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "truncated"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{', '}', 0}, 11, "1 bytes longer"},
        {{2, 0, 0, 0, 0, 0, 0, 0, ' ', '{', '}'}, 10, "no JSON object"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '[', ']'}, 10, "no JSON object"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{', '{'}, 10, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kx_error err = {0};
        kx_safetensors file;
        kx_status status =
            kx_safetensors_open_memory(&file, cases[i].bytes, cases[i].size, "f", KX_ERR_MODEL, &err);
        assert_says(&err, status, KX_ERR_MODEL, cases[i].words);
    }
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    kx_error err = {0};
    kx_safetensors file;
    kx_status status =
        kx_safetensors_open_memory(&file, pointer, sizeof pointer - 1, "f", KX_ERR_MODEL, &err);
    assert_says(&err, status, KX_ERR_MODEL, "Git LFS pointer");
}

static void tensors_must_tile_the_data(void **state)
{
    (void)state;
    assert_accepted("{" TENSOR("b", "F32", "[2]", "[4,12]") "," TENSOR("a", "F32", "[1]", "[0,4]") "}", 12);
    assert_refused("{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("b", "F32", "[2]", "[4,12]") "}", 12,
                   "overlap");
    assert_refused("{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("b", "F32", "[2]", "[0,8]") "}", 8,
                   "overlap");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("b", "F32", "[1]", "[8,12]") "}", 12,
                   "4 data bytes before tensor b belong to no tensor");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[4,8]") "}", 8, "belong to no tensor");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "}", 3, "truncated");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "}", 6, "2 bytes longer");
    assert_refused("{" TENSOR("z", "F32", "[0]", "[2,2]") "," TENSOR("s", "F32", "[]", "[0,4]") "}", 4,
                   "overlap");
}

static void shapes_types_and_offsets_must_agree(void **state)
{
    (void)state;
    assert_refused("{" TENSOR("a", "F32", "[2]", "[0,4]") "}", 4, "do not hold the 8 bytes");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[4,0]") "}", 4, "do not hold the 4 bytes");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[18446744073709551612,0]") "}", 4, "not valid JSON");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4,
                   "truncated");
    assert_refused("{" TENSOR("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "overflows");
    assert_refused("{" TENSOR("a", "F64", "[4611686018427387904]", "[0,0]") "}", 0, "overflows");
    assert_refused("{" TENSOR("a", "U8", "[9223372036854775807,1,1]", "[0,0]") "}", 0, "do not hold");
    assert_refused("{" TENSOR("a", "F32", "[-1]", "[0,0]") "}", 0, "whole numbers");
    assert_refused("{" TENSOR("a", "F32", "[1.0]", "[0,4]") "}", 4, "whole numbers");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[0,\"4\"]") "}", 4, "whole numbers");
    assert_refused("{" TENSOR("a", "F32", "[1]", "[0,4,8]") "}", 4, "no pair");
    assert_refused("{" TENSOR("a", "F32", "7", "[0,4]") "}", 4, "no list");
    assert_refused("{" TENSOR("a", "F4", "[1]", "[0,4]") "}", 4, "unknown type F4");
    assert_refused("{" TENSOR("a", "f32", "[1]", "[0,4]") "}", 4, "unknown type f32");
    assert_refused("{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "9 dimensions");
    assert_accepted("{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1]", "[0,4]") "}", 4);
    assert_refused("{" TENSOR("", "F32", "[1]", "[0,4]") "}", 4, "name has 0 bytes");
    assert_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no text \"dtype\"");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no list \"shape\"");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "no pair");
    assert_refused("{\"a\":[]}", 0, "not described by an object");
}

static void names_and_metadata_are_checked(void **state)
{
    (void)state;
    assert_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("a", "F32", "[1]", "[4,8]") "}", 8,
                   "not valid JSON");
    assert_refused("{\"__metadata__\":{\"a\":1}}", 0, "not a text");
    assert_refused("{\"__metadata__\":[]}", 0, "not an object");
    assert_refused("{\"a\\u0000b\":{}}", 0, "not valid JSON");
    assert_refused("{} x", 0, "not valid JSON");
    char name[400], header[800];
    memset(name, 'n', sizeof name);
    name[257] = '\0';
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", name);
    assert_refused(header, 1, "name has 257 bytes");
    name[256] = '\0';
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", name);
    assert_accepted(header, 1);
}

/* The tree that a header unfolds into is bounded before it is built. */
static void a_header_of_endless_lists_is_refused(void **state)
{
    (void)state;
    size_t length = 4 << 20;
    char *header = malloc(length + 1);
    memset(header, ',', length);
    for (size_t i = 6; i < length; i += 2) header[i] = '1';
    memcpy(header, "{\"a\":[1", 7);
    header[length] = '\0';
    assert_refused(header, 0, "too many values");
    /* Commas inside texts are no values. */
    memset(header, ',', length);
    memcpy(header, "{\"__metadata__\":{\"a\\\"\":\"", 24);
    memcpy(header + length - 3, "\"}}", 3);
    assert_accepted(header, 0);
    memset(header, '[', length);
    memcpy(header, "{\"a\":", 5);
    assert_refused(header, 0, "too many values");
    header[10000] = '\0';
    assert_refused(header, 0, "not valid JSON");
    free(header);
}

static void the_caller_says_who_is_to_blame(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_safetensors file;
    kx_status status = kx_safetensors_open(&file, "/nonexistent/noise.safetensors", KX_ERR_INPUT, &err);
    assert_says(&err, status, KX_ERR_INPUT, "/nonexistent/noise.safetensors");
    status = kx_safetensors_open(&file, test_write_file("short", "1234", 4), KX_ERR_INPUT, &err);
    assert_says(&err, status, KX_ERR_INPUT, "at least 8");
    status = kx_safetensors_open(&file, test_temporary_folder(), KX_ERR_MODEL, &err);
    assert_says(&err, status, KX_ERR_MODEL, "directory");
}

static size_t files_in(const char *folder)
{
    DIR *directory = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void the_writer_keeps_its_word_or_leaves_nothing(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *folder = fresh_folder("writer");
    const char *path = path_in(folder, "out.safetensors");
    int64_t shape[1] = {2};
    float data[3] = {1, 2, 3};
    for (int round = 0; round < 2; round++) {
        kx_safetensors_writer writer = {0};
        assert_ok(kx_safetensors_writer_declare(&writer, "x", KX_F32, 1, shape, &err));
        assert_ok(kx_safetensors_writer_open(&writer, path, &err));
        kx_status status = round == 0 ? kx_safetensors_writer_append(&writer, data, 12, &err)
                                      : kx_safetensors_writer_commit(&writer, &err);
        assert_int_equal(status, KX_ERR_INTERNAL);
        err = (kx_error){0};
        kx_safetensors_writer_discard(&writer);
        assert_int_equal(files_in(folder), 0);
    }
    kx_safetensors_writer writer = {0};
    assert_ok(kx_safetensors_writer_declare(&writer, "x", KX_F32, 1, shape, &err));
    kx_status status = kx_safetensors_writer_open(&writer, "/nonexistent/out.safetensors", &err);
    assert_says(&err, status, KX_ERR_OUTPUT, "/nonexistent/out.safetensors");
    kx_safetensors_writer_discard(&writer);
}

static void the_reference_files_can_be_read(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_safetensors file;
    assert_ok(
        kx_safetensors_open(&file, test_shared_path("golden/gguf-blocks.safetensors"), KX_ERR_MODEL, &err));
    assert_true(file.num_tensors > 0);
    kx_safetensors_close(&file);
    const char *path =
        test_shared_path("golden/tiny-diffusers/transformer/diffusion_pytorch_model.safetensors");
    assert_ok(kx_safetensors_open(&file, path, KX_ERR_MODEL, &err));
    assert_int_equal(file.num_tensors, 126);
    assert_string_equal(kx_safetensors_metadata(&file, "format"), "pt");
    /* Every cut of a real file is refused. */
    for (size_t bytes = 0; bytes < file.map.bytes; bytes += 1 + bytes / 3) {
        kx_safetensors cut;
        kx_status status = kx_safetensors_open_memory(&cut, file.map.data, bytes, "cut", KX_ERR_MODEL, &err);
        assert_says(&err, status, KX_ERR_MODEL, "cut: ");
    }
    kx_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_file_of_nothing_is_legal),
        cmocka_unit_test(a_lying_header_length_is_refused),
        cmocka_unit_test(tensors_must_tile_the_data),
        cmocka_unit_test(shapes_types_and_offsets_must_agree),
        cmocka_unit_test(names_and_metadata_are_checked),
        cmocka_unit_test(a_header_of_endless_lists_is_refused),
        cmocka_unit_test(the_caller_says_who_is_to_blame),
        cmocka_unit_test(the_writer_keeps_its_word_or_leaves_nothing),
        cmocka_unit_test(the_reference_files_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
