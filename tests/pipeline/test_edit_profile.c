/* The profile of an edit: it changes no byte, accounts for every operation, and becomes a trace. */
#include "pipeline_test_support.h"

#include <jansson.h>

static kx_edit_request small_request(const kx_picture *reference)
{
    kx_edit_request request = test_request("Count");
    request.width_px = 64;
    request.height_px = 48;
    request.steps = 3;
    request.num_images = 2;
    request.references[0].picture = reference;
    request.num_references = 1;
    return request;
}

static void a_profile_changes_no_byte(void **state)
{
    (void)state;
    kx_picture reference = test_paint(64, 64, 3);
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = small_request(&reference);
    kx_result *plain = test_edit(model, &request);
    assert_null(plain->profile);
    for (int mode = KX_PROFILE_ROWS; mode <= KX_PROFILE_EVENTS; mode++) {
        request.profile = (kx_profile_mode)mode;
        kx_result *measured = test_edit(model, &request);
        assert_non_null(measured->profile);
        assert_int_equal(measured->profile->lost, 0);
        test_same_pictures("with and without a profile", plain, measured);
        kx_result_free(measured);
    }
    kx_result_free(plain);
    kx_model_close(model);
    kx_picture_free(&reference);
}

/* Blocks of the transformer; each has one attention. */
static uint64_t blocks_of(kx_model *model)
{
    kx_error err = {0};
    char *text = NULL;
    assert_ok(kx_model_describe(model, &text, &err));
    json_t *described = json_loads(text, 0, NULL);
    const json_t *sizes = json_object_get(json_object_get(described, "sizes"), "transformer");
    json_int_t blocks = json_integer_value(json_object_get(sizes, "double_blocks")) +
                        json_integer_value(json_object_get(sizes, "single_blocks"));
    assert_true(blocks > 0);
    json_decref(described);
    kx_free(text);
    return (uint64_t)blocks;
}

static void rows_hold_every_operation(void **state)
{
    (void)state;
    kx_picture reference = test_paint(64, 64, 3);
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = small_request(&reference);
    request.profile = KX_PROFILE_ROWS;
    kx_result *result = test_edit(model, &request);
    const kx_profile *profile = result->profile;
    const char *const stages[] = {"text", "encode", "denoise", "decode"};
    const double wall[] = {result->seconds.text, result->seconds.encode, result->seconds.denoise,
                           result->seconds.decode};
    double sums[4] = {0}, all = 0;
    uint64_t attentions = 0;
    for (size_t i = 0; i < profile->num_rows; i++) {
        const kx_profile_row *row = &profile->rows[i];
        size_t stage = 0;
        while (stage < 4 && strcmp(stages[stage], row->stage) != 0) stage++;
        assert_true(stage < 4);
        assert_true(row->calls > 0 && row->bytes > 0);
        if (i > 0) assert_true(row->seconds <= row[-1].seconds);
        sums[stage] += row->seconds;
        all += row->seconds;
        if (stage == 2 && strncmp(row->operation, "attention ", 10) == 0) attentions += row->calls;
    }
    for (size_t i = 0; i < 4; i++) assert_true(sums[i] > 0 && sums[i] <= wall[i]);
    assert_true(profile->seconds > 0.999 * all && profile->seconds < 1.001 * all);
    assert_int_equal(attentions, 3 * 2 * blocks_of(model));
    kx_result_free(result);
    kx_model_close(model);
    kx_picture_free(&reference);
}

/* How many events of the trace have this category and name. */
static size_t count_events(const json_t *events, const char *category, const char *name)
{
    size_t count = 0, i;
    const json_t *event;
    json_array_foreach((json_t *)(uintptr_t)events, i, event)
    {
        const char *its_category = json_string_value(json_object_get(event, "cat"));
        if (its_category == NULL || strcmp(its_category, category) != 0) continue;
        if (name == NULL || strcmp(json_string_value(json_object_get(event, "name")), name) == 0) count++;
    }
    return count;
}

static uint64_t all_calls(const kx_profile *profile)
{
    uint64_t calls = 0;
    for (size_t i = 0; i < profile->num_rows; i++) calls += profile->rows[i].calls;
    return calls;
}

static void a_trace_is_json_with_every_call(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = test_request("Trace");
    request.width_px = request.height_px = 32;
    request.steps = 3;
    request.num_images = 2;
    request.profile = KX_PROFILE_EVENTS;
    kx_result *result = test_edit(model, &request);
    const char *path = test_path_in(test_temporary_folder(), "trace.json");
    assert_ok(kx_profile_save(result->profile, path, &err));
    json_error_t error;
    json_t *trace = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (trace == NULL) fail_msg("the trace is no JSON: line %d: %s", error.line, error.text);
    const json_t *events = json_object_get(trace, "traceEvents");
    assert_int_equal(count_events(events, "operation", NULL), all_calls(result->profile));
    assert_int_equal(count_events(events, "part", "denoise"), 1);
    assert_int_equal(count_events(events, "part", "step 3"), 2);
    assert_int_equal(count_events(events, "part", "double 0"), 6);
    size_t i;
    const json_t *event;
    json_array_foreach((json_t *)(uintptr_t)events, i, event)
    {
        if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0) continue;
        assert_int_equal(json_integer_value(json_object_get(event, "pid")), 1);
        assert_int_equal(json_integer_value(json_object_get(event, "tid")), 1);
        assert_true(json_real_value(json_object_get(event, "ts")) >= 0);
        assert_true(json_real_value(json_object_get(event, "dur")) >= 0);
    }
    json_decref(trace);
    kx_result_free(result);
    kx_model_close(model);
}

static void a_trace_that_cannot_be_written_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(1);
    kx_edit_request request = test_request("Trace");
    request.width_px = request.height_px = 32;
    request.steps = 1;
    request.profile = KX_PROFILE_ROWS;
    kx_result *rows = test_edit(model, &request);
    const char *path = test_path_in(test_temporary_folder(), "none.json");
    test_refused("rows alone", &err, kx_profile_save(rows->profile, path, &err), KX_ERR_USAGE, "no events");
    test_refused("no profile", &err, kx_profile_save(NULL, path, &err), KX_ERR_USAGE, "no events");
    assert_false(kx_file_exists(path));
    request.profile = KX_PROFILE_EVENTS;
    kx_result *events = test_edit(model, &request);
    test_refused(
        "a folder that is not there", &err,
        kx_profile_save(events->profile, test_path_in(test_temporary_folder(), "no/trace.json"), &err),
        KX_ERR_OUTPUT, "cannot write");
    kx_result_free(rows);
    kx_result_free(events);
    kx_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_changes_no_byte),
        cmocka_unit_test(rows_hold_every_operation),
        cmocka_unit_test(a_trace_is_json_with_every_call),
        cmocka_unit_test(a_trace_that_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
