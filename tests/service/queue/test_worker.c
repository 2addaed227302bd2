#include "test_support.h"

#include "queue_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY_STEPS 1000 /* some seconds: nobody waits for their end */

static int set_up(void **state)
{
    *state = queue_fixture_new();
    return 0;
}

static int tear_down(void **state)
{
    queue_fixture_free(*state);
    return 0;
}

static bool two_images_are_counted(queue_fixture *f, void *metrics)
{
    kx_queue_metrics_read(f->queue, metrics); /* the end of a job is told before it is counted */
    return ((kx_queue_metrics *)metrics)->images == 2;
}

static void a_job_is_completed(void **state)
{
    queue_fixture *f = *state;
    char id[33];
    queue_fixture_start(f);
    kx_job_request request = queue_fixture_request(6);
    request.num_images = 2;
    request.num_images_in = 1;
    snprintf(request.images[0].blob, KX_SHA256_HEX, "%s", queue_fixture_picture(f, 80));
    queue_fixture_submit(f, 0, &request, NULL, id);
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    assert_string_equal(job.error, "");
    assert_int_equal(job.state, KX_JOB_COMPLETED);
    assert_int_equal(job.charge, KX_CHARGE_CAPTURED);
    json_t *outputs = json_loads(job.outputs, 0, NULL), *details = json_loads(job.details, 0, NULL);
    assert_int_equal(json_array_size(outputs), 2);
    json_t *second = json_array_get(outputs, 1);
    assert_string_equal(json_string_value(json_object_get(second, "format")), "png");
    assert_int_equal(json_integer_value(json_object_get(second, "seed")), 8);
    assert_int_equal(json_integer_value(json_object_get(second, "width")), 64);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(details, "seeds"), 0)), 7);
    assert_int_equal(json_integer_value(json_object_get(details, "steps")), 6);
    json_t *reference = json_array_get(json_object_get(details, "references"), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(reference, "source"), "width")), 80);
    assert_true(json_number_value(json_object_get(json_object_get(details, "stage_timings"), "total")) > 0);
    assert_true(strlen(json_string_value(json_object_get(details, "kernel_set"))) > 0);
    assert_true(json_is_array(json_object_get(details, "warnings")));
    json_decref(outputs);
    json_decref(details);
    kx_queue_metrics metrics;
    queue_fixture_wait_until(f, two_images_are_counted, &metrics);
    assert_int_equal(metrics.ended[KX_JOB_COMPLETED], 1);
    assert_int_equal(metrics.steps, 12);
    assert_int_equal(metrics.run_seconds.total, 1);
    assert_int_equal(metrics.wait_seconds.total, 1);
    assert_true(kx_queue_wait_ms(f->queue, 1) >= 0);
}

static void assert_failed(queue_fixture *f, const kx_job_request *request, int code, const char *words)
{
    char id[33];
    queue_fixture_submit(f, 0, request, NULL, id);
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    assert_int_equal(job.state, KX_JOB_FAILED);
    if (strstr(job.error, words) == NULL) fail_msg("'%s' does not hold '%s'", job.error, words);
    assert_int_equal(job.code, code);
    assert_int_equal(job.charge, KX_CHARGE_RELEASED);
    assert_string_equal(job.outputs, "[]");
}

static void bad_jobs_fail_with_their_codes(void **state)
{
    queue_fixture *f = *state;
    kx_error err = {0};
    queue_fixture_start(f);
    kx_job_request request = queue_fixture_request(2);
    request.num_images_in = 2;
    snprintf(request.images[0].blob, KX_SHA256_HEX, "%s", queue_fixture_picture(f, 64));
    assert_ok(kx_blobs_put(f->blobs, "PK\x03\x04 no picture", 15, request.images[1].blob, &err));
    assert_failed(f, &request, 1402, "image 2: ");
    memset(request.images[1].blob, 'a', KX_SHA256_HEX - 1);
    assert_failed(f, &request, 1402, "image 2: the picture is no longer stored");
    request = queue_fixture_request(2);
    request.prompt = "";
    assert_failed(f, &request, 1401, "prompt");
}

static void a_cancel_ends_a_job_within_a_step(void **state)
{
    queue_fixture *f = *state;
    kx_error err = {0};
    char id[33], second[33];
    bool found = false;
    kx_job_state now;
    queue_fixture_start(f);
    kx_job_request request = queue_fixture_request(MANY_STEPS);
    queue_fixture_submit(f, 0, &request, NULL, id);
    queue_fixture_submit(f, 0, &request, NULL, second);
    queue_fixture_wait_for_step(f, id, 3);
    assert_ok(kx_queue_cancel(f->queue, f->key_id, id, &found, &now, &err));
    assert_true(found);
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    assert_int_equal(job.state, KX_JOB_CANCELLED);
    assert_int_equal(job.charge, KX_CHARGE_RELEASED);
    /* The mark in the store is enough: nobody told the queue. */
    queue_fixture_wait_for_step(f, second, 3);
    assert_ok(kx_store_cancel(f->store, f->key_id, second, &found, &now, &err));
    assert_int_equal(queue_fixture_wait_for_end(f, second).state, KX_JOB_CANCELLED);
    /* Of somebody else's job nothing is known. */
    assert_ok(kx_queue_cancel(f->queue, f->key_id + 1, id, &found, &now, &err));
    assert_false(found);
}

static void a_job_past_its_deadline_is_ended(void **state)
{
    queue_fixture *f = *state;
    char id[33];
    f->settings.job_deadline_s = 0;
    queue_fixture_start(f);
    kx_job_request request = queue_fixture_request(MANY_STEPS);
    queue_fixture_submit(f, 0, &request, NULL, id);
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    assert_int_equal(job.state, KX_JOB_TIMEOUT);
    assert_int_equal(job.code, 1405);
    assert_string_equal(job.error, "The job ran longer than the limit of 0 seconds and was ended.");
}

static bool has_retried(queue_fixture *f, void *argument)
{
    kx_queue_metrics metrics;
    (void)argument;
    kx_queue_metrics_read(f->queue, &metrics);
    return metrics.retries > 0;
}

/* A disk that takes nothing for a while: the folder for unfinished blobs is away. */
static void a_disk_fault_is_tried_again(void **state)
{
    queue_fixture *f = *state;
    char id[33], tmp[1200], away[1200];
    queue_fixture_start(f);
    snprintf(tmp, sizeof tmp, "%s/tmp", f->folder);
    snprintf(away, sizeof away, "%s/tmp-away", f->folder);
    assert_int_equal(rename(tmp, away), 0);
    kx_job_request request = queue_fixture_request(2);
    queue_fixture_submit(f, 0, &request, NULL, id);
    queue_fixture_wait_until(f, has_retried, NULL);
    assert_int_equal(rename(away, tmp), 0);
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    assert_int_equal(job.state, KX_JOB_COMPLETED);
    assert_int_equal(job.attempts, 2);
    /* And one that stays away. */
    assert_int_equal(rename(tmp, away), 0);
    f->settings.job_attempts = 2;
    queue_fixture_submit(f, 0, &request, NULL, id);
    job = queue_fixture_wait_for_end(f, id);
    assert_int_equal(job.state, KX_JOB_FAILED);
    assert_int_equal(job.code, 5000);
    assert_string_equal(job.error, "The result could not be stored.");
    assert_int_equal(rename(away, tmp), 0);
}

static void progress_previews_and_versions_grow(void **state)
{
    queue_fixture *f = *state;
    kx_error err = {0};
    char id[33];
    kx_live first, second, over;
    bool found = false;
    kx_bytes jpeg = {.cap = 1 << 20};
    f->settings.preview_steps = 1;
    queue_fixture_start(f);
    kx_job_request request = queue_fixture_request(MANY_STEPS / 2);
    request.num_images = 2;
    queue_fixture_submit(f, 0, &request, NULL, id);
    queue_fixture_wait_for_step(f, id, 2);
    kx_queue_live(f->queue, id, &first);
    queue_fixture_wait_for_step(f, id, 5);
    kx_queue_live(f->queue, id, &second);
    assert_int_equal(second.total_steps, MANY_STEPS);
    assert_string_equal(second.stage, "denoise");
    assert_true(second.progress > first.progress && second.progress < 1);
    assert_true(second.version > first.version);
    assert_true(second.eta_ms >= 0);
    assert_true(second.preview_version > 0);
    assert_ok(kx_queue_preview(f->queue, id, &jpeg, &found, &err));
    assert_true(found);
    assert_memory_equal(jpeg.data, "\xff\xd8\xff", 3);
    kx_bytes_free(&jpeg);
    kx_job_state now;
    assert_ok(kx_queue_cancel(f->queue, f->key_id, id, &found, &now, &err));
    queue_fixture_wait_for_end(f, id);
    queue_fixture_stop(f);
    queue_fixture_start(f);
    kx_queue_live(f->queue, id, &over);
    assert_false(over.is_running);
    assert_true(over.version > second.version);
}

static void twenty_mixed_jobs_run_on_one_model(void **state)
{
    queue_fixture *f = *state;
    kx_error err = {0};
    char ids[20][33], first[KX_SHA256_HEX], last[KX_SHA256_HEX];
    queue_fixture_start(f);
    int64_t keys[2] = {f->key_id, queue_fixture_key(f, "second")};
    for (size_t i = 0; i < 20; i++) {
        kx_job_request request = queue_fixture_request(1 + (int)i % 3);
        if (i % 5 == 2) request.prompt = "";
        if (i % 5 == 3) {
            request.num_images_in = 1;
            assert_ok(kx_blobs_put(f->blobs, "junk", 4, request.images[0].blob, &err));
        }
        request.format = (kx_picture_format)(KX_FORMAT_PNG + i % 3);
        queue_fixture_submit(f, keys[i % 2], &request, NULL, ids[i]);
    }
    for (size_t i = 0; i < 20; i++) {
        kx_prediction job = queue_fixture_wait_for_end(f, ids[i]);
        bool is_bad = i % 5 == 2 || i % 5 == 3;
        assert_int_equal(job.state, is_bad ? KX_JOB_FAILED : KX_JOB_COMPLETED);
        if (i == 0) queue_fixture_output_hash(f, &job, first);
        if (i == 15) queue_fixture_output_hash(f, &job, last);
    }
    /* 0 and 15 were the same request, with failures between. */
    assert_string_equal(first, last);
}

static bool model_has_a_problem(queue_fixture *f, void *facts)
{
    kx_queue_model_facts(f->queue, facts);
    return ((kx_model_facts *)facts)->problem != NULL;
}

static void a_missing_model_waits_and_is_tried_again(void **state)
{
    queue_fixture *f = *state;
    char id[33], path[1200];
    kx_model_facts facts;
    snprintf(path, sizeof path, "%s/late-model", f->folder);
    f->settings.model = path;
    queue_fixture_start(f);
    kx_job_request request = queue_fixture_request(2);
    queue_fixture_submit(f, 0, &request, NULL, id);
    queue_fixture_wait_until(f, model_has_a_problem, &facts);
    assert_false(facts.is_ready);
    assert_non_null(strstr(facts.problem, "late-model"));
    assert_int_equal(queue_fixture_get(f, id).state, KX_JOB_CREATED);
    assert_int_equal(symlink(queue_fixture_model(), path), 0);
    kx_queue_wake(f->queue);
    assert_int_equal(queue_fixture_wait_for_end(f, id).state, KX_JOB_COMPLETED);
    kx_queue_model_facts(f->queue, &facts);
    assert_true(facts.is_ready);
    assert_null(facts.problem);
    assert_int_equal(facts.native_area_px, 16384);
    assert_int_equal(facts.native.width_px, 128);
    assert_int_equal(facts.default_steps, 4);
    assert_int_equal(facts.threads, 1);
}

/* No model is named and none lies about: the program is far from a source tree and the current folder is
 * empty. */
static void without_any_model_a_tiny_one_is_made(void **state)
{
    queue_fixture *f = *state;
    char id[33], before[4096];
    kx_model_facts facts;
    f->settings.model = NULL;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(f->folder), 0);
    queue_fixture_start(f);
    assert_int_equal(chdir(before), 0);
    kx_queue_model_facts(f->queue, &facts);
    if (!facts.is_synthetic) {
        print_message("# skipped: a demo model is installed at %s\n", facts.path);
        skip();
    }
    kx_job_request request = queue_fixture_request(2);
    queue_fixture_submit(f, 0, &request, NULL, id);
    assert_int_equal(queue_fixture_wait_for_end(f, id).state, KX_JOB_COMPLETED);
    assert_non_null(strstr(f->log, "a tiny one with random weights was made"));
    assert_non_null(strstr(facts.path, "/model-tiny"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_is_completed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_jobs_fail_with_their_codes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancel_ends_a_job_within_a_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_past_its_deadline_is_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disk_fault_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(progress_previews_and_versions_grow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(twenty_mixed_jobs_run_on_one_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_model_waits_and_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_any_model_a_tiny_one_is_made, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
