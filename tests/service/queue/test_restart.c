/* What a stop, a kill and a broken checkpoint leave behind: the same bytes at the end. */
#include "test_support.h"

#include "queue_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS (TEST_UNDER_SANITIZER ? 10 : 60) /* of each of two pictures */

static kx_job_request request_of_two(queue_fixture *f)
{
    kx_job_request request = queue_fixture_request(STEPS);
    request.num_images = 2;
    request.num_images_in = 1;
    snprintf(request.images[0].blob, KX_SHA256_HEX, "%s", queue_fixture_picture(f, 64));
    return request;
}

/* What an undisturbed run makes. */
static char expected[KX_SHA256_HEX];

static int make_expected(void **state)
{
    char id[33];
    (void)state;
    queue_fixture *f = queue_fixture_new();
    queue_fixture_start(f);
    kx_job_request request = request_of_two(f);
    queue_fixture_submit(f, 0, &request, NULL, id);
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    queue_fixture_output_hash(f, &job, expected);
    queue_fixture_free(f);
    return 0;
}

static void assert_ends_as_expected(queue_fixture *f, const char *id, bool resumed)
{
    char hash[KX_SHA256_HEX];
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    assert_string_equal(job.error, "");
    assert_int_equal(job.state, KX_JOB_COMPLETED);
    queue_fixture_output_hash(f, &job, hash);
    assert_string_equal(hash, expected);
    json_t *details = json_loads(job.details, 0, NULL);
    assert_int_equal(json_is_true(json_object_get(details, "resumed")), resumed);
    json_decref(details);
}

static void a_graceful_stop_loses_no_step(void **state)
{
    (void)state;
    kx_error err = {0};
    char id[33];
    kx_bytes checkpoint = {.cap = 1 << 30};
    bool found = false;
    int64_t ran_ms = 0;
    queue_fixture *f = queue_fixture_new();
    f->settings.checkpoint_steps = 1000000; /* none but the one of the stop */
    queue_fixture_start(f);
    kx_job_request request = request_of_two(f);
    queue_fixture_submit(f, 0, &request, NULL, id);
    queue_fixture_wait_for_step(f, id, STEPS + 3); /* in the second picture */
    queue_fixture_stop(f);
    queue_fixture_open(f);
    kx_prediction job = queue_fixture_get(f, id);
    assert_int_equal(job.state, KX_JOB_CREATED);
    assert_int_equal(job.attempts, 0);
    assert_ok(kx_store_checkpoint_get(f->store, id, &checkpoint, &ran_ms, &found, &err));
    assert_true(found);
    kx_bytes_free(&checkpoint);
    queue_fixture_start(f);
    assert_ends_as_expected(f, id, true);
    kx_queue_metrics metrics;
    kx_queue_metrics_read(f->queue, &metrics);
    assert_int_equal(metrics.resumes, 1);
    assert_true(metrics.steps < STEPS);
    queue_fixture_free(f);
}

/* The child serves until it is killed; it shares nothing but the folder. */
static void serve_until_killed(queue_fixture *f, int told)
{
    char id[33];
    queue_fixture_start(f);
    kx_job_request request = request_of_two(f);
    queue_fixture_submit(f, 0, &request, NULL, id);
    queue_fixture_wait_for_step(f, id, STEPS / 2);
    if (write(told, id, sizeof id) != sizeof id) _exit(1);
    for (;;) pause();
}

static void a_killed_server_goes_on_from_its_checkpoint(void **state)
{
    (void)state;
    char id[33];
    int ends[2], child_status = 0;
    queue_fixture *f = queue_fixture_new();
    f->settings.checkpoint_steps = 1;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) serve_until_killed(f, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], id, sizeof id), sizeof id);
    close(ends[0]);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &child_status, 0), child);
    assert_true(WIFSIGNALED(child_status));
    f->key_id = 1; /* the child's key is there already */
    queue_fixture_open(f);
    assert_int_equal(queue_fixture_get(f, id).state, KX_JOB_PROCESSING);
    queue_fixture_start(f);
    assert_ends_as_expected(f, id, true);
    queue_fixture_free(f);
}

static void a_broken_checkpoint_is_thrown_away(void **state)
{
    (void)state;
    kx_error err = {0};
    char id[33];
    queue_fixture *f = queue_fixture_new();
    queue_fixture_open(f);
    kx_job_request request = request_of_two(f);
    queue_fixture_submit(f, 0, &request, NULL, id);
    assert_ok(kx_store_checkpoint_put(f->store, id, "not a checkpoint", 16, 0, &err));
    queue_fixture_start(f);
    assert_ends_as_expected(f, id, false);
    assert_non_null(strstr(f->log, "the stored checkpoint is left aside"));
    queue_fixture_free(f);
}

static void a_deadline_counts_what_ran_before_a_stop(void **state)
{
    (void)state;
    kx_error err = {0};
    char id[33];
    kx_bytes checkpoint = {.cap = 1 << 30};
    bool found = false;
    int64_t ran_ms = 0;
    queue_fixture *f = queue_fixture_new();
    queue_fixture_start(f);
    kx_job_request request = request_of_two(f);
    queue_fixture_submit(f, 0, &request, NULL, id);
    queue_fixture_wait_for_step(f, id, STEPS / 2);
    queue_fixture_stop(f);
    queue_fixture_open(f);
    assert_ok(kx_store_checkpoint_get(f->store, id, &checkpoint, &ran_ms, &found, &err));
    assert_true(found);
    assert_true(ran_ms > 0);
    /* As if that had taken as long as a job may take. */
    ran_ms = 1000 * (int64_t)f->settings.job_deadline_s;
    assert_ok(kx_store_checkpoint_put(f->store, id, checkpoint.data, checkpoint.size, ran_ms, &err));
    kx_bytes_free(&checkpoint);
    queue_fixture_start(f);
    kx_prediction job = queue_fixture_wait_for_end(f, id);
    assert_int_equal(job.state, KX_JOB_TIMEOUT);
    assert_true(job.inference_ms >= ran_ms);
    queue_fixture_free(f);
}

static void another_jobs_checkpoint_is_thrown_away(void **state)
{
    (void)state;
    kx_error err = {0};
    char id[33], other[33];
    kx_bytes checkpoint = {.cap = 1 << 30};
    bool found = false;
    int64_t ran_ms = 0;
    queue_fixture *f = queue_fixture_new();
    queue_fixture_start(f);
    kx_job_request request = request_of_two(f);
    request.prompt = "make the roof green";
    queue_fixture_submit(f, 0, &request, NULL, other);
    queue_fixture_wait_for_step(f, other, 5);
    queue_fixture_stop(f);
    queue_fixture_open(f);
    assert_ok(kx_store_checkpoint_get(f->store, other, &checkpoint, &ran_ms, &found, &err));
    assert_true(found);
    request.prompt = queue_fixture_request(1).prompt;
    queue_fixture_submit(f, 0, &request, NULL, id);
    assert_ok(kx_store_checkpoint_put(f->store, id, checkpoint.data, checkpoint.size, ran_ms, &err));
    kx_bytes_free(&checkpoint);
    queue_fixture_start(f);
    assert_ends_as_expected(f, id, false);
    queue_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First, since it forks while there are no threads. */
        cmocka_unit_test(a_killed_server_goes_on_from_its_checkpoint),
        cmocka_unit_test(a_graceful_stop_loses_no_step),
        cmocka_unit_test(a_broken_checkpoint_is_thrown_away),
        cmocka_unit_test(a_deadline_counts_what_ran_before_a_stop),
        cmocka_unit_test(another_jobs_checkpoint_is_thrown_away),
    };
    return cmocka_run_group_tests(tests, make_expected, NULL);
}
