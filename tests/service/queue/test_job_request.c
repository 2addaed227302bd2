#include "test_support.h"

#include "service/queue/job_request.h"
#include "service/queue/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_request_survives_the_store(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_arena arena = {0};
    kx_job_request request = {.prompt = "Zwölf \"Häuser\" \xf0\x9f\x8f\xa0",
                              .images = {{.url = "https://example.com/a.png"}, {.blob = ""}},
                              .num_images_in = 2,
                              .width_px = 640,
                              .height_px = 480,
                              .steps = 28,
                              .guidance = 2.1,
                              .seed = UINT64_MAX - 1,
                              .num_images = 4,
                              .format = KX_FORMAT_WEBP,
                              .quality = 90};
    kx_job_request back;
    memset(request.images[1].blob, 'f', KX_SHA256_HEX - 1);
    json_t *json = kx_job_request_to_json(&request);
    char *text = json_dumps(json, JSON_REAL_PRECISION(17));
    assert_ok(kx_job_request_parse(&back, text, &arena, &err));
    assert_string_equal(back.prompt, request.prompt);
    assert_string_equal(back.images[0].url, request.images[0].url);
    assert_string_equal(back.images[0].blob, "");
    assert_null(back.images[1].url);
    assert_string_equal(back.images[1].blob, request.images[1].blob);
    assert_int_equal(back.num_images_in, 2);
    assert_int_equal(back.width_px, 640);
    assert_int_equal(back.height_px, 480);
    assert_int_equal(back.steps, 28);
    assert_true(back.guidance == request.guidance);
    assert_true(back.seed == request.seed);
    assert_int_equal(back.num_images, 4);
    assert_int_equal(back.format, KX_FORMAT_WEBP);
    assert_int_equal(back.quality, 90);
    free(text);
    json_decref(json);
    kx_arena_free(&arena);
}

static void other_text_is_refused(void **state)
{
    static const char good[] =
        "{\"prompt\":\"a\",\"images\":[],\"width\":0,\"height\":0,\"steps\":1,\"guidance\":1.0,"
        "\"seed\":1,\"num_images\":1,\"format\":\"png\",\"quality\":0}";
    static const char *const changes[][2] = {
        {"\"a\"", "5"},
        {"[]", "{}"},
        {"[]", "[{}]"},
        {"[]", "[{\"blob\":\"abc\"}]"},
        {"[]", "[1,2,3,4,5]"},
        {"\"width\":0", "\"width\":-1"},
        {"\"steps\":1", "\"steps\":1.5"},
        {"\"steps\":1", "\"steps\":100000"},
        {"1.0", "\"1\""},
        {"\"num_images\":1", "\"num_images\":0"},
        {"\"png\"", "\"gif\""},
        {"\"seed\"", "\"sid\""},
        {"}", ""},
    };
    (void)state;
    kx_arena arena = {0};
    kx_job_request request;
    kx_error err = {0};
    assert_ok(kx_job_request_parse(&request, good, &arena, &err));
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char text[512];
        const char *at = strstr(good, changes[i][0]);
        err = (kx_error){0};
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, changes[i][1],
                 at + strlen(changes[i][0]));
        if (kx_job_request_parse(&request, text, &arena, &err) != KX_ERR_INTERNAL)
            fail_msg("accepted: %s", text);
        assert_non_null(strstr(err.message, "the stored request"));
    }
    kx_arena_free(&arena);
}

static void versions_grow_for_jobs_that_are_forgotten(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_live_table *table = NULL;
    kx_live live;
    char id[33];
    assert_ok(kx_live_open(&table, 1000, &err));
    kx_live_read(table, "first", &live);
    assert_int_equal(live.version, 1000);
    assert_false(live.is_running);
    kx_live_job *kept = kx_live_begin(table, "first", "text", true);
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "%d", i);
        kx_live_touch(table, id);
    }
    kx_live_read(table, "0", &live); /* forgotten */
    assert_true(live.version > 1001);
    kx_live_read(table, "first", &live); /* at work: never */
    assert_true(live.is_running);
    assert_false(atomic_load(&kept->is_cancelled));
    kx_live_cancel(table, "first");
    assert_true(atomic_load(&kept->is_cancelled));
    kx_live_end(table, kept);
    kx_live_close(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_survives_the_store),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(versions_grow_for_jobs_that_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
