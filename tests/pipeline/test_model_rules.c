/* What a model's kontext.json says is what an edit without options does, what is refused, and what
 * kx_model_describe tells. */
#include "pipeline_test_support.h"

#include <jansson.h>
#include <math.h>

static const char rules[] = "{\"name\": \"small\", \"licence\": \"CC0-1.0\", \"native_area\": 16384, "
                            "\"preferred_sizes\": [[128, 128]], \"min_side\": 32, \"max_side\": 256, "
                            "\"max_text_tokens\": 32, \"default_steps\": 3, \"default_guidance\": 4.5}";

static kx_model *model;
static kx_picture reference;

static int open_small(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *folder = test_linked_model("rules", NULL);
    test_replace_file(folder, "kontext.json", rules, sizeof rules - 1);
    reference = test_paint(300, 200, 1);
    assert_ok(test_open_model(folder, 2, &model, &err));
    return 0;
}

static int close_small(void **state)
{
    (void)state;
    kx_picture_free(&reference);
    kx_model_close(model);
    return 0;
}

static kx_edit_request plain_request(const char *prompt, size_t num_references)
{
    kx_edit_request request = kx_edit_request_default();
    request.prompt = prompt;
    for (size_t k = 0; k < num_references; k++) request.references[k].picture = &reference;
    request.num_references = num_references;
    return request;
}

static void describe_tells_the_rules(void **state)
{
    (void)state;
    kx_error err = {0};
    char *text = NULL;
    assert_ok(kx_model_describe(model, &text, &err));
    json_t *root = json_loads(text, 0, NULL), *limits = json_object_get(root, "limits");
    static const struct {
        const char *key;
        double value;
    } expected[] = {
        {"native_area", 16384}, {"min_side", 32},      {"max_side", 256},         {"max_text_tokens", 32},
        {"default_steps", 3},   {"max_references", 4}, {"default_guidance", 4.5},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        double found = json_number_value(json_object_get(limits, expected[i].key));
        if (fabs(found - expected[i].value) > 0)
            fail_msg("%s is %g, %g is expected", expected[i].key, found, expected[i].value);
    }
    json_t *sizes = json_object_get(limits, "preferred_sizes");
    assert_int_equal(json_array_size(sizes), 1);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(sizes, 0), 1)), 128);
    assert_string_equal(json_string_value(json_object_get(root, "name")), "small");
    json_decref(root);
    kx_free(text);
}

static void an_edit_without_options_follows_the_rules(void **state)
{
    (void)state;
    for (size_t num_references = 0; num_references <= 2; num_references++) {
        kx_edit_request request = plain_request("Paint it", num_references);
        kx_result *result = test_edit(model, &request);
        assert_int_equal(result->steps, 3);
        assert_true(result->guidance == 4.5);
        assert_int_equal(result->final.width_px, 128);
        assert_int_equal(result->final.height_px, 128);
        for (size_t k = 0; k < num_references; k++) {
            assert_int_equal(result->references[k].working.width_px, 128);
            assert_int_equal(result->references[k].working.height_px, 128);
        }
        assert_int_equal(result->t5_tokens_cut, 0);
        kx_result_free(result);
    }
}

static void a_long_prompt_is_cut_to_the_models_tokens(void **state)
{
    (void)state;
    kx_edit_request request =
        plain_request("one two three four five six seven eight nine ten eleven twelve thirteen fourteen", 0);
    request.steps = 1;
    request.width_px = request.height_px = 32;
    kx_result *result = test_edit(model, &request);
    assert_int_equal(result->t5_tokens, 32);
    assert_true(result->t5_tokens_cut > 0);
    kx_result_free(result);
    kx_plan *plan = NULL;
    kx_error err = {0};
    assert_ok(kx_edit_plan(model, &request, &plan, &err));
    assert_int_equal(plan->text_tokens, 32);
    kx_plan_free(plan);
}

/* Whatever a size comes from: the model's limits hold. */
static void sizes_outside_the_rules_are_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_result *result = NULL;
    kx_edit_request request = plain_request("Too large", 1);
    request.width_px = 272;
    request.height_px = 128;
    test_refused("a size", &err, kx_edit_run(model, &request, NULL, &result, &err), KX_ERR_INPUT,
                 "272x128, each side must be 32 to 256 pixels");
    request = plain_request("Too large", 1);
    request.ref_size = KX_REF_SIZE_NATIVE;
    test_refused("a native reference", &err, kx_edit_run(model, &request, NULL, &result, &err), KX_ERR_INPUT,
                 "288x192, each side must be 32 to 256 pixels");
    request = plain_request("Too narrow", 1);
    request.aspect_w = 30;
    request.aspect_h = 1;
    test_refused("an aspect", &err, kx_edit_run(model, &request, NULL, &result, &err), KX_ERR_INPUT,
                 "each side must be 32 to 256 pixels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describe_tells_the_rules),
        cmocka_unit_test(an_edit_without_options_follows_the_rules),
        cmocka_unit_test(a_long_prompt_is_cut_to_the_models_tokens),
        cmocka_unit_test(sizes_outside_the_rules_are_refused),
    };
    return cmocka_run_group_tests(tests, open_small, close_small);
}
