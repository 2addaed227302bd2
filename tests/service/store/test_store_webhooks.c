#include "test_support.h"

#include "store_fixture.h"

#include <stdio.h>
#include <string.h>

/* A job with a webhook that has ended. */
static void make_ended(store_fixture *f, int64_t key, kx_job_state end, char id[33])
{
    kx_error err = {0};
    kx_submit_outcome outcome;
    char claimed[33];
    kx_submit submit = store_fixture_submit_of(key, "");
    submit.prediction.webhook = "https://example.org/hook";
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    store_fixture_claim(f, claimed);
    assert_true(store_fixture_end(f, id, end));
}

static bool claim(store_fixture *f, kx_delivery *delivery)
{
    kx_error err = {0};
    bool found;
    assert_ok(kx_store_delivery_claim(f->store, &f->arena, delivery, &found, &err));
    return found;
}

static int64_t next_due(store_fixture *f)
{
    kx_error err = {0};
    int64_t due_ns;
    assert_ok(kx_store_delivery_next(f->store, &due_ns, &err));
    return due_ns;
}

static void an_end_is_told_until_it_is_heard(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_delivery d, *list;
    kx_delivery_try *tries;
    kx_key k;
    size_t count;
    bool found;
    char id[33], which[24];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    assert_true(next_due(f) == 0);
    make_ended(f, key, KX_JOB_COMPLETED, id);
    assert_true(next_due(f) > 0);
    assert_true(claim(f, &d));
    assert_string_equal(d.prediction, id);
    assert_string_equal(d.url, "https://example.org/hook");
    assert_string_equal(d.state, "pending");
    assert_int_equal(d.attempt, 0);
    snprintf(which, sizeof which, "%lld", (long long)key);
    assert_ok(kx_store_key_get(f->store, which, &f->arena, &k, &found, &err));
    assert_string_equal(d.secret, k.webhook_secret);
    /* Given out once, and not what the sender waits for meanwhile. */
    kx_delivery none;
    assert_false(claim(f, &none));
    assert_true(next_due(f) == 0);
    int64_t later_ns = kx_clock_wall_ns(f->clock) + 600 * FIXTURE_S;
    assert_ok(kx_store_delivery_result(f->store, d.id, false, 503, "HTTP 503", later_ns, &err));
    assert_false(claim(f, &none));
    assert_true(next_due(f) == later_ns);
    /* It survives a restart and a clock that moves on. */
    store_fixture_reopen(f);
    store_fixture_move_clock(f, 601);
    assert_true(claim(f, &d));
    assert_int_equal(d.attempt, 1);
    assert_int_equal(d.last_status, 503);
    assert_string_equal(d.last_error, "HTTP 503");
    assert_ok(kx_store_delivery_result(f->store, d.id, true, 200, NULL, 0, &err));
    assert_false(claim(f, &none));
    assert_ok(kx_store_delivery_list(f->store, key, id, &f->arena, &list, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(list[0].state, "delivered");
    assert_int_equal(list[0].attempt, 2);
    assert_ok(kx_store_delivery_log(f->store, d.id, &f->arena, &tries, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(tries[0].attempt, 1);
    assert_int_equal(tries[0].http_status, 503);
    assert_string_equal(tries[0].error, "HTTP 503");
    assert_int_equal(tries[1].http_status, 200);
    assert_true(tries[1].at_ns > tries[0].at_ns);
}

static void a_delivery_ends_as_failed_and_can_be_asked_for_again(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_delivery d, *list;
    size_t count;
    bool found;
    char id[33], silent[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL), other = store_fixture_key(f, "b", 0, NULL);
    make_ended(f, key, KX_JOB_FAILED, id);
    assert_true(claim(f, &d));
    assert_ok(kx_store_delivery_result(f->store, d.id, false, 0, "no answer", 0, &err));
    assert_true(next_due(f) == 0);
    assert_ok(kx_store_delivery_again(f->store, other, id, &found, &err));
    assert_false(found);
    assert_ok(kx_store_delivery_again(f->store, key, id, &found, &err));
    assert_true(found);
    assert_true(claim(f, &d));
    assert_int_equal(d.attempt, 0);
    assert_ok(kx_store_delivery_list(f->store, key, id, &f->arena, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(list[0].state, "failed");
    assert_string_equal(list[1].state, "pending");
    assert_ok(kx_store_delivery_list(f->store, other, id, &f->arena, &list, &count, &err));
    assert_int_equal(count, 0);
    /* One without a webhook, and one that has not ended, have nothing to tell. */
    store_fixture_submit(f, key, "", silent);
    assert_ok(kx_store_delivery_again(f->store, key, silent, &found, &err));
    assert_false(found);
    store_fixture_claim(f, claimed);
    store_fixture_end(f, silent, KX_JOB_COMPLETED);
    assert_ok(kx_store_delivery_again(f->store, key, silent, &found, &err));
    assert_false(found);
}

static void deliveries_go_with_their_prediction(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_delivery d;
    size_t deleted;
    char id[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    make_ended(f, key, KX_JOB_TIMEOUT, id);
    assert_true(claim(f, &d));
    const char *ids[] = {id};
    assert_ok(kx_store_predictions_delete(f->store, key, ids, 1, &deleted, &err));
    assert_int_equal(deleted, 1);
    assert_ok(kx_store_delivery_result(f->store, d.id, true, 200, NULL, 0, &err));
    assert_true(next_due(f) == 0);
}

static void what_is_too_old_goes_and_the_ledger_stays(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    uint64_t removed;
    bool found, used, within;
    char old[33], young[33], waiting[33], token[33], claimed[33];
    kx_ledger_row *rows;
    size_t count;
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    make_ended(f, key, KX_JOB_COMPLETED, old);
    store_fixture_submit(f, key, "", waiting);
    kx_stored_file upload = {.key_id = key,
                             .blob = "uploaded",
                             .bytes = 1,
                             .expires_ns = kx_clock_wall_ns(f->clock) + 7 * 86400 * FIXTURE_S};
    assert_ok(kx_store_file_add(f->store, &upload, 10, token, &within, &err));
    kx_ticket ticket = {.token = "t", .file_token = "u", .key_id = key, .expires_ns = upload.expires_ns};
    assert_ok(kx_store_ticket_add(f->store, &ticket, &err));
    assert_ok(kx_store_blob_is_used(f->store, "uploaded", &used, &err));
    assert_true(used);
    store_fixture_move_clock(f, 6 * 86400);
    assert_ok(kx_store_expire(f->store, kx_clock_wall_ns(f->clock) - 7 * 86400 * FIXTURE_S, &removed, &err));
    assert_int_equal(removed, 0);
    store_fixture_move_clock(f, 7 * 86400 + 10);
    store_fixture_submit(f, key, "", young);
    assert_ok(kx_store_expire(f->store, kx_clock_wall_ns(f->clock) - 7 * 86400 * FIXTURE_S, &removed, &err));
    assert_int_equal(removed, 3);
    assert_int_equal(store_fixture_state(f, old), KX_JOB_DELETED);
    /* What has waited for a week still waits. */
    assert_int_equal(store_fixture_state(f, waiting), KX_JOB_CREATED);
    assert_ok(kx_store_blob_is_used(f->store, "uploaded", &used, &err));
    assert_false(used);
    assert_ok(kx_store_ticket_get(f->store, "t", &f->arena, &ticket, &found, &err));
    assert_false(found);
    kx_ledger_query query = {.key_id = key, .kind = "capture", .page = 1, .page_size = 10};
    bool more;
    assert_ok(kx_store_ledger(f->store, &query, &f->arena, &rows, &count, &more, &err));
    assert_int_equal(count, 1);
    assert_string_equal(rows[0].prediction, old);
    store_fixture_claim(f, claimed);
    assert_string_equal(claimed, waiting);
}

static void many_old_ones_go_in_small_steps(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    uint64_t removed;
    char id[33];
    int64_t key = store_fixture_key(f, "a", 100000000, NULL);
    for (int i = 0; i < 450; i++) {
        store_fixture_submit(f, key, "", id);
        assert_true(store_fixture_end(f, id, KX_JOB_FAILED));
    }
    store_fixture_move_clock(f, 100);
    assert_ok(kx_store_expire(f->store, kx_clock_wall_ns(f->clock) - FIXTURE_S, &removed, &err));
    assert_int_equal(removed, 450);
}

static void a_blob_counts_while_a_job_still_needs_it(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_submit_outcome outcome;
    bool used;
    char id[33], hash[KX_SHA256_HEX], request[200];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    kx_sha256_of("x", 1, hash);
    snprintf(request, sizeof request, "{\"images\":[{\"blob\":\"%s\"}]}", hash);
    kx_submit submit = store_fixture_submit_of(key, "");
    submit.prediction.request = request;
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_ok(kx_store_blob_is_used(f->store, hash, &used, &err));
    assert_true(used);
    assert_true(store_fixture_end(f, id, KX_JOB_FAILED));
    assert_ok(kx_store_blob_is_used(f->store, hash, &used, &err));
    assert_false(used);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_setup, store_fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(an_end_is_told_until_it_is_heard),
        STORE_TEST(a_delivery_ends_as_failed_and_can_be_asked_for_again),
        STORE_TEST(deliveries_go_with_their_prediction),
        STORE_TEST(what_is_too_old_goes_and_the_ledger_stays),
        STORE_TEST(many_old_ones_go_in_small_steps),
        STORE_TEST(a_blob_counts_while_a_job_still_needs_it),
    };
    return cmocka_run_group_tests_name("store-webhooks", tests, NULL, NULL);
}
