/* What a submit accepts: tests/data/service/submit_parameters.txt is the table. Each case is two lines, the
 * body and what is expected of it: "= FIELD=VALUE ..." of what was read, or "! WORDS" that the refusal must
 * hold. */
#include "test_support.h"

#include "service/api/parameters_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const kx_parameter_limits limits = {256, 1536, 28, 2.5};

static const kx_api_model *model_of(const char *line)
{
    return kx_api_model_find(strncmp(line, "single ", 7) == 0 ? "wavespeed-ai/flux-kontext-dev"
                                                              : "wavespeed-ai/flux-kontext-dev/multi");
}

static void describe(const kx_parameters *p, char *out, size_t room)
{
    size_t used = (size_t)snprintf(out, room,
                                   "size=%dx%d steps=%lld guidance=%g images=%lld seed=%lld format=%lld "
                                   "base64=%d sync=%d webhook=%s from=%s",
                                   p->size.width_px, p->size.height_px, (long long)p->steps, p->guidance,
                                   (long long)p->num_images, (long long)p->seed, (long long)p->format,
                                   p->base64, p->sync, p->webhook == NULL ? "-" : p->webhook,
                                   p->pictures_field == NULL ? "-" : p->pictures_field);
    for (size_t i = 0; i < p->num_pictures; i++)
        used += (size_t)snprintf(out + used, room - used, " picture=%s", p->pictures[i]);
    for (size_t i = 0; i < json_array_size(p->warnings); i++)
        used += (size_t)snprintf(out + used, room - used, " warning=%s",
                                 json_string_value(json_array_get(p->warnings, i)));
}

static void check_read(const char *line, const kx_parameters *parameters, char *expected)
{
    char found[4096];
    describe(parameters, found, sizeof found);
    for (char *save = NULL, *word = strtok_r(expected, "|", &save); word != NULL;
         word = strtok_r(NULL, "|", &save))
        if (strstr(found, word) == NULL)
            fail_msg("%s\n  gives \"%s\", which lacks \"%s\"", line, found, word);
}

static void check_case(const char *line, char *expected)
{
    kx_error err = {0};
    kx_parameters parameters;
    const char *text = strchr(line, '{');
    json_t *body = json_loads(text, 0, NULL);
    if (body == NULL) fail_msg("%s is not JSON", line);
    kx_status status = kx_parameters_read(&parameters, body, model_of(line), &limits, &err);
    if (expected[0] == '=' && status != KX_OK) fail_msg("%s\n  is refused: %s", line, err.message);
    if (expected[0] == '!' && status != KX_ERR_INPUT) fail_msg("%s\n  is accepted", line);
    if (expected[0] == '=')
        check_read(line, &parameters, expected + 2);
    else if (strstr(err.message, expected + 2) == NULL)
        fail_msg("%s\n  says \"%s\", not \"%s\"", line, err.message, expected + 2);
    kx_parameters_free(&parameters);
    json_decref(body);
}

static void table_of_bodies(void **state)
{
    (void)state;
    size_t bytes = 0, cases = 0;
    char *text = (char *)test_read_file(test_source_path("tests/data/service/submit_parameters.txt"), &bytes);
    char *save = NULL, *body = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == '#') continue;
        if (body == NULL) {
            body = line;
            continue;
        }
        check_case(body, line);
        body = NULL;
        cases++;
    }
    free(text);
    assert_true(cases > 40);
}

static void five_pictures_are_counted(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_parameters parameters;
    json_t *body =
        json_pack("{s:s, s:[s, s, s, s, s, s]}", "prompt", "x", "images", "a", "b", "c", "d", "e", "f");
    assert_int_equal(kx_parameters_read(&parameters, body,
                                        kx_api_model_find("wavespeed-ai/flux-kontext-dev/multi"), &limits,
                                        &err),
                     KX_ERR_INPUT);
    assert_string_equal(err.message, "images: at most 4 pictures are expected, 6 are found");
    kx_parameters_free(&parameters);
    json_decref(body);
}

static void many_unknown_fields_give_few_warnings(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_parameters parameters;
    json_t *body = json_pack("{s:s}", "prompt", "x");
    for (int i = 0; i < 500; i++) {
        char name[200];
        memset(name, 'n', sizeof name);
        snprintf(name + 150, sizeof name - 150, "%d", i);
        json_object_set_new(body, name, json_null());
    }
    assert_ok(kx_parameters_read(&parameters, body, kx_api_model_find("wavespeed-ai/flux-kontext-dev"),
                                 &limits, &err));
    assert_int_equal(json_array_size(parameters.warnings), 32);
    assert_true(json_string_length(json_array_get(parameters.warnings, 0)) < 100);
    kx_parameters_free(&parameters);
    json_decref(body);
}

static void sizes_in_every_spelling(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",          "x",          "1024*",    "*1024",
                                        "1024**768", "1024*768*3", "-5*7",     "1e3",
                                        " 1024*1",   "1024 *1",    "99999999", "9999999999999999999*1"};
    kx_size size = {0, 0};
    assert_true(kx_size_parse("1024*768", &size) && size.width_px == 1024 && size.height_px == 768);
    assert_true(kx_size_parse("640x480", &size) && size.width_px == 640 && size.height_px == 480);
    assert_true(kx_size_parse("640X480", &size) && size.width_px == 640 && size.height_px == 480);
    assert_true(kx_size_parse("512", &size) && size.width_px == 512 && size.height_px == 512);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_false(kx_size_parse(wrong[i], &size));
}

static const json_t *property(const json_t *schema, const char *name)
{
    return json_object_get(json_object_get(schema, "properties"), name);
}

static void the_catalogue_states_the_models_limits(void **state)
{
    (void)state;
    kx_parameter_limits small = {16, 512, 8, 3.5};
    const kx_api_model *model = kx_api_model_find("wavespeed-ai/flux-kontext-dev/multi");
    json_t *schema = kx_parameters_catalogue_schema(model, &small);
    assert_non_null(schema);
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    assert_int_equal(json_integer_value(json_object_get(property(schema, "size"), "minimum")), 16);
    assert_int_equal(json_integer_value(json_object_get(property(schema, "size"), "maximum")), 512);
    assert_int_equal(json_integer_value(json_object_get(property(schema, "num_inference_steps"), "default")),
                     8);
    assert_int_equal(json_integer_value(json_object_get(property(schema, "images"), "maxItems")), 4);
    assert_null(property(schema, "image"));
    assert_null(property(schema, "width"));
    assert_true(json_is_true(json_object_get(property(schema, "enable_sync_mode"), "disabled")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(schema, "x-order-properties"), 0)),
                        "prompt");
    json_decref(schema);
    schema = kx_parameters_catalogue_schema(kx_api_model_find("wavespeed-ai/flux-kontext-dev"), &small);
    assert_non_null(property(schema, "image"));
    assert_null(property(schema, "images"));
    json_decref(schema);
}

static void prices_need_only_the_number_of_pictures(void **state)
{
    (void)state;
    kx_error err = {0};
    int64_t images = 0;
    json_t *body = json_pack("{s:i, s:i}", "num_images", 3, "guidance_scale", 900);
    assert_ok(kx_parameters_read_num_images(body, &images, &err));
    assert_int_equal(images, 3);
    assert_ok(kx_parameters_read_num_images(NULL, &images, &err));
    assert_int_equal(images, 1);
    json_object_set_new(body, "num_images", json_integer(5));
    assert_int_equal(kx_parameters_read_num_images(body, &images, &err), KX_ERR_INPUT);
    assert_non_null(strstr(err.message, "num_images: an integer from 1 to 4 is expected, 5 is found"));
    json_t *list = json_array();
    err = (kx_error){0};
    assert_int_equal(kx_parameters_read_num_images(list, &images, &err), KX_ERR_INPUT);
    assert_string_equal(err.message, "inputs: an object is expected, an array is found");
    json_decref(list);
    json_decref(body);
}

static void each_model_has_its_price(void **state)
{
    (void)state;
    kx_settings settings = kx_settings_default();
    size_t count = 0;
    const kx_api_model *models = kx_api_models(&count);
    assert_int_equal(count, 3);
    assert_int_equal(kx_api_model_price(&models[0], &settings), settings.price_multi_micro);
    assert_int_equal(kx_api_model_price(&models[1], &settings), settings.price_ultra_fast_micro);
    assert_int_equal(kx_api_model_price(&models[2], &settings), settings.price_single_micro);
    assert_null(kx_api_model_find("wavespeed-ai/flux-kontext-dev/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_of_bodies),
        cmocka_unit_test(five_pictures_are_counted),
        cmocka_unit_test(many_unknown_fields_give_few_warnings),
        cmocka_unit_test(sizes_in_every_spelling),
        cmocka_unit_test(the_catalogue_states_the_models_limits),
        cmocka_unit_test(prices_need_only_the_number_of_pictures),
        cmocka_unit_test(each_model_has_its_price),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
