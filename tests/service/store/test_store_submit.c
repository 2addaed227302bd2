#include "test_support.h"

#include "store_fixture.h"

#include <stdio.h>
#include <string.h>

static void set_delivered(store_fixture *f, const char *id, bool delivered)
{
    kx_error err = {0};
    assert_ok(kx_store_set_delivered(f->store, id, delivered, &err));
}

static void what_was_submitted_is_read_back(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction p;
    kx_submit_outcome outcome;
    bool found;
    char id[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    kx_submit submit = store_fixture_submit_of(key, "hash");
    snprintf(submit.prediction.id, sizeof submit.prediction.id, "0123456789abcdef0123456789abcdef");
    submit.prediction.warnings = "[\"w\"]";
    submit.prediction.webhook = "https://example.org/hook";
    submit.prediction.num_images = 3;
    submit.prediction.base64 = true;
    submit.prediction.prepared = false;
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_string_equal(id, submit.prediction.id);
    store_fixture_reopen(f);
    assert_ok(kx_store_prediction_get(f->store, id, &f->arena, &p, &found, &err));
    assert_true(found);
    assert_string_equal(p.id, id);
    assert_int_equal(p.key_id, key);
    assert_string_equal(p.model, submit.prediction.model);
    assert_string_equal(p.input, submit.prediction.input);
    assert_string_equal(p.request, submit.prediction.request);
    assert_string_equal(p.warnings, "[\"w\"]");
    assert_string_equal(p.outputs, "[]");
    assert_string_equal(p.details, "{}");
    assert_string_equal(p.error, "");
    assert_string_equal(p.webhook, submit.prediction.webhook);
    assert_string_equal(p.body_hash, "hash");
    assert_true(p.base64 && !p.prepared && !p.cancel_requested);
    assert_int_equal(p.num_images, 3);
    assert_int_equal(p.price_micro, 30000);
    assert_int_equal(p.charge, KX_CHARGE_RESERVED);
    assert_int_equal(p.state, KX_JOB_CREATED);
    assert_ok(kx_store_prediction_get(f->store, "x", &f->arena, &p, &found, &err));
    assert_false(found);
}

static void only_an_undelivered_answer_is_joined(void **state)
{
    store_fixture *f = *state;
    char first[33], second[33], third[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL), other = store_fixture_key(f, "b", 1000000, NULL);
    assert_int_equal(store_fixture_submit(f, key, "h", first), KX_SUBMIT_NEW);
    /* Not known whether it arrived: two equal submits are two jobs. */
    assert_int_equal(store_fixture_submit(f, key, "h", second), KX_SUBMIT_NEW);
    set_delivered(f, first, false);
    assert_int_equal(store_fixture_submit(f, key, "h", third), KX_SUBMIT_JOINED);
    assert_string_equal(third, first);
    assert_int_equal(store_fixture_submit(f, key, "other", third), KX_SUBMIT_NEW);
    assert_int_equal(store_fixture_submit(f, other, "h", third), KX_SUBMIT_NEW);
    /* The one who joined may vanish as well. */
    assert_int_equal(store_fixture_submit(f, key, "h", third), KX_SUBMIT_JOINED);
    set_delivered(f, first, true);
    assert_int_equal(store_fixture_submit(f, key, "h", third), KX_SUBMIT_NEW);
    set_delivered(f, third, true);
    set_delivered(f, third, false);
    store_fixture_claim(f, claimed);
    assert_int_equal(store_fixture_submit(f, key, "h", second), KX_SUBMIT_JOINED);
    assert_int_equal(store_fixture_balance(f, key), 1000000 - 4 * 30000);
    set_delivered(f, "gone", false);
}

static void an_undelivered_job_is_joined_within_a_minute_of_its_end(void **state)
{
    store_fixture *f = *state;
    char first[33], second[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    store_fixture_submit(f, key, "h", first);
    set_delivered(f, first, false);
    store_fixture_claim(f, claimed);
    store_fixture_move_clock(f, 1000);
    assert_int_equal(store_fixture_submit(f, key, "h", second), KX_SUBMIT_JOINED);
    assert_true(store_fixture_end(f, first, KX_JOB_COMPLETED));
    store_fixture_move_clock(f, 1050);
    assert_int_equal(store_fixture_submit(f, key, "h", second), KX_SUBMIT_JOINED);
    assert_string_equal(second, first);
    store_fixture_move_clock(f, 1070);
    assert_int_equal(store_fixture_submit(f, key, "h", second), KX_SUBMIT_NEW);
}

static void a_cancelled_job_is_not_joined(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_job_state now;
    bool found;
    char first[33], second[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    store_fixture_submit(f, key, "h", first);
    set_delivered(f, first, false);
    assert_ok(kx_store_cancel(f->store, key, first, &found, &now, &err));
    assert_int_equal(store_fixture_submit(f, key, "h", second), KX_SUBMIT_NEW);
}

static kx_submit_outcome submit_named(store_fixture *f, int64_t key, const char *name, const char *body,
                                      char id[33])
{
    kx_error err = {0};
    kx_submit submit = store_fixture_submit_of(key, body);
    kx_submit_outcome outcome;
    submit.idempotency_key = name;
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    return outcome;
}

static void an_idempotency_key_stands_for_one_body_for_a_day(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    uint64_t removed;
    char first[33], second[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL), other = store_fixture_key(f, "b", 1000000, NULL);
    assert_int_equal(submit_named(f, key, "n", "h", first), KX_SUBMIT_NEW);
    assert_int_equal(submit_named(f, key, "n", "h", second), KX_SUBMIT_JOINED);
    assert_string_equal(second, first);
    assert_int_equal(submit_named(f, key, "n", "other", second), KX_SUBMIT_KEY_REUSED);
    assert_int_equal(submit_named(f, other, "n", "other", second), KX_SUBMIT_NEW);
    /* Another name means another job, also where the body could be joined. */
    set_delivered(f, first, false);
    assert_int_equal(submit_named(f, key, "m", "h", second), KX_SUBMIT_NEW);
    store_fixture_reopen(f);
    assert_int_equal(submit_named(f, key, "n", "h", second), KX_SUBMIT_JOINED);
    store_fixture_move_clock(f, 25 * 3600);
    assert_ok(kx_store_expire(f->store, 0, &removed, &err));
    assert_int_equal(removed, 3);
    assert_int_equal(submit_named(f, key, "n", "other", second), KX_SUBMIT_NEW);
}

static void a_full_queue_and_an_empty_purse_store_nothing(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_submit_outcome outcome;
    uint64_t counts[KX_JOB_STATES];
    char id[33];
    int64_t key = store_fixture_key(f, "a", 70000, NULL);
    kx_submit submit = store_fixture_submit_of(key, "");
    submit.max_queued = 2;
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_int_equal(outcome, KX_SUBMIT_NEW);
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_int_equal(outcome, KX_SUBMIT_NEW);
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_int_equal(outcome, KX_SUBMIT_QUEUE_FULL);
    submit.max_queued = 3;
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_int_equal(outcome, KX_SUBMIT_NO_CREDIT);
    assert_int_equal(store_fixture_balance(f, key), 10000);
    assert_ok(kx_store_queue_count(f->store, counts, &err));
    assert_int_equal(counts[KX_JOB_CREATED], 2);
    submit.prediction.price_micro = 10000;
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_int_equal(outcome, KX_SUBMIT_NEW);
    assert_int_equal(store_fixture_balance(f, key), 0);
}

static void history_is_filtered_and_paged_newest_first(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_prediction *items, p;
    kx_submit_outcome outcome;
    size_t count;
    uint64_t total;
    bool found;
    char ids[5][33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL), other = store_fixture_key(f, "b", 1000000, NULL);
    for (int i = 0; i < 5; i++) {
        kx_submit submit = store_fixture_submit_of(i == 4 ? other : key, "");
        if (i == 1) submit.prediction.model = "single";
        store_fixture_move_clock(f, i * 100);
        assert_ok(kx_store_submit(f->store, &submit, ids[i], &outcome, &err));
    }
    kx_history_query query = {.key_id = key, .state = -1, .page = 1, .page_size = 3};
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(total, 4);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) assert_string_equal(items[i].id, ids[3 - i]);
    query.page = 2;
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(count, 1);
    assert_string_equal(items[0].id, ids[0]);
    query = (kx_history_query){.state = -1, .page = 1, .page_size = 10};
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(count, 5);
    query.model = "single";
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(total, 1);
    assert_string_equal(items[0].id, ids[1]);
    assert_ok(kx_store_prediction_get(f->store, ids[1], &f->arena, &p, &found, &err));
    query =
        (kx_history_query){.key_id = key, .state = -1, .after_ns = p.created_ns, .page = 1, .page_size = 10};
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(total, 3);
    query.before_ns = p.created_ns + 1;
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(total, 1);
    store_fixture_claim(f, claimed);
    query = (kx_history_query){.key_id = key, .state = KX_JOB_PROCESSING, .page = 1, .page_size = 10};
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(total, 1);
    assert_string_equal(items[0].id, claimed);
    query.page = 9;
    assert_ok(kx_store_history(f->store, &query, &f->arena, &items, &count, &total, &err));
    assert_int_equal(count, 0);
}

static void what_is_deleted_is_gone_and_what_runs_goes_with_its_end(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    size_t deleted;
    bool found, done;
    kx_prediction p;
    kx_stored_file file;
    char ended[33], running[33], waiting[33], foreign[33], claimed[33], token[33];
    int64_t key = store_fixture_key(f, "a", 90000, NULL), other = store_fixture_key(f, "b", 90000, NULL);
    store_fixture_submit(f, key, "", ended);
    store_fixture_claim(f, claimed);
    kx_output output = {.blob = "b", .content_type = "image/png", .suffix = "png"};
    kx_ending ending = {.state = KX_JOB_COMPLETED, .outputs = &output, .num_outputs = 1};
    assert_ok(kx_store_finish(f->store, ended, &ending, &done, &err));
    assert_ok(kx_store_prediction_get(f->store, ended, &f->arena, &p, &found, &err));
    assert_int_equal(sscanf(p.outputs, "[{\"file\":\"%32s", token), 1);
    store_fixture_submit(f, key, "", running);
    store_fixture_claim(f, claimed);
    store_fixture_submit(f, key, "", waiting);
    store_fixture_submit(f, other, "", foreign);
    const char *ids[] = {ended, running, waiting, foreign, "nothing"};
    assert_ok(kx_store_predictions_delete(f->store, key, ids, 5, &deleted, &err));
    assert_int_equal(deleted, 3);
    assert_int_equal(store_fixture_state(f, ended), KX_JOB_DELETED);
    assert_int_equal(store_fixture_state(f, waiting), KX_JOB_DELETED);
    assert_int_equal(store_fixture_state(f, foreign), KX_JOB_CREATED);
    assert_ok(kx_store_file_get(f->store, token, &f->arena, &file, &found, &err));
    assert_false(found);
    assert_ok(kx_store_prediction_get(f->store, running, &f->arena, &p, &found, &err));
    assert_true(found && p.state == KX_JOB_PROCESSING && p.cancel_requested);
    assert_ok(kx_store_predictions_delete(f->store, key, ids, 5, &deleted, &err));
    assert_int_equal(deleted, 0);
    assert_true(store_fixture_end(f, running, KX_JOB_CANCELLED));
    assert_int_equal(store_fixture_state(f, running), KX_JOB_DELETED);
    assert_false(store_fixture_end(f, running, KX_JOB_CANCELLED));
    assert_int_equal(store_fixture_balance(f, key), 60000);
}

static void uploads_have_a_quota_and_an_end(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_stored_file file;
    bool found, within;
    char token[33];
    int64_t key = store_fixture_key(f, "a", 1, NULL);
    kx_stored_file upload = {.key_id = key,
                             .blob = "b",
                             .content_type = "image/png",
                             .suffix = "png",
                             .filename = "a.png",
                             .bytes = 60,
                             .expires_ns = kx_clock_wall_ns(f->clock) + 100 * FIXTURE_S};
    assert_ok(kx_store_file_add(f->store, &upload, 100, token, &within, &err));
    assert_true(within);
    assert_ok(kx_store_file_get(f->store, token, &f->arena, &file, &found, &err));
    assert_true(found);
    assert_string_equal(file.filename, "a.png");
    assert_true(file.expires_ns == upload.expires_ns);
    char second[33];
    assert_ok(kx_store_file_add(f->store, &upload, 100, second, &within, &err));
    assert_false(within);
    store_fixture_move_clock(f, 101);
    assert_ok(kx_store_file_get(f->store, token, &f->arena, &file, &found, &err));
    assert_false(found);
    upload.expires_ns += 200 * FIXTURE_S;
    assert_ok(kx_store_file_add(f->store, &upload, 100, second, &within, &err));
    assert_true(within);
}

static void a_ticket_becomes_one_file(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_ticket read;
    kx_stored_file stored;
    bool found, used, within;
    int64_t key = store_fixture_key(f, "a", 1, NULL);
    kx_ticket ticket = {.token = "00000000000000000000000000000001",
                        .file_token = "00000000000000000000000000000002",
                        .key_id = key,
                        .filename = "a.png",
                        .content_type = "image/png",
                        .bytes = 9,
                        .expires_ns = kx_clock_wall_ns(f->clock) + 100 * FIXTURE_S};
    kx_stored_file file = {.key_id = key, .blob = "b", .suffix = "png", .bytes = 9};
    assert_ok(kx_store_ticket_add(f->store, &ticket, &err));
    assert_ok(kx_store_ticket_get(f->store, ticket.token, &f->arena, &read, &found, &err));
    assert_true(found && !read.used && read.bytes == 9 && read.key_id == key);
    assert_string_equal(read.file_token, ticket.file_token);
    assert_string_equal(read.filename, "a.png");
    assert_ok(kx_store_ticket_use(f->store, &ticket, &file, 8, &used, &within, &err));
    assert_true(!used && !within);
    assert_ok(kx_store_ticket_use(f->store, &ticket, &file, 100, &used, &within, &err));
    assert_true(!used && within);
    assert_ok(kx_store_ticket_use(f->store, &ticket, &file, 100, &used, &within, &err));
    assert_true(used);
    assert_ok(kx_store_ticket_get(f->store, ticket.token, &f->arena, &read, &found, &err));
    assert_true(found && read.used);
    assert_ok(kx_store_file_get(f->store, ticket.file_token, &f->arena, &stored, &found, &err));
    assert_true(found);
    assert_ok(kx_store_ticket_get(f->store, "x", &f->arena, &read, &found, &err));
    assert_false(found);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_setup, store_fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(what_was_submitted_is_read_back),
        STORE_TEST(only_an_undelivered_answer_is_joined),
        STORE_TEST(an_undelivered_job_is_joined_within_a_minute_of_its_end),
        STORE_TEST(a_cancelled_job_is_not_joined),
        STORE_TEST(an_idempotency_key_stands_for_one_body_for_a_day),
        STORE_TEST(a_full_queue_and_an_empty_purse_store_nothing),
        STORE_TEST(history_is_filtered_and_paged_newest_first),
        STORE_TEST(what_is_deleted_is_gone_and_what_runs_goes_with_its_end),
        STORE_TEST(uploads_have_a_quota_and_an_end),
        STORE_TEST(a_ticket_becomes_one_file),
    };
    return cmocka_run_group_tests_name("store-submit", tests, NULL, NULL);
}
