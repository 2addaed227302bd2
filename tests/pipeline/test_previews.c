/* Previews: small, as often as asked for, counted by the plan, and without a trace in the result. */
#include "pipeline_test_support.h"

typedef struct seen {
    int width_px, height_px;
    unsigned image, step;
    double mean[3];
} seen;

typedef struct preview_log {
    seen previews[64];
    size_t count;
    int cancel_at; /* ends the edit when this many previews were seen; 0: never */
} preview_log;

static void log_preview(void *user, const kx_picture *picture, unsigned image, unsigned step)
{
    preview_log *log = user;
    assert_true(log->count < 64);
    seen *now = &log->previews[log->count++];
    *now = (seen){picture->width_px, picture->height_px, image, step, {0}};
    size_t pixels = (size_t)picture->width_px * (size_t)picture->height_px;
    for (size_t i = 0; i < 3 * pixels; i++) now->mean[i % 3] += picture->rgb[i] / (double)pixels;
}

static int log_cancelled(void *user)
{
    const preview_log *log = user;
    return log->cancel_at > 0 && (int)log->count >= log->cancel_at;
}

static kx_result *edit_with_previews(kx_model *model, kx_edit_request request, int each, preview_log *log)
{
    kx_error err = {0};
    kx_result *result = NULL;
    kx_callbacks callbacks = {.preview = log_preview, .user = log};
    request.preview_steps = each;
    assert_ok(kx_edit_run(model, &request, &callbacks, &result, &err));
    return result;
}

static void previews_leave_no_trace(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = test_request("Look");
    request.width_px = 80;
    request.height_px = 64;
    request.steps = 4;
    request.num_images = 3;
    kx_result *plain = test_edit(model, &request);
    for (int each = 1; each <= 4; each++) {
        preview_log log = {0};
        kx_result *shown = edit_with_previews(model, request, each, &log);
        test_same_pictures("with and without previews", plain, shown);
        assert_int_equal(log.count, 3 * (4 / each));
        for (size_t i = 0; i < log.count; i++) {
            assert_int_equal(log.previews[i].image, i / (size_t)(4 / each));
            assert_int_equal(log.previews[i].step, (size_t)each * (i % (size_t)(4 / each) + 1));
        }
        kx_result_free(shown);
    }
    kx_result_free(plain);
    kx_model_close(model);
}

typedef struct sized {
    int output[2], preview[2];
} sized;

static void a_preview_is_small_and_keeps_the_shape(void **state)
{
    (void)state;
    static const sized sizes[] = {
        {{16, 16}, {16, 16}},     {{40, 24}, {40, 24}},   {{256, 256}, {256, 256}}, {{272, 256}, {136, 128}},
        {{512, 256}, {256, 128}}, {{704, 96}, {232, 32}}, {{2048, 16}, {256, 8}},   {{16, 2048}, {8, 256}},
    };
    kx_model *model = test_open_tiny(2);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kx_edit_request request = test_request("How large");
        request.steps = 1;
        request.width_px = sizes[i].output[0];
        request.height_px = sizes[i].output[1];
        preview_log log = {0};
        kx_result_free(edit_with_previews(model, request, 1, &log));
        assert_int_equal(log.count, 1);
        const seen *p = &log.previews[0];
        if (p->width_px != sizes[i].preview[0] || p->height_px != sizes[i].preview[1])
            fail_msg("%dx%d has a preview of %dx%d, %dx%d is expected", sizes[i].output[0],
                     sizes[i].output[1], p->width_px, p->height_px, sizes[i].preview[0], sizes[i].preview[1]);
    }
    kx_model_close(model);
}

/* At noise level 0 the estimate is the result itself; where nothing is averaged, so is the preview. */
static void the_last_preview_is_the_result(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = test_request("Nearly there");
    request.width_px = 128;
    request.height_px = 96;
    preview_log log = {0};
    kx_result *result = edit_with_previews(model, request, 1, &log);
    const kx_picture *picture = &result->images[0].picture;
    double mean[3] = {0};
    for (size_t i = 0; i < 3 * 128 * 96; i++) mean[i % 3] += picture->rgb[i] / (128.0 * 96.0);
    for (int c = 0; c < 3; c++) assert_true(mean[c] - log.previews[1].mean[c] == 0);
    assert_true(mean[0] != log.previews[0].mean[0]);
    kx_result_free(result);
    kx_model_close(model);
}

static void the_plan_counts_previews(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(0);
    kx_plan *without = NULL, *with = NULL;
    kx_edit_request request = test_request("Memory");
    request.steps = 1;
    request.width_px = request.height_px = 256;
    assert_ok(kx_edit_plan(model, &request, &without, &err));
    request.preview_steps = 1;
    assert_ok(kx_edit_plan(model, &request, &with, &err));
    bool named = false;
    for (size_t i = 0; i < with->num_buffers; i++)
        named = named || (strcmp(with->buffers[i].stage, "denoise") == 0 &&
                          strncmp(with->buffers[i].name, "preview: ", 9) == 0);
    assert_true(named);
    assert_true(with->tflop_per_step == without->tflop_per_step);
    preview_log log = {0};
    kx_result *result = edit_with_previews(model, request, 1, &log);
    double ratio = (double)result->peak_anonymous_bytes / (double)result->plan_bytes;
    print_message("# planned %.1f MB, held %.1f MB (%.3f)\n", 1e-6 * (double)result->plan_bytes,
                  1e-6 * (double)result->peak_anonymous_bytes, ratio);
    if (!TEST_UNDER_SANITIZER && !(ratio >= 0.9 && ratio <= 1.1)) fail_msg("held / planned is %.3f", ratio);
    kx_result_free(result);
    kx_plan_free(with);
    kx_plan_free(without);
    kx_model_close(model);
}

/* Polls while a preview is decoded count as well: one that would need many more polls is left at once. */
static void a_cancel_ends_a_preview_too(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    kx_result *result = NULL;
    kx_edit_request request = test_request("Stop looking");
    request.steps = 1000;
    request.preview_steps = 1;
    request.width_px = request.height_px = 64;
    preview_log log = {.cancel_at = 3};
    kx_callbacks callbacks = {.preview = log_preview, .cancelled = log_cancelled, .user = &log};
    assert_int_equal(kx_edit_run(model, &request, &callbacks, &result, &err), KX_ERR_CANCELLED);
    assert_int_equal(log.count, 3);
    assert_null(result);
    kx_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(previews_leave_no_trace),
        cmocka_unit_test(a_preview_is_small_and_keeps_the_shape),
        cmocka_unit_test(the_last_preview_is_the_result),
        cmocka_unit_test(the_plan_counts_previews),
        cmocka_unit_test(a_cancel_ends_a_preview_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
