/* Progress and cancel, with more threads than one: what the thread sanitizer is to see. */
#include "pipeline_test_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { THREADS = 4, DEADLINE_S = 120 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- Cancel from another thread ---- */

typedef struct run_watch {
    atomic_int steps_done;
    atomic_int cancel;
    _Atomic double cancelled_at;
    atomic_int gave_up;
} run_watch;

static void watch_progress(void *user, const kx_progress *progress)
{
    run_watch *watch = user;
    if (strcmp(progress->stage, "denoise") == 0) atomic_store(&watch->steps_done, (int)progress->done);
}

static int watch_cancelled(void *user)
{
    return atomic_load(&((run_watch *)user)->cancel);
}

/* Cancels as soon as the third step is done. */
static void *cancel_while_running(void *user)
{
    run_watch *watch = user;
    double start = now_s();
    while (atomic_load(&watch->steps_done) < 3 && now_s() - start < DEADLINE_S)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (atomic_load(&watch->steps_done) < 3) atomic_store(&watch->gave_up, 1);
    atomic_store(&watch->cancelled_at, now_s());
    atomic_store(&watch->cancel, 1);
    return NULL;
}

static void cancel_from_another_thread_is_prompt(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(THREADS);
    kx_edit_request request = test_request("Never to be finished");
    request.width_px = request.height_px = 96;
    kx_result *before = test_edit(model, &request), *result = NULL;
    kx_edit_request endless = request;
    endless.steps = 1000;
    run_watch watch = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_while_running, &watch), 0);
    kx_error err = {0};
    kx_callbacks callbacks = {.progress = watch_progress, .cancelled = watch_cancelled, .user = &watch};
    kx_status status = kx_edit_run(model, &endless, &callbacks, &result, &err);
    double ended = now_s();
    pthread_join(thread, NULL);
    assert_false(atomic_load(&watch.gave_up));
    assert_int_equal(status, KX_ERR_CANCELLED);
    assert_null(result);
    double delay = ended - atomic_load(&watch.cancelled_at);
    print_message("# %.1f ms from the cancel to the end\n", 1e3 * delay);
    if (delay > (TEST_UNDER_SANITIZER ? 20 : 2)) fail_msg("the edit went on for %.2f s", delay);
    kx_result *after = test_edit(model, &request);
    test_same_pictures("before and after a cancelled edit", after, before);
    kx_result_free(before);
    kx_result_free(after);
    kx_model_close(model);
}

/* ---- Cancel at each stage ---- */

typedef struct stage_stop {
    const char *stage;
    uint64_t done; /* cancel when this much of the stage is done */
    int reached;
    int polls_after;
    char last_stage[16];
} stage_stop;

static void stop_progress(void *user, const kx_progress *progress)
{
    stage_stop *stop = user;
    snprintf(stop->last_stage, sizeof stop->last_stage, "%s", progress->stage);
    if (strcmp(progress->stage, stop->stage) == 0 && progress->done >= stop->done) stop->reached = 1;
}

static int stop_cancelled(void *user)
{
    stage_stop *stop = user;
    stop->polls_after += stop->reached;
    return stop->reached;
}

static void cancel_works_in_every_stage(void **state)
{
    (void)state;
    static const stage_stop stops[] = {
        {.stage = "text"},    {.stage = "text", .done = 1},
        {.stage = "encode"},  {.stage = "encode", .done = 1},
        {.stage = "denoise"}, {.stage = "denoise", .done = 1},
        {.stage = "decode"},  {.stage = "decode", .done = 1},
    };
    kx_model *model = test_open_tiny(THREADS);
    kx_picture picture = test_paint(64, 64, 1);
    kx_edit_request request = test_request("Stop");
    for (int k = 0; k < 2; k++) request.references[k].picture = &picture;
    request.num_references = 2;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.num_images = 2;
    kx_result *whole = test_edit(model, &request);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        stage_stop stop = stops[i];
        kx_error err = {0};
        kx_result *result = NULL;
        kx_callbacks callbacks = {.progress = stop_progress, .cancelled = stop_cancelled, .user = &stop};
        kx_status status = kx_edit_run(model, &request, &callbacks, &result, &err);
        if (status != KX_ERR_CANCELLED)
            fail_msg("%s, %d done: the status is %s: %s", stop.stage, (int)stop.done, kx_status_name(status),
                     err.message);
        assert_string_equal(stop.last_stage, stop.stage);
        assert_null(result);
        if (stop.polls_after != 1)
            fail_msg("%s: polled %d times after the cancel", stop.stage, stop.polls_after);
    }
    kx_result *again = test_edit(model, &request);
    test_same_pictures("before and after eight cancelled edits", again, whole);
    kx_result_free(whole);
    kx_result_free(again);
    kx_picture_free(&picture);
    kx_model_close(model);
}

static int always(void *user)
{
    (void)user;
    return 1;
}

static void a_cancelled_edit_leaves_no_dump(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(THREADS);
    kx_result *result = NULL;
    kx_edit_request request = test_request("Nothing");
    request.dump_file = test_path_in(test_temporary_folder(), "cancelled.safetensors");
    kx_callbacks callbacks = {.cancelled = always};
    assert_int_equal(kx_edit_run(model, &request, &callbacks, &result, &err), KX_ERR_CANCELLED);
    assert_false(kx_file_exists(request.dump_file));
    kx_model_close(model);
}

/* ---- Progress ---- */

typedef struct progress_log {
    char stages[128]; /* in the order of their beginnings */
    kx_progress last;
    char last_stage[16];
    int calls;
    int backwards;
    int out_of_range;
} progress_log;

static void log_progress(void *user, const kx_progress *progress)
{
    progress_log *log = user;
    if (strcmp(log->last_stage, progress->stage) != 0) {
        size_t used = strlen(log->stages);
        snprintf(log->stages + used, sizeof log->stages - used, "%s(%d) ", progress->stage,
                 (int)progress->total);
        snprintf(log->last_stage, sizeof log->last_stage, "%s", progress->stage);
        log->backwards += progress->done != 0;
    } else {
        bool next_image = progress->image == log->last.image + 1;
        bool on = progress->image == log->last.image && progress->done > log->last.done;
        log->backwards += !(next_image || on) || progress->total != log->last.total ||
                          progress->seconds < log->last.seconds;
    }
    log->out_of_range += progress->done > progress->total || progress->image >= progress->num_images ||
                         progress->num_images != 3;
    log->last = *progress;
    log->calls++;
}

static void progress_only_goes_on(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(THREADS);
    kx_picture picture = test_paint(32, 32, 1);
    kx_edit_request request = test_request("On and on");
    for (int k = 0; k < 2; k++) request.references[k].picture = &picture;
    request.num_references = 2;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.num_images = 3;
    request.steps = 4;
    progress_log log = {0};
    kx_callbacks callbacks = {.progress = log_progress, .user = &log};
    kx_result *result = NULL;
    assert_ok(kx_edit_run(model, &request, &callbacks, &result, &err));
    assert_string_equal(log.stages, "text(2) encode(2) denoise(4) decode(3) ");
    assert_int_equal(log.backwards, 0);
    assert_int_equal(log.out_of_range, 0);
    assert_int_equal(log.calls, (1 + 2) + (1 + 2) + (1 + 3 * 4) + (1 + 3));
    assert_int_equal(log.last.done, 3);
    kx_result_free(result);
    kx_picture_free(&picture);
    kx_model_close(model);
}

/* ---- Two models at once ---- */

typedef struct own_edit {
    kx_model *model;
    kx_result *result;
    kx_status status;
} own_edit;

static void *edit_alone(void *user)
{
    own_edit *own = user;
    kx_edit_request request = test_request("Side by side");
    request.width_px = request.height_px = 64;
    own->status = kx_edit_run(own->model, &request, NULL, &own->result, NULL);
    return NULL;
}

static void two_models_work_at_the_same_time(void **state)
{
    (void)state;
    own_edit edits[2] = {{.model = test_open_tiny(2)}, {.model = test_open_tiny(THREADS)}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, edit_alone, &edits[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) assert_int_equal(edits[i].status, KX_OK);
    test_same_pictures("two models at once", edits[0].result, edits[1].result);
    for (int i = 0; i < 2; i++) {
        kx_result_free(edits[i].result);
        kx_model_close(edits[i].model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_from_another_thread_is_prompt), cmocka_unit_test(cancel_works_in_every_stage),
        cmocka_unit_test(a_cancelled_edit_leaves_no_dump),      cmocka_unit_test(progress_only_goes_on),
        cmocka_unit_test(two_models_work_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
