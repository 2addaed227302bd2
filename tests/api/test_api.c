/* The public header as a program sees it: linked with the shared library alone, nothing of the engine's
 * insides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <kontext/kontext.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256];
static char model_path[512];

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/kontext-api-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(model_path, sizeof model_path, "%s/model", folder);
    return kx_model_synth(model_path, KX_SYNTH_TINY, 1, NULL, NULL) == KX_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void every_status_has_its_words_and_numbers(void **state)
{
    (void)state;
    for (int s = KX_OK; s <= KX_ERR_INTERNAL; s++) {
        assert_true(strlen(kx_status_name((kx_status)s)) > 0);
        assert_true(strlen(kx_status_sentence((kx_status)s)) > 0);
        assert_true(kx_status_http((kx_status)s) >= 200 && kx_status_http((kx_status)s) < 600);
    }
    assert_int_equal(kx_status_exit(KX_OK), 0);
    assert_int_equal(kx_status_exit(KX_ERR_USAGE), 2);
    assert_int_equal(kx_status_exit(KX_ERR_INPUT), 3);
    assert_int_equal(kx_status_exit(KX_ERR_MODEL), 4);
    assert_int_equal(kx_status_exit(KX_ERR_MEMORY), 5);
    assert_int_equal(kx_status_exit(KX_ERR_OUTPUT), 6);
    assert_int_equal(kx_status_exit(KX_ERR_CANCELLED), 130);
    assert_int_equal(kx_status_exit((kx_status)1000), 1);
    assert_int_equal(kx_status_retryable(KX_ERR_INPUT), 0);
    assert_int_equal(kx_status_retryable(KX_ERR_MEMORY), 1);
}

static void the_version_of_header_and_library_agree(void **state)
{
    (void)state;
    assert_string_equal(kx_version(), KX_VERSION);
}

static void free_functions_accept_null(void **state)
{
    (void)state;
    kx_picture empty = {0};
    kx_picture_free(NULL);
    kx_picture_free(&empty);
    kx_free(NULL);
    kx_model_close(NULL);
    kx_result_free(NULL);
    kx_plan_free(NULL);
}

/* Every call that can fail, failing with nowhere to put the sentence. */
static void no_call_needs_an_error_to_fill(void **state)
{
    (void)state;
    uint8_t rgb[3 * 16 * 16] = {0};
    kx_picture picture = {16, 16, rgb}, loaded;
    kx_save_options unnamed = {KX_FORMAT_AUTO, 0, NULL, 0};
    kx_model_options options = kx_model_options_default();
    kx_edit_request request = kx_edit_request_default();
    kx_model *model = NULL;
    kx_result *result = NULL;
    kx_plan *plan = NULL;
    uint8_t *data = NULL;
    size_t bytes = 0;
    assert_int_equal(kx_picture_load(&loaded, "/nowhere.png", NULL), KX_ERR_INPUT);
    assert_int_equal(kx_picture_decode(&loaded, "x", 1, NULL), KX_ERR_INPUT);
    assert_int_equal(kx_picture_save(&picture, "/nowhere/x.png", NULL, NULL), KX_ERR_OUTPUT);
    assert_int_equal(kx_picture_save(&picture, in_folder("x.xyz"), NULL, NULL), KX_ERR_INPUT);
    assert_int_not_equal(kx_picture_encode(&picture, &unnamed, &data, &bytes, NULL), KX_OK);
    options.path = "/nowhere";
    assert_int_equal(kx_model_open(&model, &options, NULL), KX_ERR_MODEL);
    options.path = model_path;
    options.cpu = "abacus";
    assert_int_equal(kx_model_open(&model, &options, NULL), KX_ERR_INPUT);
    assert_int_equal(kx_model_synth("/dev/null/model", KX_SYNTH_TINY, 0, NULL, NULL), KX_ERR_OUTPUT);
    kx_bench_options bench = kx_bench_options_default();
    bench.cpu = "abacus";
    assert_int_equal(kx_bench_run(&bench, NULL, NULL, NULL, NULL), KX_ERR_INPUT);
    kx_cache_kind kind;
    double threshold;
    assert_int_equal(kx_cache_parse("last-block", &kind, &threshold, NULL), KX_ERR_INPUT);
    options.cpu = NULL;
    assert_int_equal(kx_model_convert(&options, in_folder("packed"), KX_PRECISION_F32, NULL, NULL),
                     KX_ERR_INPUT);
    assert_int_equal(
        kx_model_synth_packed(in_folder("packed"), KX_SYNTH_TINY, 0, KX_PRECISION_F32, NULL, NULL),
        KX_ERR_INPUT);
    assert_int_equal(kx_model_open(&model, &options, NULL), KX_OK);
    assert_int_equal(kx_edit_run(model, &request, NULL, &result, NULL), KX_ERR_INPUT);
    request.steps = -1;
    assert_int_equal(kx_edit_plan(model, &request, &plan, NULL), KX_ERR_INPUT);
    assert_null(result);
    assert_null(plan);
    /* And the same calls when they work. */
    request = kx_edit_request_default();
    request.prompt = "x";
    request.steps = 1;
    request.width_px = request.height_px = 16;
    request.profile = KX_PROFILE_ROWS;
    char *json = NULL;
    assert_int_equal(kx_cache_parse("first-block=0.1", &kind, &threshold, NULL), KX_OK);
    assert_int_equal(kx_model_describe(model, &json, NULL), KX_OK);
    assert_non_null(strstr(json, "\"licence\""));
    assert_int_equal(kx_model_verify(model, NULL, NULL), KX_OK);
    assert_int_equal(kx_edit_plan(model, &request, &plan, NULL), KX_OK);
    assert_int_equal(kx_edit_run(model, &request, NULL, &result, NULL), KX_OK);
    assert_int_equal(kx_picture_save(&result->images[0].picture, in_folder("x.png"), NULL, NULL), KX_OK);
    assert_int_equal(kx_profile_save(result->profile, in_folder("x.json"), NULL), KX_ERR_USAGE);
    assert_int_equal(kx_picture_load(&loaded, in_folder("x.png"), NULL), KX_OK);
    kx_picture_free(&loaded);
    kx_free(json);
    kx_plan_free(plan);
    kx_result_free(result);
    kx_model_close(model);
}

static void a_lossless_picture_survives_with_its_words(void **state)
{
    (void)state;
    uint8_t rgb[3 * 7 * 5];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 37);
    kx_picture picture = {7, 5, rgb}, back;
    const kx_text_entry words[] = {{"prompt", "gr\xc3\xbcn"}};
    const kx_picture_format formats[] = {KX_FORMAT_PNG, KX_FORMAT_WEBP};
    for (int i = 0; i < 2; i++) {
        kx_error err = {0};
        kx_save_options options = {formats[i], 0, words, 1};
        uint8_t *data = NULL;
        size_t bytes = 0;
        assert_int_equal(kx_picture_encode(&picture, &options, &data, &bytes, &err), KX_OK);
        assert_int_equal(kx_picture_decode(&back, data, bytes, &err), KX_OK);
        assert_int_equal(back.width_px * 1000 + back.height_px, 7005);
        assert_memory_equal(back.rgb, rgb, sizeof rgb);
        bool found = false;
        for (size_t k = 0; k + 5 <= bytes && !found; k++) found = memcmp(data + k, "gr\xc3\xbcn", 5) == 0;
        assert_true(found);
        kx_picture_free(&back);
        kx_free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_words_and_numbers),
        cmocka_unit_test(the_version_of_header_and_library_agree),
        cmocka_unit_test(free_functions_accept_null),
        cmocka_unit_test(no_call_needs_an_error_to_fill),
        cmocka_unit_test(a_lossless_picture_survives_with_its_words),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
