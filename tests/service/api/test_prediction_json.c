/* The types of the prediction object, for every state: what clients depend on. */
#include "test_support.h"

#include "service/api/prediction_json.h"
#include "service/api/submitted_pictures.h"

#include <stdlib.h>
#include <string.h>

#define ID    "45b392b22c3b449fa935bd4dc2219dfe"
#define TOKEN "0123456789abcdef0123456789abcdef"

static const char input_text[] = "{\"parameters\": {\"prompt\": \"x\", \"images\": [\"/files/" TOKEN
                                 ".png\", \"https://a/b.png\", \"/files/own.png\"]}, "
                                 "\"base_url\": \"https://host/prefix\", \"seed\": 42}";

static kx_prediction example(kx_job_state state)
{
    return (kx_prediction){
        .id = ID,
        .key_id = 1,
        .model = "wavespeed-ai/flux-kontext-dev/multi",
        .state = state,
        .input = input_text,
        .warnings = "[\"unknown field 'a' ignored\"]",
        .outputs = state == KX_JOB_COMPLETED
                       ? "[{\"file\": \"" TOKEN "\", \"format\": \"jpeg\", \"width\": 64, \"height\": 64, "
                         "\"seed\": 42}, {\"file\": \"" TOKEN "\", \"format\": \"jpeg\"}]"
                       : "[]",
        .details = "{\"stage_timings\": {\"text\": 0.5}, \"warnings\": [\"the prompt was cut\"]}",
        .error = "",
        .created_ns = 1758791568239112031,
        .started_ns = state == KX_JOB_CREATED ? 0 : 1758791569000000000,
        .finished_ns = kx_job_state_ended(state) ? 1758791570500000000 : 0,
        .inference_ms = 1400,
        .price_micro = 60000,
        .num_images = 2};
}

static const json_t *at(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL) fail_msg("%s is absent", name);
    return value;
}

static void check_map(const json_t *map, bool strings)
{
    const char *name;
    json_t *value;
    assert_true(json_is_object(map));
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
        assert_true(strings ? json_is_string(value) : json_is_number(value));
}

static void check_types(const json_t *object)
{
    static const char *const strings[] = {"id", "model", "status", "created_at", "error", "charge"};
    static const char *const integers[] = {"code", "executionTime", "execution_time"};
    static const char *const arrays[] = {"outputs", "has_nsfw_contents", "warnings", "seeds"};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        assert_true(json_is_string(at(object, strings[i])));
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++)
        assert_true(json_is_integer(at(object, integers[i])));
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        assert_true(json_is_array(at(object, arrays[i])));
    for (size_t i = 0; i < json_array_size(at(object, "outputs")); i++)
        assert_true(json_is_string(json_array_get(at(object, "outputs"), i)));
    assert_int_equal(json_array_size(at(object, "outputs")),
                     json_array_size(at(object, "has_nsfw_contents")));
    assert_true(json_is_number(at(object, "price")));
    check_map(at(object, "urls"), true);
    check_map(at(object, "timings"), false);
}

static void every_state_has_the_contracts_types(void **state)
{
    (void)state;
    for (int i = 0; i < (int)KX_JOB_STATES; i++) {
        kx_prediction prediction = example((kx_job_state)i);
        json_t *object = kx_prediction_to_json(&prediction, NULL, "http://localhost:8080", true);
        assert_non_null(object);
        check_types(object);
        assert_string_equal(json_string_value(at(object, "status")), kx_job_state_name((kx_job_state)i));
        assert_string_equal(json_string_value(at(object, "created_at")), "2025-09-25T09:12:48.239112031Z");
        json_decref(object);
    }
}

static void outputs_are_absolute_urls_with_a_suffix(void **state)
{
    (void)state;
    kx_prediction prediction = example(KX_JOB_COMPLETED);
    json_t *object = kx_prediction_to_json(&prediction, NULL, "http://h", true);
    assert_string_equal(json_string_value(json_array_get(at(object, "outputs"), 0)),
                        "http://h/files/" TOKEN ".jpeg");
    assert_string_equal(json_string_value(json_object_get(at(object, "urls"), "get")),
                        "http://h/api/v3/predictions/" ID "/result");
    assert_int_equal(json_integer_value(at(object, "executionTime")), 1400);
    assert_int_equal(json_integer_value(json_object_get(at(object, "timings"), "inference")), 1400);
    assert_true(json_real_value(json_object_get(at(object, "stage_timings"), "text")) > 0.4);
    assert_int_equal(json_array_size(at(object, "warnings")), 2);
    json_decref(object);
}

static void inline_pictures_follow_the_address(void **state)
{
    (void)state;
    kx_prediction prediction = example(KX_JOB_CREATED);
    json_t *object = kx_prediction_to_json(&prediction, NULL, NULL, true);
    const json_t *images = json_object_get(at(object, "input"), "images");
    assert_string_equal(json_string_value(json_array_get(images, 0)),
                        "https://host/prefix/files/" TOKEN ".png");
    assert_string_equal(json_string_value(json_array_get(images, 1)), "https://a/b.png");
    assert_string_equal(json_string_value(json_array_get(images, 2)), "/files/own.png");
    assert_int_equal(json_integer_value(json_array_get(at(object, "seeds"), 1)), 43);
    json_decref(object);
}

static void progress_and_place_are_told(void **state)
{
    (void)state;
    kx_prediction_now now = {.has_position = true, .queue_position = 3, .wait_ms = 900};
    kx_prediction prediction = example(KX_JOB_CREATED);
    json_t *object = kx_prediction_to_json(&prediction, &now, "http://h", false);
    assert_int_equal(json_integer_value(at(object, "queue_position")), 3);
    assert_int_equal(json_integer_value(at(object, "eta_ms")), 900);
    assert_null(json_object_get(object, "input"));
    json_decref(object);
    now = (kx_prediction_now){.live = {.is_running = true,
                                       .stage = "denoise",
                                       .step = 7,
                                       .total_steps = 28,
                                       .progress = 0.25,
                                       .eta_ms = -1}};
    prediction = example(KX_JOB_PROCESSING);
    object = kx_prediction_to_json(&prediction, &now, "http://h", false);
    assert_int_equal(json_integer_value(at(object, "step")), 7);
    assert_int_equal(json_integer_value(at(object, "total_steps")), 28);
    assert_null(json_object_get(object, "eta_ms"));
    check_types(object);
    json_decref(object);
}

static void a_damaged_record_is_still_a_prediction(void **state)
{
    (void)state;
    kx_prediction prediction = example(KX_JOB_FAILED);
    prediction.input = prediction.outputs = prediction.details = prediction.warnings = "{";
    json_t *object = kx_prediction_to_json(&prediction, NULL, NULL, false);
    assert_non_null(object);
    check_types(object);
    json_decref(object);
}

static void strings_are_told_apart(void **state)
{
    (void)state;
    kx_error err = {0};
    char token[33];
    assert_int_equal(kx_picture_source_of("https://example.com/a.png"), KX_PICTURE_URL);
    assert_int_equal(kx_picture_source_of("/home/me/a.png"), KX_PICTURE_URL);
    assert_int_equal(kx_picture_source_of("/home/me/pictures/of/a/long/way/down/the/road.png"),
                     KX_PICTURE_URL);
    assert_int_equal(kx_picture_source_of("DATA:image/png;base64,AAAA"), KX_PICTURE_DATA_URI);
    assert_int_equal(kx_picture_source_of("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"), KX_PICTURE_BASE64);
    assert_int_equal(kx_picture_source_of("iVBORw0K\r\nGgoAAAAN\r\nSUhEUgAA\r\nAAEAAAAB"), KX_PICTURE_BASE64);
    assert_int_equal(kx_picture_source_of("/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAAgG"), KX_PICTURE_BASE64);
    assert_int_equal(kx_picture_source_of(""), KX_PICTURE_URL);
    assert_string_equal(kx_data_uri_payload("data:image/png;base64,AAAA", &err), "AAAA");
    assert_string_equal(kx_data_uri_payload("data:;base64,AAAA", &err), "AAAA");
    assert_null(kx_data_uri_payload("data:image/svg+xml,%3Csvg", &err));
    assert_null(kx_data_uri_payload("data:", &err));
    assert_true(kx_file_url_token("http://a/files/" TOKEN ".png", token));
    assert_string_equal(token, TOKEN);
    assert_true(kx_file_url_token("http://a/p/files/" TOKEN "?x", token));
    assert_false(kx_file_url_token("http://a/files/" TOKEN "0.png", token));
    assert_false(kx_file_url_token("http://a/files/", token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_the_contracts_types),
        cmocka_unit_test(outputs_are_absolute_urls_with_a_suffix),
        cmocka_unit_test(inline_pictures_follow_the_address),
        cmocka_unit_test(progress_and_place_are_told),
        cmocka_unit_test(a_damaged_record_is_still_a_prediction),
        cmocka_unit_test(strings_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
