#include "formats_test_support.h"

#include "engine/formats/checksum.h"

static uint64_t checksum_of(const uint8_t *data, size_t bytes, size_t piece)
{
    kx_checksum sum = kx_checksum_start();
    for (size_t from = 0; from < bytes; from += piece)
        kx_checksum_add(&sum, data + from, bytes - from < piece ? bytes - from : piece);
    return kx_checksum_end(&sum);
}

static void a_checksum_does_not_depend_on_the_pieces(void **state)
{
    (void)state;
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 37 + 11);
    for (size_t bytes = 0; bytes <= sizeof data; bytes++) {
        uint64_t whole = checksum_of(data, bytes, sizeof data);
        for (size_t piece = 1; piece < 70; piece += 3) assert_true(checksum_of(data, bytes, piece) == whole);
    }
}

static void every_bit_and_the_length_count(void **state)
{
    (void)state;
    uint8_t data[100] = {0};
    uint64_t zeros = checksum_of(data, sizeof data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(checksum_of(data, sizeof data, sizeof data) != zeros);
        data[bit / 8] = 0;
    }
    for (size_t bytes = 0; bytes < sizeof data; bytes++)
        assert_true(checksum_of(data, bytes, sizeof data) != zeros);
}

/* Tensors that are appended in pieces which do not end where tensors do. */
static void a_writer_adds_the_checksums_of_its_tensors(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_safetensors file = {0};
    kx_safetensors_writer writer = {.alignment = 4096, .checksums = true};
    const char *path = test_write_file("sums.safetensors", "", 0);
    uint8_t data[40 + 7 + 96];
    const size_t sizes[] = {40, 7, 96};
    static const char *const names[] = {"b", "c", "a"};
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 5);
    for (size_t i = 0; i < 3; i++)
        assert_ok(
            kx_safetensors_writer_declare(&writer, names[i], KX_U8, 1, (int64_t[]){(int64_t)sizes[i]}, &err));
    assert_ok(kx_safetensors_writer_open(&writer, path, &err));
    for (size_t from = 0; from < sizeof data; from += 11)
        assert_ok(kx_safetensors_writer_append(&writer, data + from,
                                               sizeof data - from < 11 ? sizeof data - from : 11, &err));
    assert_ok(kx_safetensors_writer_commit(&writer, &err));
    assert_ok(kx_safetensors_open(&file, path, KX_ERR_MODEL, &err));
    const kx_safetensors_tensor *sums = kx_safetensors_find(&file, KX_CHECKSUM_TENSOR);
    const kx_safetensors_tensor *first = kx_safetensors_find(&file, "b");
    assert_true(sums != NULL && sums->dtype == KX_U64 && sums->count == 3);
    assert_true(first != NULL && (size_t)(first->data - file.map.data) % 4096 == 0);
    for (size_t i = 0, from = 0; i < 3; from += sizes[i++]) {
        uint64_t value;
        memcpy(&value, sums->data + 8 * i, sizeof value);
        assert_true(value == checksum_of(data + from, sizes[i], sizes[i]));
    }
    kx_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checksum_does_not_depend_on_the_pieces),
        cmocka_unit_test(every_bit_and_the_length_count),
        cmocka_unit_test(a_writer_adds_the_checksums_of_its_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
