/* The memory plan against what the process really held, and its refusal of edits that do not fit. */
#include "pipeline_test_support.h"

typedef struct planned_edit {
    const char *name;
    int num_references;
    int reference[2], output[2];
    unsigned num_images;
    const char *peak_stage;
} planned_edit;

static const planned_edit planned_edits[] = {
    {"one reference", 1, {128, 128}, {768, 768}, 1, "decode"},
    {"four references", 4, {256, 256}, {768, 768}, 1, "decode"},
    {"four large references", 4, {768, 512}, {64, 64}, 1, "encode"},
    {"eight results", 0, {0, 0}, {512, 512}, 8, "decode"},
};

static kx_edit_request request_of(const planned_edit *edit, const kx_picture *picture)
{
    kx_edit_request request = test_request("Plan");
    request.steps = 1;
    for (int k = 0; k < edit->num_references; k++) request.references[k].picture = picture;
    request.num_references = (size_t)edit->num_references;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.width_px = edit->output[0];
    request.height_px = edit->output[1];
    request.num_images = edit->num_images;
    return request;
}

static void the_plan_is_what_is_held(void **state)
{
    (void)state;
    if (TEST_UNDER_SANITIZER) {
        print_message("# skipped: a sanitizer holds memory of its own\n");
        skip();
    }
    kx_model *model = test_open_tiny(0);
    for (size_t i = 0; i < sizeof planned_edits / sizeof planned_edits[0]; i++) {
        const planned_edit *edit = &planned_edits[i];
        kx_error err = {0};
        kx_plan *plan = NULL;
        kx_picture sizes_only = {edit->reference[0], edit->reference[1], NULL};
        kx_edit_request request = request_of(edit, &sizes_only);
        assert_ok(kx_edit_plan(model, &request, &plan, &err));
        kx_picture picture = {0};
        if (edit->num_references > 0) picture = test_paint(edit->reference[0], edit->reference[1], 1);
        request = request_of(edit, &picture);
        kx_result *result = test_edit(model, &request);
        double ratio = (double)result->peak_anonymous_bytes / (double)result->plan_bytes;
        double before = (double)plan->peak_bytes / (double)result->plan_bytes;
        print_message("# %s: planned from sizes %.1f MB, from pictures %.1f MB, held %.1f MB (%.3f)\n",
                      edit->name, 1e-6 * (double)plan->peak_bytes, 1e-6 * (double)result->plan_bytes,
                      1e-6 * (double)result->peak_anonymous_bytes, ratio);
        assert_string_equal(plan->peak_stage, edit->peak_stage);
        if (!(ratio >= 0.9 && ratio <= 1.1)) fail_msg("%s: held / planned is %.3f", edit->name, ratio);
        if (!(before >= 0.9 && before <= 1.1))
            fail_msg("%s: planned from sizes / with pictures is %.3f", edit->name, before);
        kx_result_free(result);
        kx_picture_free(&picture);
        kx_plan_free(plan);
    }
    kx_model_close(model);
}

/* A dump and a file to decode are part of no plan, so they must not be held. */
static void files_in_and_out_are_not_held(void **state)
{
    (void)state;
    if (TEST_UNDER_SANITIZER) {
        print_message("# skipped: a sanitizer holds memory of its own\n");
        skip();
    }
    kx_error err = {0};
    kx_model *model = test_open_tiny(0);
    kx_picture picture = test_paint(3000, 2000, 1);
    const char *path = test_path_in(test_temporary_folder(), "large.png");
    assert_ok(kx_picture_save(&picture, path, NULL, &err));
    kx_picture_free(&picture);
    kx_edit_request request = test_request("Files");
    request.steps = 1;
    request.references[0].path = path;
    request.num_references = 1;
    request.width_px = request.height_px = 512;
    request.dump_file = test_path_in(test_temporary_folder(), "large.safetensors");
    request.dump_blocks = 1;
    kx_result *result = test_edit(model, &request);
    double ratio = (double)result->peak_anonymous_bytes / (double)result->plan_bytes;
    print_message("# planned %.1f MB, held %.1f MB (%.3f)\n", 1e-6 * (double)result->plan_bytes,
                  1e-6 * (double)result->peak_anonymous_bytes, ratio);
    if (!(ratio >= 0.9 && ratio <= 1.1)) fail_msg("held / planned is %.3f", ratio);
    kx_result_free(result);
    kx_model_close(model);
}

static void buffers_add_up_to_the_peak(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(2);
    for (size_t i = 0; i < sizeof planned_edits / sizeof planned_edits[0]; i++) {
        kx_error err = {0};
        kx_plan *plan = NULL;
        kx_picture sizes_only = {planned_edits[i].reference[0], planned_edits[i].reference[1], NULL};
        kx_edit_request request = request_of(&planned_edits[i], &sizes_only);
        assert_ok(kx_edit_plan(model, &request, &plan, &err));
        uint64_t sum = 0;
        for (size_t k = 0; k < plan->num_buffers; k++) {
            const kx_plan_buffer *buffer = &plan->buffers[k];
            if (strcmp(buffer->stage, "model") == 0 || strcmp(buffer->stage, plan->peak_stage) == 0)
                sum += buffer->bytes;
        }
        assert_int_equal(sum, plan->peak_bytes);
        assert_int_equal(plan->text_tokens, 64);
        assert_int_equal(plan->target_tokens * 256, planned_edits[i].output[0] * planned_edits[i].output[1]);
        assert_int_equal(plan->reference_tokens * 256, planned_edits[i].num_references *
                                                           planned_edits[i].reference[0] *
                                                           planned_edits[i].reference[1]);
        assert_true(plan->mapped_bytes > 4000000 && plan->tflop_per_step > 0 && plan->fits);
        kx_plan_free(plan);
    }
    kx_model_close(model);
}

static void count_progress(void *user, const kx_progress *progress)
{
    (void)progress;
    ++*(int *)user;
}

static void an_edit_over_the_limit_is_refused_before_any_work(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    kx_result *result = NULL;
    kx_plan *plan = NULL;
    int calls = 0;
    kx_callbacks callbacks = {.progress = count_progress, .user = &calls};
    kx_edit_request request = test_request("Too much");
    request.steps = 1;
    request.width_px = request.height_px = 128;
    assert_ok(kx_edit_plan(model, &request, &plan, &err));
    request.memory_limit_bytes = plan->peak_bytes * 3 / 4;
    kx_status status = kx_edit_run(model, &request, &callbacks, &result, &err);
    test_refused("a limit of three quarters", &err, status, KX_ERR_MEMORY, "this edit needs");
    assert_int_equal(calls, 0);
    assert_null(result);
    request.memory_limit_bytes = plan->peak_bytes * 5 / 4;
    kx_result_free(test_edit(model, &request));
    kx_plan_free(plan);
    kx_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_what_is_held),
        cmocka_unit_test(files_in_and_out_are_not_held),
        cmocka_unit_test(buffers_add_up_to_the_peak),
        cmocka_unit_test(an_edit_over_the_limit_is_refused_before_any_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
