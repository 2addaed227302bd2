/* Sizes, packing and positions, against the examples of the specification and the reference data. */
#include "test_support.h"

#include "base/json_file.h"
#include "engine/sampler/positions.h"

#include <stdlib.h>
#include <string.h>

static void assert_size(kx_size found, int width, int height, const char *what)
{
    if (found.width_px != width || found.height_px != height)
        fail_msg("%s: found %dx%d, expected %dx%d", what, found.width_px, found.height_px, width, height);
}

static kx_size size_at(json_t *row, const char *key)
{
    json_t *pair = json_object_get(row, key);
    return (kx_size){(int)json_integer_value(json_array_get(pair, 0)),
                     (int)json_integer_value(json_array_get(pair, 1))};
}

static void the_nearest_preferred_size_is_chosen(void **state)
{
    (void)state;
    const kx_size *sizes = kx_positions_preferred_sizes;
    assert_size(kx_positions_choose_preferred(sizes, 17, (kx_size){1920, 1080}), 1392, 752, "16:9");
    assert_size(kx_positions_choose_preferred(sizes, 17, (kx_size){1257, 1000}), 1104, 944,
                "1257x1000, true size");
    assert_size(kx_positions_choose_preferred_floored(sizes, 17, (kx_size){1257, 1000}), 1184, 880,
                "1257x1000, floored");
    assert_size(kx_positions_choose_preferred_floored(sizes, 17, (kx_size){1, 1}), 1024, 1024,
                "1x1, floored");
    for (size_t i = 0; i < 17; i++) {
        assert_size(kx_positions_choose_preferred(sizes, 17, sizes[i]), sizes[i].width_px, sizes[i].height_px,
                    "a preferred size");
        assert_int_equal(sizes[i].width_px % 16 + sizes[i].height_px % 16, 0);
    }
    /* Equal distances: the narrower, then the lower, wherever it stands in the list. */
    const kx_size twins[3] = {{64, 32}, {32, 16}, {48, 16}};
    assert_size(kx_positions_choose_preferred(twins, 3, (kx_size){200, 100}), 32, 16, "two equal ratios");
    const kx_size around[2] = {{48, 16}, {16, 16}};
    assert_size(kx_positions_choose_preferred(around, 2, (kx_size){200, 100}), 16, 16, "two equal distances");
}

static void choices_of_both_references(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = NULL, *row;
    assert_ok(
        kx_json_file_load(&root, test_shared_path("golden/resolution.json"), 1u << 20, KX_ERR_INPUT, &err));
    size_t i;
    json_array_foreach(json_object_get(root, "table"), i, row)
    {
        kx_size in = size_at(row, "in"), bfl = size_at(row, "bfl"), floored = size_at(row, "diffusers");
        assert_size(kx_positions_choose_preferred(kx_positions_preferred_sizes, 17, in), bfl.width_px,
                    bfl.height_px, "rule of the model's code");
        if (json_is_null(json_object_get(row, "diffusers"))) continue;
        assert_size(kx_positions_choose_preferred_floored(kx_positions_preferred_sizes, 17, in),
                    floored.width_px, floored.height_px, "rule of diffusers");
    }
    assert_true(i >= 45);
    json_decref(root);
}

static void a_size_by_aspect_has_the_native_area(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_size size;
    assert_ok(kx_positions_size_from_aspect(1, 1, 1024 * 1024, &size, &err));
    assert_size(size, 1024, 1024, "1:1");
    assert_ok(kx_positions_size_from_aspect(16, 9, 1024 * 1024, &size, &err));
    assert_size(size, 1360, 768, "16:9");
    assert_ok(kx_positions_size_from_aspect(9, 16, 1024 * 1024, &size, &err));
    assert_size(size, 768, 1360, "9:16");
    assert_ok(kx_positions_size_from_aspect(2.35, 1, 512 * 512, &size, &err));
    assert_size(size, 784, 320, "2.35:1");
    const double wrong[][2] = {{0, 1}, {1, 0}, {-1, 1}, {1000, 1}, {1, 1e6}, {1e308, 1e-308}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err = (kx_error){0};
        assert_int_equal(kx_positions_size_from_aspect(wrong[i][0], wrong[i][1], 1024 * 1024, &size, &err),
                         KX_ERR_INPUT);
    }
}

static void any_size_is_padded_to_whole_tokens(void **state)
{
    (void)state;
    assert_size(kx_positions_pad((kx_size){1000, 1024}), 1008, 1024, "1000x1024");
    assert_size(kx_positions_pad((kx_size){16, 17}), 16, 32, "16x17");
    assert_size(kx_positions_pad((kx_size){2048, 2047}), 2048, 2048, "2048x2047");
}

static void a_budget_shrinks_all_by_one_factor(void **state)
{
    (void)state;
    kx_size sizes[4] = {{1024, 1024}, {1392, 752}, {752, 1392}, {1024, 1024}};
    kx_size kept[4];
    memcpy(kept, sizes, sizeof sizes);
    kx_positions_fit_budget(sizes, 4, 0);
    kx_positions_fit_budget(sizes, 4, 5000000);
    assert_memory_equal(sizes, kept, sizeof sizes);
    kx_positions_fit_budget(sizes, 4, 1024 * 1024);
    int64_t total = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(sizes[i].width_px % 16 + sizes[i].height_px % 16, 0);
        total += (int64_t)sizes[i].width_px * sizes[i].height_px;
        double before = (double)kept[i].width_px / kept[i].height_px;
        double after = (double)sizes[i].width_px / sizes[i].height_px;
        assert_true(after / before > 0.94 && after / before < 1.06);
    }
    assert_true(total <= 1024 * 1024 && total > 900 * 1024);
    kx_positions_fit_budget(sizes, 4, 1);
    for (size_t i = 0; i < 4; i++) assert_size(sizes[i], 16, 16, "a budget of one pixel");
}

static void packing_is_channel_row_column_and_inverts(void **state)
{
    (void)state;
    enum { H = 4, W = 6, N = 16 * H * W };
    float latent[N], tokens[N], back[N];
    for (size_t i = 0; i < N; i++) latent[i] = (float)i;
    kx_positions_pack(latent, kx_latent_layout_planes(H, W), tokens);
    for (size_t c = 0; c < 16; c++)
        for (size_t y = 0; y < H; y++)
            for (size_t x = 0; x < W; x++) {
                size_t token = y / 2 * 3 + x / 2, feature = 4 * c + 2 * (y % 2) + x % 2;
                assert_true(tokens[token * 64 + feature] == latent[(c * H + y) * W + x]);
            }
    kx_positions_unpack(tokens, kx_latent_layout_planes(H, W), back);
    assert_memory_equal(back, latent, sizeof latent);

    /* The same latent with channels last gives the same tokens. */
    float cells[N], tokens_of_cells[N];
    for (size_t c = 0; c < 16; c++)
        for (size_t i = 0; i < H * W; i++) cells[i * 16 + c] = latent[c * H * W + i];
    kx_positions_pack(cells, kx_latent_layout_cells(H, W), tokens_of_cells);
    assert_memory_equal(tokens_of_cells, tokens, sizeof tokens);
    kx_positions_unpack(tokens, kx_latent_layout_cells(H, W), back);
    assert_memory_equal(back, cells, sizeof cells);
}

static void assert_placements(kx_reference_scheme scheme, const kx_size *sizes, size_t count,
                              const int (*expected)[3])
{
    kx_placement found[4];
    kx_positions_place(scheme, sizes, count, found);
    for (size_t i = 0; i < count; i++)
        if (found[i].index != expected[i][0] || found[i].offset_y != expected[i][1] ||
            found[i].offset_x != expected[i][2])
            fail_msg("reference %zu of %zu: found (%d,%d,%d), expected (%d,%d,%d)", i, count, found[i].index,
                     found[i].offset_y, found[i].offset_x, expected[i][0], expected[i][1], expected[i][2]);
}

static void references_lie_where_comfyui_puts_them(void **state)
{
    (void)state;
    const kx_size squares[4] = {{1024, 1024}, {1024, 1024}, {1024, 1024}, {1024, 1024}};
    assert_placements(KX_REFERENCES_OFFSET, squares, 1, (const int[][3]){{1, 0, 0}});
    assert_placements(KX_REFERENCES_OFFSET, squares, 4,
                      (const int[][3]){{1, 0, 0}, {1, 64, 0}, {1, 0, 64}, {1, 128, 0}});
    const kx_size portraits[2] = {{752, 1392}, {752, 1392}}, mixed[2] = {{1392, 752}, {752, 1392}};
    assert_placements(KX_REFERENCES_OFFSET, portraits, 2, (const int[][3]){{1, 0, 0}, {1, 0, 47}});
    assert_placements(KX_REFERENCES_OFFSET, mixed, 2, (const int[][3]){{1, 0, 0}, {1, 47, 0}});
    assert_placements(KX_REFERENCES_INDEX, squares, 4,
                      (const int[][3]){{1, 0, 0}, {2, 0, 0}, {3, 0, 0}, {4, 0, 0}});
    assert_placements(KX_REFERENCES_STITCH, squares, 1, (const int[][3]){{1, 0, 0}});
}

static void positions_beyond_256_are_exact(void **state)
{
    (void)state;
    /* bf16 would make 257 into 256. */
    enum { ROWS = 2, COLS = 300 };
    static float ids[ROWS * COLS * 3];
    kx_positions_write_grid(ids, ROWS, COLS, (kx_placement){.index = 1, .offset_y = 511, .offset_x = 255});
    for (size_t y = 0; y < ROWS; y++)
        for (size_t x = 0; x < COLS; x++) {
            const float *id = ids + (y * COLS + x) * 3;
            assert_true(id[0] == 1.0f && id[1] == (float)(511 + y) && id[2] == (float)(255 + x));
        }
    kx_positions_write_text(ids, 4);
    for (size_t i = 0; i < 12; i++) assert_true(ids[i] == 0.0f);
}

/* The f32 tensor `name` of a safetensors file whose content is `file`. */
static const float *tensor_in(const uint8_t *file, const char *name, size_t *count)
{
    uint64_t header_bytes;
    memcpy(&header_bytes, file, 8);
    json_t *header = json_loadb((const char *)file + 8, header_bytes, 0, NULL);
    json_t *range = json_object_get(json_object_get(header, name), "data_offsets");
    assert_non_null(range);
    size_t start = (size_t)json_integer_value(json_array_get(range, 0));
    *count = ((size_t)json_integer_value(json_array_get(range, 1)) - start) / sizeof(float);
    json_decref(header);
    return (const float *)(const void *)(file + 8 + header_bytes + start);
}

static void ids_of_the_reference_runs(void **state)
{
    (void)state;
    static const kx_size references[4] = {{96, 64}, {64, 96}, {80, 48}, {48, 112}};
    static const struct {
        const char *file;
        kx_size target;
        size_t count;
        kx_reference_scheme scheme;
    } rows[] = {
        {"golden/tiny-diffusers-dumps/a_one_ref.safetensors", {96, 64}, 1, KX_REFERENCES_OFFSET},
        {"golden/tiny-diffusers-dumps/b_two_refs_offset.safetensors", {96, 64}, 2, KX_REFERENCES_OFFSET},
        {"golden/tiny-diffusers-dumps/b_two_refs_index.safetensors", {96, 64}, 2, KX_REFERENCES_INDEX},
        {"golden/tiny-diffusers-dumps/b_four_refs_offset.safetensors", {112, 80}, 4, KX_REFERENCES_OFFSET},
        {"golden/tiny-diffusers-dumps/b_four_refs_index.safetensors", {112, 80}, 4, KX_REFERENCES_INDEX}};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        size_t bytes, count, written = 0;
        uint8_t *file = test_read_file(test_shared_path(rows[r].file), &bytes);
        const float *expected = tensor_in(file, "img_ids", &count);
        kx_placement placements[4];
        float ids[3 * 256];
        kx_positions_place(rows[r].scheme, references, rows[r].count, placements);
        kx_positions_write_grid(ids, (size_t)rows[r].target.height_px / 16,
                                (size_t)rows[r].target.width_px / 16, (kx_placement){0});
        written += (size_t)(rows[r].target.height_px * rows[r].target.width_px) / 256 * 3;
        for (size_t i = 0; i < rows[r].count; i++) {
            size_t high = (size_t)references[i].height_px / 16, wide = (size_t)references[i].width_px / 16;
            assert_true(written + 3 * high * wide <= sizeof ids / sizeof ids[0]);
            kx_positions_write_grid(ids + written, high, wide, placements[i]);
            written += 3 * high * wide;
        }
        assert_int_equal(written, count);
        if (memcmp(ids, expected, count * sizeof(float)) != 0) fail_msg("%s: other positions", rows[r].file);
        free(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_preferred_size_is_chosen),
        cmocka_unit_test(choices_of_both_references),
        cmocka_unit_test(a_size_by_aspect_has_the_native_area),
        cmocka_unit_test(any_size_is_padded_to_whole_tokens),
        cmocka_unit_test(a_budget_shrinks_all_by_one_factor),
        cmocka_unit_test(packing_is_channel_row_column_and_inverts),
        cmocka_unit_test(references_lie_where_comfyui_puts_them),
        cmocka_unit_test(positions_beyond_256_are_exact),
        cmocka_unit_test(ids_of_the_reference_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
