#include "test_support.h"

#include "service/store/store_parts.h"
#include "store_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 8, JOBS = 40 };

typedef struct crowd {
    store_fixture *f;
    pthread_barrier_t begin;
    int64_t key;
    char value[64]; /* of the key */
    char ids[JOBS][33];
} crowd;

typedef struct member {
    crowd *crowd;
    size_t number;
    size_t ended; /* jobs that this one ended */
    const char *problem;
} member;

static void run_crowd(crowd *all, void *(*work)(void *member), size_t *ended)
{
    pthread_t threads[THREADS];
    member members[THREADS];
    pthread_barrier_init(&all->begin, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        members[i] = (member){.crowd = all, .number = i};
        pthread_create(&threads[i], NULL, work, &members[i]);
    }
    *ended = 0;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (members[i].problem != NULL) fail_msg("thread %zu: %s", i, members[i].problem);
        *ended += members[i].ended;
    }
    pthread_barrier_destroy(&all->begin);
}

/* Every thread ends every job, each in its own way and order. */
static void *end_all(void *argument)
{
    static const kx_job_state ends[] = {KX_JOB_COMPLETED, KX_JOB_FAILED, KX_JOB_TIMEOUT, KX_JOB_CANCELLED};
    member *self = argument;
    kx_store *store = self->crowd->f->store;
    pthread_barrier_wait(&self->crowd->begin);
    for (size_t i = 0; i < JOBS; i++) {
        const char *id = self->crowd->ids[(i * 7 + self->number * 5) % JOBS];
        kx_error err = {0};
        kx_ending ending = {.state = ends[self->number % 4]};
        kx_job_state state;
        size_t deleted;
        bool is = false;
        kx_status status = KX_OK;
        if (self->number == 4 || self->number == 5)
            status = kx_store_cancel(store, self->crowd->key, id, &is, &state, &err);
        else if (self->number == 6)
            status = kx_store_predictions_delete(store, self->crowd->key, &id, 1, &deleted, &err);
        else
            status = kx_store_finish(store, id, &ending, &is, &err);
        if (status != KX_OK) self->problem = "a call failed";
        self->ended += self->number != 4 && self->number != 5 && is;
    }
    return NULL;
}

static int64_t ledger_sum(store_fixture *f, const char *kind, size_t *count)
{
    kx_error err = {0};
    kx_ledger_row *rows;
    bool more;
    int64_t sum = 0;
    kx_ledger_query query = {.kind = kind, .page = 1, .page_size = 1000};
    assert_ok(kx_store_ledger(f->store, &query, &f->arena, &rows, count, &more, &err));
    assert_false(more);
    for (size_t i = 0; i < *count; i++) sum += rows[i].amount_micro;
    return sum;
}

static void money_moves_once_however_many_end_a_job(void **state)
{
    store_fixture *f = *state;
    crowd all = {.f = f};
    size_t ended, reserved, captured, released, credits;
    char claimed[33];
    all.key = store_fixture_key(f, "a", JOBS * 30000, NULL);
    for (size_t i = 0; i < JOBS; i++) {
        store_fixture_submit(f, all.key, "", all.ids[i]);
        store_fixture_claim(f, claimed);
    }
    assert_int_equal(store_fixture_balance(f, all.key), 0);
    run_crowd(&all, end_all, &ended);
    assert_int_equal(ended, JOBS);
    int64_t sum = ledger_sum(f, "reserve", &reserved) + ledger_sum(f, "capture", &captured) +
                  ledger_sum(f, "release", &released) + ledger_sum(f, "credit", &credits);
    assert_int_equal(reserved, JOBS);
    assert_int_equal(captured + released, JOBS);
    assert_int_equal(sum, store_fixture_balance(f, all.key));
    assert_int_equal(sum, (int64_t)released * 30000);
}

static void *submit_one(void *argument)
{
    member *self = argument;
    kx_error err = {0};
    kx_submit submit = store_fixture_submit_of(self->crowd->key, "h");
    kx_submit_outcome outcome;
    pthread_barrier_wait(&self->crowd->begin);
    if (kx_store_submit(self->crowd->f->store, &submit, self->crowd->ids[self->number], &outcome, &err) !=
        KX_OK)
        self->problem = "a submit failed";
    self->ended = outcome == KX_SUBMIT_NEW;
    return NULL;
}

static void the_last_dollar_is_spent_once(void **state)
{
    store_fixture *f = *state;
    crowd all = {.f = f};
    size_t stored;
    all.key = store_fixture_key(f, "a", 3 * 30000, NULL);
    run_crowd(&all, submit_one, &stored);
    assert_int_equal(stored, 3);
    assert_int_equal(store_fixture_balance(f, all.key), 0);
}

static void wait_for_line(kx_writer *writer, size_t wanted)
{
    for (size_t waiting = 0; waiting < wanted; sched_yield()) {
        waiting = 0;
        pthread_mutex_lock(&writer->lock);
        for (kx_change *change = writer->first; change != NULL; change = change->next) waiting++;
        pthread_mutex_unlock(&writer->lock);
    }
}

/* The first thread keeps the right to change until all the others stand in line. */
static void *submit_or_hold(void *argument)
{
    member *self = argument;
    kx_writer *writer = &self->crowd->f->store->writer;
    if (self->number > 0) return submit_one(self);
    pthread_mutex_lock(&writer->lock);
    writer->is_busy = true;
    pthread_mutex_unlock(&writer->lock);
    pthread_barrier_wait(&self->crowd->begin);
    wait_for_line(writer, THREADS - 1);
    pthread_mutex_lock(&writer->lock);
    writer->is_busy = false;
    pthread_cond_broadcast(&writer->done);
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

static void changes_that_arrive_together_share_a_transaction(void **state)
{
    store_fixture *f = *state;
    crowd all = {.f = f};
    size_t stored;
    /* Enough for all but two: those fail and take nothing else with them. */
    all.key = store_fixture_key(f, "a", (THREADS - 3) * 30000, NULL);
    uint64_t commits = atomic_load(&f->store->writer.commits),
             changes = atomic_load(&f->store->writer.changes);
    run_crowd(&all, submit_or_hold, &stored);
    assert_int_equal(stored, THREADS - 3);
    assert_int_equal(atomic_load(&f->store->writer.changes) - changes, THREADS - 1);
    assert_int_equal(atomic_load(&f->store->writer.commits) - commits, 1);
}

/* Half of the threads spend, the others look at the same key and its history. */
static void *spend_or_look(void *argument)
{
    member *self = argument;
    kx_store *store = self->crowd->f->store;
    kx_arena arena = {0};
    pthread_barrier_wait(&self->crowd->begin);
    for (size_t i = 0; i < JOBS && self->problem == NULL; i++) {
        kx_error err = {0};
        kx_submit submit = store_fixture_submit_of(self->crowd->key, "");
        kx_submit_outcome outcome;
        kx_key key;
        kx_prediction p;
        char id[33];
        bool found = false;
        kx_status status;
        if (self->number % 2 == 0) {
            status = kx_store_submit(store, &submit, id, &outcome, &err);
            if (status == KX_OK) status = kx_store_prediction_get(store, id, &arena, &p, &found, &err);
        } else {
            status = kx_store_key_find(store, self->crowd->value, &arena, &key, &found, &err);
            if (found && (key.balance_micro < 0 || key.balance_micro % 30000 != 0))
                self->problem = "a half balance";
        }
        if (status != KX_OK || !found) self->problem = "a call failed, or did not find";
    }
    kx_arena_free(&arena);
    return NULL;
}

static void reading_goes_on_beside_changes(void **state)
{
    store_fixture *f = *state;
    crowd all = {.f = f};
    size_t none;
    all.key = store_fixture_key(f, "a", THREADS * JOBS * 30000, all.value);
    run_crowd(&all, spend_or_look, &none);
    assert_int_equal(store_fixture_balance(f, all.key), THREADS / 2 * JOBS * 30000);
}

static kx_status fail_after_a_change(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    (void)argument;
    KX_TRY(kx_ledger_add(store, db, &(kx_ledger_row){.key_id = 1, .kind = "credit", .amount_micro = 7}, err));
    KX_FAIL(err, KX_ERR_INPUT, "on purpose");
out:
    return status;
}

static void a_change_that_fails_leaves_nothing(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    char value[64];
    kx_key key;
    bool found;
    int64_t id = store_fixture_key(f, "a", 5, value);
    assert_int_equal(kx_store_change(f->store, fail_after_a_change, NULL, &err), KX_ERR_INPUT);
    assert_string_equal(err.message, "on purpose");
    assert_int_equal(store_fixture_balance(f, id), 5);
    err = (kx_error){0};
    assert_ok(kx_store_key_find(f->store, value, &f->arena, &key, &found, &err));
    assert_int_equal(key.balance_micro, 5);
    assert_int_equal(kx_store_key_credit(f->store, 99, 1, "", &err), KX_ERR_INPUT);
}

static void the_ledger_tells_every_move(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_ledger_row *rows;
    size_t count;
    bool more;
    char first[33], second[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 100000, NULL), other = store_fixture_key(f, "b", 1, NULL);
    store_fixture_submit(f, key, "", first);
    store_fixture_submit(f, key, "", second);
    store_fixture_claim(f, claimed);
    store_fixture_end(f, first, KX_JOB_COMPLETED);
    store_fixture_end(f, second, KX_JOB_FAILED);
    assert_ok(kx_store_key_credit(f->store, key, 500, "top up", &err));
    kx_ledger_query query = {.key_id = key, .page = 1, .page_size = 4};
    assert_ok(kx_store_ledger(f->store, &query, &f->arena, &rows, &count, &more, &err));
    assert_int_equal(count, 4);
    assert_true(more);
    static const struct {
        const char *kind, *status;
        int64_t amount, price;
    } wanted[4] = {{"credit", "", 500, 0},
                   {"release", "failed", 30000, 30000},
                   {"capture", "completed", 0, 30000},
                   {"reserve", "created", -30000, 30000}};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(rows[i].kind, wanted[i].kind);
        assert_string_equal(rows[i].status, wanted[i].status);
        assert_int_equal(rows[i].amount_micro, wanted[i].amount);
        assert_int_equal(rows[i].price_micro, wanted[i].price);
        assert_string_equal(rows[i].key_name, "a");
        assert_int_equal(strlen(rows[i].uuid), 32);
        assert_int_equal(strlen(rows[i].key_uuid), 32);
    }
    assert_string_equal(rows[0].note, "top up");
    assert_string_equal(rows[1].prediction, second);
    assert_string_equal(rows[2].model, "wavespeed-ai/flux-kontext-dev/multi");
    query.page = 2;
    assert_ok(kx_store_ledger(f->store, &query, &f->arena, &rows, &count, &more, &err));
    assert_int_equal(count, 2);
    assert_false(more);
    query = (kx_ledger_query){.kind = "credit", .page = 1, .page_size = 10};
    assert_ok(kx_store_ledger(f->store, &query, &f->arena, &rows, &count, &more, &err));
    assert_int_equal(count, 3);
    query.before_ns = 1;
    assert_ok(kx_store_ledger(f->store, &query, &f->arena, &rows, &count, &more, &err));
    assert_int_equal(count, 0);
    assert_int_equal(store_fixture_balance(f, other), 1);
}

static void usage_is_summed_by_model_and_day(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_usage usage;
    kx_submit_outcome outcome;
    char id[33], claimed[33];
    int64_t key = store_fixture_key(f, "a", 1000000, NULL);
    for (int i = 0; i < 5; i++) {
        kx_submit submit = store_fixture_submit_of(key, "");
        if (i == 4) submit.prediction.model = "single";
        store_fixture_move_clock(f, i < 2 ? 0 : 86400);
        assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
        store_fixture_claim(f, claimed);
        store_fixture_end(f, id, i == 3 ? KX_JOB_FAILED : KX_JOB_COMPLETED);
    }
    assert_ok(kx_store_usage(f->store, key, NULL, 0, 0, &f->arena, &usage, &err));
    assert_int_equal(usage.requests, 5);
    assert_int_equal(usage.completed, 4);
    assert_int_equal(usage.total_micro, 120000);
    assert_int_equal(usage.num_models, 2);
    assert_string_equal(usage.models[0].name, "single");
    assert_int_equal(usage.models[1].count, 4);
    assert_int_equal(usage.models[1].completed, 3);
    assert_int_equal(usage.models[1].amount_micro, 90000);
    assert_int_equal(usage.num_days, 2);
    assert_int_equal(usage.days[0].amount_micro, 60000);
    char today[KX_CLOCK_TEXT_BYTES];
    kx_clock_format(kx_clock_wall_ns(f->clock), today);
    today[10] = '\0';
    assert_string_equal(usage.days[1].name, today);
    assert_ok(kx_store_usage(f->store, key, "single", 0, 0, &f->arena, &usage, &err));
    assert_int_equal(usage.requests, 1);
    assert_ok(kx_store_usage(f->store, key + 1, NULL, 0, 0, &f->arena, &usage, &err));
    assert_int_equal(usage.requests, 0);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_setup, store_fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(money_moves_once_however_many_end_a_job),
        STORE_TEST(the_last_dollar_is_spent_once),
        STORE_TEST(changes_that_arrive_together_share_a_transaction),
        STORE_TEST(reading_goes_on_beside_changes),
        STORE_TEST(a_change_that_fails_leaves_nothing),
        STORE_TEST(the_ledger_tells_every_move),
        STORE_TEST(usage_is_summed_by_model_and_day),
    };
    return cmocka_run_group_tests_name("store-money", tests, NULL, NULL);
}
