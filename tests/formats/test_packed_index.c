/* What a file says of its packed matrices, as far as a converted model (tests/pipeline) does not show it. */
#include "formats_test_support.h"

#include "engine/formats/packed_index.h"

static kx_status text_of(int64_t rows, int64_t cols, kx_bytes *text, kx_error *err)
{
    kx_packed_entry matrix = {.name = "m", .rows = rows, .cols = cols, .split = 64};
    kx_packed_entry parameter = {.name = "m.weight", .rows = rows, .cols = cols};
    const kx_packed_index index = {.dtype = KX_I8,
                                   .matrices = &matrix,
                                   .num_matrices = 1,
                                   .parameters = &parameter,
                                   .num_parameters = 1};
    return kx_packed_index_text(&index, text, err);
}

static void what_is_larger_than_can_be_read_is_not_written(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_bytes text = {0};
    assert_ok(text_of(KX_PACKED_MAX_EXTENT, KX_PACKED_MAX_EXTENT, &text, &err));
    assert_string_equal((const char *)text.data, "{\"version\":2,\"precision\":\"int8\",\"group\":512,"
                                                 "\"matrices\":{\"m\":[1048576,1048576,64]},"
                                                 "\"parameters\":{\"m.weight\":[1048576,1048576]}}");
    kx_bytes_free(&text);
    assert_says(&err, text_of(KX_PACKED_MAX_EXTENT + 1, 8, &text, &err), KX_ERR_MODEL, "1048577 rows");
    kx_bytes_free(&text);
    assert_says(&err, text_of(8, KX_PACKED_MAX_EXTENT + 1, &text, &err), KX_ERR_MODEL, "1048577 columns");
    kx_bytes_free(&text);
}

/* The sums that the reader makes of the extents. */
static void sums_of_the_largest_matrices_fit(void **state)
{
    (void)state;
    int64_t extent = KX_PACKED_MAX_EXTENT, elements, bytes;
    assert_false(__builtin_mul_overflow(extent * extent, (int64_t)KX_LIMIT_TENSORS, &elements));
    kx_packed_bytes size = kx_packed_size(KX_BF16, extent, extent, extent - 1);
    assert_false(__builtin_mul_overflow((int64_t)size.data, (int64_t)KX_LIMIT_TENSORS, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_larger_than_can_be_read_is_not_written),
        cmocka_unit_test(sums_of_the_largest_matrices_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
