#include "test_support.h"

#include "base/bytes.h"
#include "store_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static void a_job_goes_from_submit_to_its_end(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction p;
    bool found, done;
    char id[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 100000, NULL);
    assert_int_equal(store_fixture_submit(f, key, "h", id), KX_SUBMIT_NEW);
    assert_int_equal(strlen(id), 32);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    assert_int_equal(store_fixture_state(f, id), KX_JOB_CREATED);
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, id);
    kx_output outputs[2] = {
        {.blob = "b0", .content_type = "image/png", .suffix = "png", .record = "{\"width\":64}", .bytes = 7},
        {.blob = "b1", .content_type = "image/png", .suffix = "png"},
    };
    kx_ending ending = {.state = KX_JOB_COMPLETED,
                        .outputs = outputs,
                        .num_outputs = 2,
                        .details = "{\"seeds\":[1]}",
                        .inference_ms = 12};
    assert_ok(kx_store_finish(f->store, id, &ending, &done, &err));
    assert_true(done);
    assert_ok(kx_store_finish(f->store, id, &ending, &done, &err));
    assert_false(done);
    assert_ok(kx_store_prediction_get(f->store, id, &f->arena, &p, &found, &err));
    assert_true(found);
    assert_int_equal(p.state, KX_JOB_COMPLETED);
    assert_int_equal(p.charge, KX_CHARGE_CAPTURED);
    assert_int_equal(p.attempts, 1);
    assert_int_equal(p.inference_ms, 12);
    assert_string_equal(p.details, "{\"seeds\":[1]}");
    assert_true(p.created_ns > 0 && p.started_ns >= p.created_ns && p.finished_ns >= p.started_ns);
    char token[33];
    assert_int_equal(sscanf(p.outputs, "[{\"file\":\"%32[0-9a-f]\",\"width\":64},{\"file\":\"", token), 1);
    kx_stored_file file;
    assert_ok(kx_store_file_get(f->store, token, &f->arena, &file, &found, &err));
    assert_true(found);
    assert_string_equal(file.blob, "b0");
    assert_string_equal(file.suffix, "png");
    assert_int_equal(file.bytes, 7);
    assert_int_equal(file.key_id, key);
}

static void keys_take_turns_and_each_is_first_in_first_out(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    char ids[9][33], claimed[33];
    int64_t a = store_fixture_key(f, "a", 1000000, NULL);
    int64_t b = store_fixture_key(f, "b", 1000000, NULL);
    int64_t c = store_fixture_key(f, "c", 1000000, NULL);
    /* Ten jobs of one in front of everybody else's. */
    int64_t owners[9] = {a, a, a, a, b, b, c, a, b};
    for (size_t i = 0; i < 9; i++) store_fixture_submit(f, owners[i], "", ids[i]);
    static const size_t order[9] = {0, 4, 6, 1, 5, 2, 8, 3, 7};
    for (size_t i = 0; i < 9; i++) {
        unsigned position;
        assert_ok(kx_store_queue_position(f->store, ids[order[i]], &position, &err));
        assert_int_equal(position, i);
    }
    for (size_t i = 0; i < 9; i++) {
        unsigned position;
        assert_ok(kx_store_queue_position(f->store, ids[order[8]], &position, &err));
        assert_int_equal(position, 8 - i);
        store_fixture_claim(f, claimed);
        assert_string_equal(claimed, ids[order[i]]);
    }
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, "");
    uint64_t counts[KX_JOB_STATES];
    assert_ok(kx_store_queue_count(f->store, counts, &err));
    assert_int_equal(counts[KX_JOB_CREATED], 0);
    assert_int_equal(counts[KX_JOB_PROCESSING], 9);
}

static void what_is_over_the_concurrency_of_a_key_waits(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction p;
    bool found;
    char ids[6][33];
    int64_t a = store_fixture_key(f, "a", 1000000, NULL);
    int64_t b = store_fixture_key(f, "b", 1000000, NULL);
    for (size_t i = 0; i < 4; i++) store_fixture_submit(f, a, "", ids[i]);
    for (size_t i = 4; i < 6; i++) store_fixture_submit(f, b, "", ids[i]);
    assert_ok(kx_store_key_limits(f->store, b, 1, 0, &err));
    static const size_t order[3] = {0, 4, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(kx_store_claim(f->store, 2, &f->arena, &p, &found, &err));
        assert_true(found);
        assert_string_equal(p.id, ids[order[i]]);
    }
    assert_ok(kx_store_claim(f->store, 2, &f->arena, &p, &found, &err));
    assert_false(found);
    assert_true(store_fixture_end(f, ids[4], KX_JOB_FAILED));
    assert_ok(kx_store_claim(f->store, 2, &f->arena, &p, &found, &err));
    assert_true(found);
    assert_string_equal(p.id, ids[5]);
}

static void inputs_are_prepared_by_one_and_jobs_wait_for_them(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction p;
    kx_submit_outcome outcome;
    bool found;
    char ids[4][33], claimed[33];
    int64_t a = store_fixture_key(f, "a", 1000000, NULL);
    int64_t b = store_fixture_key(f, "b", 1000000, NULL);
    int64_t owners[4] = {a, a, a, b};
    for (size_t i = 0; i < 4; i++) {
        kx_submit submit = store_fixture_submit_of(owners[i], "");
        submit.prediction.prepared = false;
        assert_ok(kx_store_submit(f->store, &submit, ids[i], &outcome, &err));
    }
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, "");
    static const size_t order[4] = {0, 3, 1, 2};
    for (size_t i = 0; i < 4; i++) {
        assert_ok(kx_store_claim_preparation(f->store, &f->arena, &p, &found, &err));
        assert_true(found);
        assert_string_equal(p.id, ids[order[i]]);
    }
    assert_ok(kx_store_claim_preparation(f->store, &f->arena, &p, &found, &err));
    assert_false(found);
    assert_ok(kx_store_set_prepared(f->store, ids[1], "{\"prompt\":\"b\"}", &err));
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, ids[1]);
    /* The next process gives out again what this one had not done. */
    store_fixture_reopen(f);
    assert_ok(kx_store_claim_preparation(f->store, &f->arena, &p, &found, &err));
    assert_true(found);
    assert_string_equal(p.id, ids[0]);
    /* A job that ends meanwhile is not brought back. */
    assert_true(store_fixture_end(f, ids[0], KX_JOB_FAILED));
    assert_ok(kx_store_set_prepared(f->store, ids[0], "{}", &err));
    assert_int_equal(store_fixture_state(f, ids[0]), KX_JOB_FAILED);
}

enum { CROWD = 6, CROWD_JOBS = 600 };

typedef struct crowd {
    store_fixture *fixture;
    atomic_uint claims, failures;
} crowd;

/* Claims and prepares until nothing is left. */
static void *prepare_all(void *argument)
{
    crowd *c = argument;
    kx_store *store = c->fixture->store;
    for (bool found = true; found;) {
        kx_error err = {0};
        kx_arena arena = {0};
        kx_prediction p;
        kx_status status = kx_store_claim_preparation(store, &arena, &p, &found, &err);
        if (status == KX_OK && found) {
            atomic_fetch_add(&c->claims, 1);
            status = kx_store_set_prepared(store, p.id, "{}", &err);
            kx_store_return_preparation(store, p.id);
        }
        if (status != KX_OK) atomic_fetch_add(&c->failures, 1);
        kx_arena_free(&arena);
    }
    return NULL;
}

static void what_is_prepared_and_given_back_is_not_given_out_again(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    pthread_t threads[CROWD];
    crowd c = {.fixture = f};
    char id[33];
    kx_submit_outcome outcome;
    kx_submit submit = store_fixture_submit_of(store_fixture_key(f, "a", INT64_C(1) << 40, NULL), "");
    submit.prediction.prepared = false;
    for (size_t i = 0; i < CROWD_JOBS; i++) assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, prepare_all, &c), 0);
    for (size_t i = 0; i < CROWD; i++) pthread_join(threads[i], NULL);
    assert_int_equal(c.failures, 0);
    assert_int_equal(c.claims, CROWD_JOBS);
}

static void each_end_is_counted_once(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    bool found, done;
    kx_job_state now;
    size_t deleted;
    uint64_t counts[KX_JOB_STATES];
    char ids[4][33], claimed[33];
    const char *doomed[1] = {ids[3]};
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    for (size_t i = 0; i < 4; i++) store_fixture_submit(f, key, "", ids[i]);
    store_fixture_claim(f, claimed);
    /* One that does not fit into the store, and so changes nothing. */
    kx_output wrong = {.blob = "b0", .content_type = "image/png", .suffix = "png", .record = "no object"};
    kx_ending ending = {.state = KX_JOB_COMPLETED, .outputs = &wrong, .num_outputs = 1};
    assert_int_equal(kx_store_finish(f->store, ids[0], &ending, &done, &err), KX_ERR_INTERNAL);
    kx_store_ended_count(f->store, counts);
    assert_int_equal(counts[KX_JOB_COMPLETED], 0);
    assert_true(store_fixture_end(f, ids[0], KX_JOB_COMPLETED));
    assert_false(store_fixture_end(f, ids[0], KX_JOB_FAILED));
    for (int i = 0; i < 2; i++) assert_ok(kx_store_cancel(f->store, key, ids[1], &found, &now, &err));
    /* A running one that was to be cancelled ends as it goes back, a waiting one as it is deleted. */
    store_fixture_claim(f, claimed);
    assert_ok(kx_store_cancel(f->store, key, claimed, &found, &now, &err));
    assert_ok(kx_store_requeue(f->store, claimed, false, &err));
    assert_ok(kx_store_predictions_delete(f->store, key, doomed, 1, &deleted, &err));
    kx_store_ended_count(f->store, counts);
    assert_int_equal(counts[KX_JOB_COMPLETED], 1);
    assert_int_equal(counts[KX_JOB_FAILED], 0);
    assert_int_equal(counts[KX_JOB_CANCELLED], 3);
}

static void a_job_that_goes_back_keeps_its_place(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction p;
    bool found;
    char first[33], second[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    store_fixture_submit(f, key, "", first);
    store_fixture_submit(f, key, "", second);
    store_fixture_claim(f, claimed);
    assert_ok(kx_store_requeue(f->store, first, true, &err));
    assert_ok(kx_store_prediction_get(f->store, first, &f->arena, &p, &found, &err));
    assert_int_equal(p.state, KX_JOB_CREATED);
    assert_int_equal(p.attempts, 0);
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, first);
    assert_ok(kx_store_requeue(f->store, first, false, &err));
    assert_ok(kx_store_prediction_get(f->store, first, &f->arena, &p, &found, &err));
    assert_int_equal(p.attempts, 1);
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, first);
    assert_true(store_fixture_end(f, first, KX_JOB_COMPLETED));
    assert_ok(kx_store_requeue(f->store, first, false, &err));
    assert_int_equal(store_fixture_state(f, first), KX_JOB_COMPLETED);
}

static void orphans_go_back_or_are_given_up(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction p;
    bool found;
    kx_job_state now;
    unsigned requeued;
    char tired[33], cancelled[33], fresh[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 90000, NULL);
    store_fixture_submit(f, key, "", tired);
    store_fixture_claim(f, claimed);
    store_fixture_reopen(f);
    assert_ok(kx_store_requeue_orphans(f->store, 2, &requeued, &err));
    assert_int_equal(requeued, 1);
    assert_int_equal(store_fixture_state(f, tired), KX_JOB_CREATED);
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, tired);
    store_fixture_submit(f, key, "", cancelled);
    store_fixture_claim(f, claimed);
    assert_ok(kx_store_cancel(f->store, key, cancelled, &found, &now, &err));
    assert_int_equal(now, KX_JOB_PROCESSING);
    store_fixture_submit(f, key, "", fresh);
    store_fixture_claim(f, claimed);
    store_fixture_reopen(f);
    assert_ok(kx_store_requeue_orphans(f->store, 2, &requeued, &err));
    assert_int_equal(requeued, 1);
    assert_ok(kx_store_prediction_get(f->store, tired, &f->arena, &p, &found, &err));
    assert_int_equal(p.state, KX_JOB_FAILED);
    assert_int_equal(p.code, 5000);
    assert_non_null(strstr(p.error, "2 times"));
    assert_int_equal(store_fixture_state(f, cancelled), KX_JOB_CANCELLED);
    assert_int_equal(store_fixture_state(f, fresh), KX_JOB_CREATED);
    assert_int_equal(store_fixture_balance(f, key), 60000);
}

static void a_checkpoint_is_replaced_and_goes_with_the_job(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_bytes out = {.cap = 1 << 20};
    int64_t ran_ms = 0;
    bool found;
    char id[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    store_fixture_submit(f, key, "", id);
    store_fixture_claim(f, claimed);
    assert_ok(kx_store_checkpoint_put(f->store, id, "one", 3, 10, &err));
    assert_ok(kx_store_checkpoint_put(f->store, id, "second", 6, 20, &err));
    store_fixture_reopen(f);
    assert_ok(kx_store_checkpoint_get(f->store, id, &out, &ran_ms, &found, &err));
    assert_true(found);
    assert_int_equal(out.size, 6);
    assert_memory_equal(out.data, "second", 6);
    assert_int_equal(ran_ms, 20);
    assert_true(store_fixture_end(f, id, KX_JOB_COMPLETED));
    assert_ok(kx_store_checkpoint_get(f->store, id, &out, &ran_ms, &found, &err));
    assert_false(found);
    assert_ok(kx_store_checkpoint_put(f->store, id, "late", 4, 30, &err));
    assert_ok(kx_store_checkpoint_get(f->store, id, &out, &ran_ms, &found, &err));
    assert_false(found);
    kx_bytes_free(&out);
}

static void a_cancel_ends_what_waits_and_marks_what_runs(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction p;
    kx_job_state now;
    bool found;
    char waiting[33], running[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 60000, NULL);
    int64_t other = store_fixture_key(f, "b", 60000, NULL);
    store_fixture_submit(f, key, "", running);
    store_fixture_claim(f, claimed);
    store_fixture_submit(f, key, "", waiting);
    assert_ok(kx_store_cancel(f->store, other, waiting, &found, &now, &err));
    assert_false(found);
    assert_ok(kx_store_cancel(f->store, key, "nothing", &found, &now, &err));
    assert_false(found);
    assert_ok(kx_store_cancel(f->store, 0, waiting, &found, &now, &err));
    assert_true(found);
    assert_int_equal(now, KX_JOB_CANCELLED);
    assert_ok(kx_store_cancel(f->store, key, running, &found, &now, &err));
    assert_true(found);
    assert_int_equal(now, KX_JOB_PROCESSING);
    assert_ok(kx_store_prediction_get(f->store, running, &f->arena, &p, &found, &err));
    assert_true(p.cancel_requested);
    assert_int_equal(store_fixture_balance(f, key), 30000);
    /* A transient fault of a job that is to end is its end. */
    assert_ok(kx_store_requeue(f->store, running, false, &err));
    assert_int_equal(store_fixture_state(f, running), KX_JOB_CANCELLED);
    assert_int_equal(store_fixture_balance(f, key), 60000);
    assert_ok(kx_store_cancel(f->store, key, running, &found, &now, &err));
    assert_int_equal(now, KX_JOB_CANCELLED);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_setup, store_fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_job_goes_from_submit_to_its_end),
        STORE_TEST(keys_take_turns_and_each_is_first_in_first_out),
        STORE_TEST(what_is_over_the_concurrency_of_a_key_waits),
        STORE_TEST(inputs_are_prepared_by_one_and_jobs_wait_for_them),
        STORE_TEST(what_is_prepared_and_given_back_is_not_given_out_again),
        STORE_TEST(a_job_that_goes_back_keeps_its_place),
        STORE_TEST(each_end_is_counted_once),
        STORE_TEST(orphans_go_back_or_are_given_up),
        STORE_TEST(a_checkpoint_is_replaced_and_goes_with_the_job),
        STORE_TEST(a_cancel_ends_what_waits_and_marks_what_runs),
    };
    return cmocka_run_group_tests_name("store-queue", tests, NULL, NULL);
}
