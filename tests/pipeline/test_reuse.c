/* What encoders made in earlier edits: kept within a cap, found by the whole key, and never seen in the
 * result. */
#include "pipeline_test_support.h"

#include "engine/pipeline/reuse.h"

/* ---- The store ---- */

enum { COUNT = 100, ENTRY_BYTES = COUNT * sizeof(float) + 4 };

static kx_reuse_key key_of(const char *four_letters)
{
    return (kx_reuse_key){{four_letters, four_letters + 1}, {1, 3}};
}

static void put(kx_reuse *reuse, const char *name, float value)
{
    float values[COUNT];
    kx_reuse_key key = key_of(name);
    for (size_t i = 0; i < COUNT; i++) values[i] = value + (float)i;
    kx_reuse_put(reuse, &key, values, COUNT);
}

/* The first value, or -1. */
static float get(kx_reuse *reuse, const char *name)
{
    float values[COUNT] = {0};
    kx_reuse_key key = key_of(name);
    if (!kx_reuse_get(reuse, &key, values, COUNT)) return -1;
    assert_true(values[COUNT - 1] == values[0] + COUNT - 1);
    return values[0];
}

static kx_reuse *open_reuse(uint64_t cap)
{
    kx_error err = {0};
    kx_reuse *reuse = NULL;
    assert_ok(kx_reuse_open(&reuse, cap, &err));
    return reuse;
}

static void entries_are_found_by_their_whole_key(void **state)
{
    (void)state;
    kx_reuse *reuse = open_reuse(10 * ENTRY_BYTES);
    assert_true(get(reuse, "aaaa") == -1);
    put(reuse, "aaaa", 1);
    put(reuse, "aaab", 2);
    put(reuse, "aaaa", 3); /* there already */
    assert_true(get(reuse, "aaaa") == 1 && get(reuse, "aaab") == 2 && get(reuse, "baaa") == -1);
    kx_reuse_key longer = {{"aaaa", "a"}, {4, 1}}, split = {{"aa", "aa"}, {2, 2}};
    float values[COUNT];
    assert_false(kx_reuse_get(reuse, &longer, values, COUNT));
    assert_true(kx_reuse_get(reuse, &split, values, COUNT));
    assert_false(kx_reuse_get(reuse, &split, values, COUNT - 1));
    assert_int_equal(kx_reuse_used_bytes(reuse), 2 * ENTRY_BYTES);
    kx_reuse_clear(reuse);
    assert_int_equal(kx_reuse_used_bytes(reuse), 0);
    assert_true(get(reuse, "aaaa") == -1);
    kx_reuse_close(reuse);
}

static void the_longest_unused_goes_first(void **state)
{
    (void)state;
    kx_reuse *reuse = open_reuse(3 * ENTRY_BYTES + 5);
    put(reuse, "aaaa", 1);
    put(reuse, "bbbb", 2);
    put(reuse, "cccc", 3);
    assert_int_equal(kx_reuse_growth_bytes(reuse, 1000), 5);
    assert_true(get(reuse, "aaaa") == 1);
    put(reuse, "dddd", 4);
    assert_true(get(reuse, "bbbb") == -1 && get(reuse, "aaaa") == 1 && get(reuse, "cccc") == 3 &&
                get(reuse, "dddd") == 4);
    assert_int_equal(kx_reuse_used_bytes(reuse), 3 * ENTRY_BYTES);
    kx_reuse_close(reuse);
}

static void what_is_larger_than_the_cap_is_not_kept(void **state)
{
    (void)state;
    static const uint64_t caps[] = {0, ENTRY_BYTES - 1};
    for (size_t i = 0; i < 2; i++) {
        kx_reuse *reuse = open_reuse(caps[i]);
        put(reuse, "aaaa", 1);
        assert_true(get(reuse, "aaaa") == -1);
        assert_int_equal(kx_reuse_used_bytes(reuse), 0);
        kx_reuse_close(reuse);
    }
}

static void many_small_entries_stay_within_the_table(void **state)
{
    (void)state;
    kx_reuse *reuse = open_reuse(UINT64_C(1) << 30);
    char name[8];
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "%04d", i);
        put(reuse, name, (float)i);
    }
    assert_true(get(reuse, "0599") == 599 && get(reuse, "0000") == -1);
    kx_reuse_close(reuse);
}

/* ---- Edits ---- */

static kx_picture first, second;

static kx_model *open_with(uint64_t cache_bytes)
{
    kx_model_options options = test_model_options(test_tiny_model());
    options.threads = 2;
    options.cache_bytes = cache_bytes;
    return test_open_with(options);
}

static kx_edit_request small_request(void)
{
    kx_edit_request request = test_request("A boat in the harbour");
    request.width_px = request.height_px = 32;
    request.references[0].picture = &first;
    request.references[1].picture = &second;
    request.num_references = 2;
    request.ref_size = KX_REF_SIZE_NATIVE;
    return request;
}

typedef struct later_edit {
    const char *name;
    const char *prompt; /* NULL: the same */
    size_t num_references;
    const kx_picture *references[3];
    int width_px; /* of every reference; 0: its own */
    int text_was_kept;
    unsigned references_kept;
} later_edit;

/* Each in a model that has made small_request. */
static const later_edit later_edits[] = {
    {"the same", NULL, 2, {&first, &second}, 0, 1, 2},
    {"another prompt", "A boat in the harbor", 2, {&first, &second}, 0, 0, 2},
    {"another order", NULL, 2, {&second, &first}, 0, 1, 2},
    {"another size", NULL, 2, {&first, &second}, 48, 1, 0},
    {"no reference", NULL, 0, {NULL}, 0, 1, 0},
    {"one of them twice", NULL, 3, {&first, &second, &first}, 0, 1, 3},
};

static kx_edit_request request_of(const later_edit *edit)
{
    kx_edit_request request = small_request();
    if (edit->prompt != NULL) request.prompt = edit->prompt;
    request.num_references = edit->num_references;
    for (size_t k = 0; k < edit->num_references; k++) request.references[k].picture = edit->references[k];
    if (edit->width_px > 0) {
        request.ref_size = KX_REF_SIZE_GIVEN;
        request.ref_width_px = request.ref_height_px = edit->width_px;
    }
    return request;
}

static void later_edits_take_what_fits_and_have_the_same_bytes(void **state)
{
    (void)state;
    kx_model *plain = open_with(0);
    for (size_t i = 0; i < sizeof later_edits / sizeof later_edits[0]; i++) {
        const later_edit *edit = &later_edits[i];
        kx_model *model = open_with(KX_CACHE_BYTES);
        kx_edit_request request = small_request();
        kx_result *earlier = test_edit(model, &request);
        assert_true(!earlier->text_was_kept && earlier->references_kept == 0);
        request = request_of(edit);
        kx_result *expected = test_edit(plain, &request), *found = test_edit(model, &request);
        test_same_pictures(edit->name, expected, found);
        assert_true(!expected->text_was_kept && expected->references_kept == 0);
        if (found->text_was_kept != edit->text_was_kept || found->references_kept != edit->references_kept)
            fail_msg("%s: text %d, references %u", edit->name, found->text_was_kept, found->references_kept);
        kx_result_free(earlier);
        kx_result_free(expected);
        kx_result_free(found);
        kx_model_close(model);
    }
    kx_model_close(plain);
}

static void one_other_pixel_is_another_reference(void **state)
{
    (void)state;
    kx_model *model = open_with(KX_CACHE_BYTES);
    kx_edit_request request = small_request();
    kx_result_free(test_edit(model, &request));
    first.rgb[100] ^= 1;
    kx_result *result = test_edit(model, &request);
    first.rgb[100] ^= 1;
    assert_int_equal(result->references_kept, 1);
    kx_result_free(result);
    kx_model_close(model);
}

static void a_dump_sees_every_stage(void **state)
{
    (void)state;
    kx_model *model = open_with(KX_CACHE_BYTES);
    kx_edit_request request = small_request();
    kx_result_free(test_edit(model, &request));
    request.dump_file = test_path_in(test_temporary_folder(), "kept.safetensors");
    kx_result *result = test_edit(model, &request);
    assert_int_equal(result->references_kept, 0);
    kx_safetensors file = {0};
    kx_error err = {0};
    assert_ok(kx_safetensors_open(&file, request.dump_file, KX_ERR_INPUT, &err));
    assert_non_null(kx_safetensors_find(&file, "t5.embeds"));
    assert_non_null(kx_safetensors_find(&file, "ref.1.latents"));
    kx_safetensors_close(&file);
    kx_result_free(result);
    kx_model_close(model);
}

static uint64_t planned_peak(kx_model *model, const kx_edit_request *request, uint64_t *growth)
{
    kx_error err = {0};
    kx_plan *plan = NULL;
    assert_ok(kx_edit_plan(model, request, &plan, &err));
    uint64_t peak = plan->peak_bytes;
    *growth = 0;
    for (size_t i = 0; i < plan->num_buffers; i++)
        if (strcmp(plan->buffers[i].name, "kept for later edits") == 0) *growth = plan->buffers[i].bytes;
    kx_plan_free(plan);
    return peak;
}

/* A limit that leaves no room keeps nothing, and one that what is kept stands in the way of makes it go: no
 * edit is refused for another one's sake. */
static void tight_memory_keeps_nothing(void **state)
{
    (void)state;
    if (TEST_UNDER_SANITIZER) {
        print_message("# skipped: a sanitizer holds memory of its own\n");
        skip();
    }
    kx_picture large[KX_MAX_REFERENCES];
    kx_model *model = open_with(KX_CACHE_BYTES);
    kx_edit_request request = small_request();
    uint64_t growth;
    for (unsigned k = 0; k < KX_MAX_REFERENCES; k++) {
        large[k] = test_paint(640, 640, 3 + k);
        request.references[k].picture = &large[k];
    }
    request.num_references = KX_MAX_REFERENCES;
    request.steps = 1;
    uint64_t peak = planned_peak(model, &request, &growth);
    assert_true(growth > 4000000);
    request.memory_limit_bytes = peak - growth / 2;
    kx_result_free(test_edit(model, &request));
    request.memory_limit_bytes = 0;
    kx_result *result = test_edit(model, &request);
    assert_int_equal(result->references_kept, 0);
    kx_result_free(result);
    peak = planned_peak(model, &request, &growth);
    request.memory_limit_bytes = peak - growth - growth / 2; /* what is kept is as large as growth */
    result = test_edit(model, &request);
    assert_int_equal(result->references_kept, 0);
    kx_result_free(result);
    for (unsigned k = 0; k < KX_MAX_REFERENCES; k++) kx_picture_free(&large[k]);
    kx_model_close(model);
}

static int paint(void **state)
{
    (void)state;
    first = test_paint(32, 32, 1);
    second = test_paint(48, 32, 2);
    return 0;
}

static int free_painted(void **state)
{
    (void)state;
    kx_picture_free(&first);
    kx_picture_free(&second);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_by_their_whole_key),
        cmocka_unit_test(the_longest_unused_goes_first),
        cmocka_unit_test(what_is_larger_than_the_cap_is_not_kept),
        cmocka_unit_test(many_small_entries_stay_within_the_table),
        cmocka_unit_test(later_edits_take_what_fits_and_have_the_same_bytes),
        cmocka_unit_test(one_other_pixel_is_another_reference),
        cmocka_unit_test(a_dump_sees_every_stage),
        cmocka_unit_test(tight_memory_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, paint, free_painted);
}
