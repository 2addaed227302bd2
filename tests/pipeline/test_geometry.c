/* Sizes of an edit: what is asked for, what the model sees, what comes out. */
#include "test_support.h"

#include "engine/pipeline/geometry.h"

#include <math.h>
#include <string.h>

static const kx_geometry_rules rules = {
    .preferred_sizes = kx_positions_preferred_sizes,
    .num_preferred_sizes = 17,
    .native_area_px = 1024 * 1024,
    .min_side_px = 16,
    .max_side_px = 2048,
};

static kx_edit_request request_of(size_t num_references)
{
    kx_edit_request request = kx_edit_request_default();
    request.num_references = num_references;
    return request;
}

static kx_geometry make(const kx_edit_request *request, const kx_size *sources)
{
    kx_error err = {0};
    kx_geometry geometry;
    assert_ok(kx_geometry_make(&rules, request, sources, &geometry, &err));
    return geometry;
}

static void assert_size(kx_size found, int width, int height, const char *what)
{
    if (found.width_px != width || found.height_px != height)
        fail_msg("%s is %dx%d, %dx%d is expected", what, found.width_px, found.height_px, width, height);
}

static void assert_refused(const kx_edit_request *request, const kx_size *sources, kx_status expected,
                           const char *words)
{
    kx_error err = {0};
    kx_geometry geometry;
    kx_status status = kx_geometry_make(&rules, request, sources, &geometry, &err);
    if (status != expected) fail_msg("status %d, %d is expected (%s)", status, expected, words);
    if (strstr(err.message, words) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void without_a_reference_the_native_square(void **state)
{
    (void)state;
    kx_edit_request request = request_of(0);
    kx_geometry geometry = make(&request, NULL);
    assert_size(geometry.final, 1024, 1024, "the result");
    assert_size(geometry.requested, 0, 0, "the request");
    assert_int_equal(geometry.num_streams, 0);
    assert_int_equal(geometry.target_tokens, 64 * 64);
    assert_int_equal(geometry.reference_tokens, 0);
}

static void by_default_the_preferred_size_of_the_first_reference(void **state)
{
    (void)state;
    kx_edit_request request = request_of(2);
    kx_geometry geometry = make(&request, (kx_size[]){{1920, 1080}, {500, 500}});
    assert_size(geometry.final, 1392, 752, "the result");
    assert_size(geometry.working, 1392, 752, "the target");
    assert_size(geometry.references[0].working, 1392, 752, "the first reference");
    assert_size(geometry.references[0].cropped, 1920, 1080, "its used part");
    assert_size(geometry.references[1].working, 1024, 1024, "the second reference");
    assert_true(fabs(geometry.references[1].scale_x - 2.048) < 1e-12);
    assert_int_equal(geometry.reference_tokens, 87 * 47 + 64 * 64);
    assert_int_equal(geometry.references[0].index, 1);
    assert_int_equal(geometry.references[1].offset_x_tokens, 0);
    assert_int_equal(geometry.references[1].offset_y_tokens, 47);
}

static void any_size_is_met_exactly(void **state)
{
    (void)state;
    for (int width = 16; width <= 2048; width += width < 80 ? 1 : 61) {
        for (int height = 16; height <= 2048; height += height < 80 ? 1 : 83) {
            kx_edit_request request = request_of(1);
            request.width_px = width;
            request.height_px = height;
            kx_geometry geometry = make(&request, (kx_size[]){{100, 100}});
            assert_size(geometry.final, width, height, "the result");
            assert_size(geometry.requested, width, height, "the request");
            int more_x = geometry.working.width_px - width, more_y = geometry.working.height_px - height;
            assert_true(more_x >= 0 && more_x < 16 && more_y >= 0 && more_y < 16);
            assert_int_equal(geometry.working.width_px % 16 + geometry.working.height_px % 16, 0);
            assert_int_equal(geometry.target_tokens * 256,
                             (size_t)geometry.working.width_px * (size_t)geometry.working.height_px);
        }
    }
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    const int wrong[][2] = {{15, 64}, {64, 15}, {2049, 64}, {64, 2049},
                            {64, 0},  {0, 64},  {-64, -64}, {64, -1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kx_edit_request request = request_of(0);
        request.width_px = wrong[i][0];
        request.height_px = wrong[i][1];
        assert_refused(&request, NULL, KX_ERR_INPUT, "each side must be 16 to 2048 pixels");
    }
}

static void an_aspect_gives_the_native_area(void **state)
{
    (void)state;
    kx_edit_request request = request_of(1);
    request.aspect_w = 16;
    request.aspect_h = 9;
    kx_geometry geometry = make(&request, (kx_size[]){{100, 100}});
    assert_size(geometry.final, 1360, 768, "the result of 16:9");
    assert_size(geometry.requested, 1360, 768, "the request of 16:9");
    const double wrong[][2] = {{1, 0},    {0, 1},   {-1, 1},  {1, -1},      {-1, -1},
                               {1000, 1}, {NAN, 1}, {1, NAN}, {INFINITY, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        request.aspect_w = wrong[i][0];
        request.aspect_h = wrong[i][1];
        assert_refused(&request, (kx_size[]){{100, 100}}, KX_ERR_INPUT, "aspect");
    }
    request.aspect_w = request.aspect_h = 1;
    request.width_px = request.height_px = 64;
    assert_refused(&request, (kx_size[]){{100, 100}}, KX_ERR_USAGE, "exclude each other");
}

static void a_native_reference_is_cropped_to_whole_tokens(void **state)
{
    (void)state;
    kx_edit_request request = request_of(2);
    request.ref_size = KX_REF_SIZE_NATIVE;
    kx_geometry geometry = make(&request, (kx_size[]){{127, 49}, {64, 64}});
    assert_size(geometry.references[0].source, 127, 49, "the source");
    assert_size(geometry.references[0].cropped, 112, 48, "the used part");
    assert_size(geometry.references[0].working, 112, 48, "the working size");
    assert_true(geometry.references[0].scale_x == 1 && geometry.references[0].scale_y == 1);
    assert_size(geometry.final, 112, 48, "the result");
    assert_size(geometry.references[1].cropped, 64, 64, "a reference of whole tokens");
    assert_refused(&request, (kx_size[]){{64, 64}, {15, 64}}, KX_ERR_INPUT, "image 2: 15x64");
    assert_refused(&request, (kx_size[]){{64, 15}, {64, 64}}, KX_ERR_INPUT, "image 1: 64x15");
    assert_refused(&request, (kx_size[]){{64, 64}, {2064, 64}}, KX_ERR_INPUT, "image 2: 2064x64");
    geometry = make(&request, (kx_size[]){{2063, 16}, {16, 2063}});
    assert_size(geometry.references[0].working, 2048, 16, "the widest native reference");
}

static void a_given_reference_size_is_rounded_to_tokens(void **state)
{
    (void)state;
    kx_edit_request request = request_of(1);
    request.ref_size = KX_REF_SIZE_GIVEN;
    request.ref_width_px = 100;
    request.ref_height_px = 200;
    kx_geometry geometry = make(&request, (kx_size[]){{50, 60}});
    assert_size(geometry.references[0].working, 96, 208, "the working size");
    assert_size(geometry.references[0].cropped, 50, 60, "the used part");
    assert_size(geometry.final, 96, 208, "the result");
    request.ref_width_px = 16;
    request.ref_height_px = 2048;
    geometry = make(&request, (kx_size[]){{50, 60}});
    assert_size(geometry.references[0].working, 16, 2048, "the extreme working size");
}

static void a_budget_holds_for_all_references_together(void **state)
{
    (void)state;
    kx_edit_request request = request_of(4);
    kx_size sources[4] = {{1024, 1024}, {1024, 1024}, {1024, 1024}, {1024, 1024}};
    request.ref_pixels = 1024 * 1024;
    kx_geometry geometry = make(&request, sources);
    for (int k = 0; k < 4; k++) assert_size(geometry.references[k].working, 512, 512, "a shrunk reference");
    assert_int_equal(geometry.reference_tokens, 4 * 32 * 32);
    assert_size(geometry.final, 1024, 1024, "the result beside shrunk references");
    /* A native reference within the budget is cropped, one over it is resized whole. */
    request = request_of(1);
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.ref_pixels = 200 * 100;
    geometry = make(&request, (kx_size[]){{200, 100}});
    assert_size(geometry.references[0].cropped, 192, 96, "the used part within the budget");
    request.ref_pixels = 100 * 50;
    geometry = make(&request, (kx_size[]){{200, 100}});
    assert_size(geometry.references[0].cropped, 200, 100, "the used part over the budget");
    assert_size(geometry.references[0].working, 96, 48, "the shrunk native reference");
    /* A canvas is one reference. */
    request = request_of(2);
    request.scheme = KX_REFERENCES_STITCH;
    request.ref_pixels = 512 * 512;
    geometry = make(&request, (kx_size[]){{512, 512}, {512, 512}});
    assert_true(geometry.reference_tokens * 256 <= 512 * 512);
    assert_size(geometry.final, 1024, 1024, "the result beside a shrunk canvas");
}

static void schemes_place_references(void **state)
{
    (void)state;
    kx_edit_request request = request_of(2);
    kx_size sources[2] = {{1024, 1024}, {1024, 1024}};
    request.scheme = KX_REFERENCES_INDEX;
    kx_geometry geometry = make(&request, sources);
    assert_int_equal(geometry.references[0].index, 1);
    assert_int_equal(geometry.references[1].index, 2);
    assert_int_equal(geometry.references[1].offset_x_tokens + geometry.references[1].offset_y_tokens, 0);
    request.scheme = KX_REFERENCES_STITCH;
    request.num_references = 1;
    geometry = make(&request, sources);
    assert_int_equal(geometry.num_streams, 1);
    assert_size(geometry.references[0].working, 1024, 1024, "a canvas of one");
}

static void stitching_tells_where_each_reference_lies(void **state)
{
    (void)state;
    kx_edit_request request = request_of(3);
    request.scheme = KX_REFERENCES_STITCH;
    request.ref_size = KX_REF_SIZE_GIVEN;
    request.ref_width_px = 320;
    request.ref_height_px = 64;
    kx_geometry geometry = make(&request, (kx_size[]){{256, 128}, {128, 256}, {640, 256}});
    /* The canvas: 256 + 64 + 320 = 640 wide, 128 high, at half size. */
    assert_int_equal(geometry.num_streams, 1);
    assert_size(geometry.stream_source[0], 640, 128, "the canvas");
    assert_size(geometry.canvas_parts[1], 64, 128, "the second part");
    assert_size(geometry.canvas_parts[2], 320, 128, "the third part");
    const int offsets[3] = {0, 8, 10}, widths[3] = {128, 32, 160};
    const double scales[3] = {0.5, 0.25, 0.25};
    for (int k = 0; k < 3; k++) {
        const kx_reference_mapping *mapping = &geometry.references[k];
        assert_int_equal(mapping->index, 1);
        assert_int_equal(mapping->offset_x_tokens, offsets[k]);
        assert_int_equal(mapping->offset_y_tokens, 0);
        assert_size(mapping->working, widths[k], 64, "a part at its working size");
        assert_true(fabs(mapping->scale_x - scales[k]) < 1e-12 && fabs(mapping->scale_y - scales[k]) < 1e-12);
        assert_size(mapping->cropped, mapping->source.width_px, mapping->source.height_px, "the used part");
    }
    assert_size(geometry.final, 320, 64, "the result");
}

static void a_cropped_canvas_cuts_its_last_references(void **state)
{
    (void)state;
    kx_edit_request request = request_of(2);
    request.scheme = KX_REFERENCES_STITCH;
    request.ref_size = KX_REF_SIZE_NATIVE;
    kx_geometry geometry = make(&request, (kx_size[]){{40, 50}, {60, 100}});
    /* The canvas is 40 + 30 wide, 50 high; 64x48 of it are used. */
    assert_size(geometry.stream_source[0], 70, 50, "the canvas");
    assert_size(geometry.stream_cropped[0], 64, 48, "its used part");
    assert_size(geometry.references[0].cropped, 40, 48, "the used part of the first");
    assert_size(geometry.references[1].cropped, 48, 96, "the used part of the second");
    assert_size(geometry.references[1].working, 24, 48, "the second as the model sees it");
    assert_true(geometry.references[1].scale_x == 0.5 && geometry.references[1].scale_y == 0.5);
    assert_size(geometry.final, 32, 48, "the result: the first reference alone");
    assert_refused(&request, (kx_size[]){{10, 50}, {50, 50}}, KX_ERR_INPUT, "image 1: 10x50");
    request.width_px = request.height_px = 64;
    geometry = make(&request, (kx_size[]){{10, 50}, {50, 50}});
    assert_size(geometry.references[1].cropped, 38, 48, "the second beside a narrow first");
}

static void extreme_pictures(void **state)
{
    (void)state;
    kx_edit_request request = request_of(1);
    kx_geometry geometry = make(&request, (kx_size[]){{1, 1}});
    assert_size(geometry.final, 1024, 1024, "the result of one pixel");
    geometry = make(&request, (kx_size[]){{10000, 1}});
    assert_size(geometry.final, 1568, 672, "the result of a line");
    geometry = make(&request, (kx_size[]){{1, 32768}});
    assert_size(geometry.final, 672, 1568, "the result of a column");
    geometry = make(&request, (kx_size[]){{32768, 32768}});
    assert_size(geometry.final, 1024, 1024, "the result of the largest sides");
    assert_refused(&request, (kx_size[]){{32769, 1}}, KX_ERR_INPUT, "image 1 is 32769x1");
    assert_refused(&request, (kx_size[]){{0, 1}}, KX_ERR_INPUT, "image 1 is 0x1");
    assert_refused(&request, (kx_size[]){{1, -1}}, KX_ERR_INPUT, "image 1 is 1x-1");
    request.ref_size = KX_REF_SIZE_NATIVE;
    assert_refused(&request, (kx_size[]){{10000, 1}}, KX_ERR_INPUT, "image 1: 10000x1");
    assert_refused(&request, (kx_size[]){{32768, 32768}}, KX_ERR_INPUT, "image 1: 32768x32768");
    request = request_of(2);
    request.scheme = KX_REFERENCES_STITCH;
    geometry = make(&request, (kx_size[]){{1, 1}, {10000, 1}});
    assert_size(geometry.stream_source[0], 10001, 1, "the canvas of a line");
    geometry = make(&request, (kx_size[]){{16, 16}, {1, 10000}});
    assert_size(geometry.canvas_parts[1], 1, 16, "a column on the canvas");
    assert_refused(&request, (kx_size[]){{1, 1}, {32768, 1}}, KX_ERR_INPUT, "side by side would be 32769x1");
    assert_refused(&request, (kx_size[]){{1, 32768}, {10000, 1}}, KX_ERR_INPUT, "side by side would be");
    assert_refused(&request, (kx_size[]){{10000, 10000}, {1, 1}}, KX_ERR_INPUT, "100000000 in all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_reference_the_native_square),
        cmocka_unit_test(by_default_the_preferred_size_of_the_first_reference),
        cmocka_unit_test(any_size_is_met_exactly),
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(an_aspect_gives_the_native_area),
        cmocka_unit_test(a_native_reference_is_cropped_to_whole_tokens),
        cmocka_unit_test(a_given_reference_size_is_rounded_to_tokens),
        cmocka_unit_test(a_budget_holds_for_all_references_together),
        cmocka_unit_test(schemes_place_references),
        cmocka_unit_test(stitching_tells_where_each_reference_lies),
        cmocka_unit_test(a_cropped_canvas_cuts_its_last_references),
        cmocka_unit_test(extreme_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
