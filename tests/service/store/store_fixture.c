#include "test_support.h"

#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int store_fixture_setup(void **state)
{
    static int number;
    kx_error err = {0};
    store_fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->path, sizeof fixture->path, "%s/store-%d/kontext.db", test_temporary_folder(), number);
    snprintf(fixture->clock_file, sizeof fixture->clock_file, "%s/clock-%d", test_temporary_folder(),
             number++);
    assert_ok(kx_clock_open(&fixture->clock, fixture->clock_file, &err));
    assert_ok(kx_store_open(&fixture->store, fixture->path, fixture->clock, &err));
    *state = fixture;
    return 0;
}

int store_fixture_teardown(void **state)
{
    store_fixture *fixture = *state;
    kx_store_close(fixture->store);
    kx_clock_close(fixture->clock);
    kx_arena_free(&fixture->arena);
    free(fixture);
    return 0;
}

void store_fixture_reopen(store_fixture *fixture)
{
    kx_error err = {0};
    kx_store_close(fixture->store);
    fixture->store = NULL;
    assert_ok(kx_store_open(&fixture->store, fixture->path, fixture->clock, &err));
}

void store_fixture_move_clock(store_fixture *fixture, double seconds)
{
    FILE *file = fopen(fixture->clock_file, "w");
    assert_non_null(file);
    fprintf(file, "%f\n", seconds);
    fclose(file);
}

int64_t store_fixture_key(store_fixture *fixture, const char *name, int64_t balance_micro, char *value)
{
    kx_error err = {0};
    char told[64];
    kx_key made;
    kx_key wanted = {.name = name, .role = KX_ROLE_SUBMIT, .balance_micro = balance_micro};
    assert_ok(kx_store_key_create(fixture->store, &wanted, NULL, told, &fixture->arena, &made, &err));
    if (value != NULL) memcpy(value, told, sizeof told);
    return made.id;
}

int64_t store_fixture_balance(store_fixture *fixture, int64_t key_id)
{
    kx_error err = {0};
    char which[24];
    kx_key key;
    bool found;
    snprintf(which, sizeof which, "%lld", (long long)key_id);
    assert_ok(kx_store_key_get(fixture->store, which, &fixture->arena, &key, &found, &err));
    assert_true(found);
    return key.balance_micro;
}

kx_submit store_fixture_submit_of(int64_t key_id, const char *body_hash)
{
    return (kx_submit){
        .prediction =
            {
                .key_id = key_id,
                .model = "wavespeed-ai/flux-kontext-dev/multi",
                .input = "{\"prompt\":\"a\"}",
                .request = "{\"prompt\":\"a\"}",
                .price_micro = 30000,
                .num_images = 1,
                .prepared = true,
                .body_hash = body_hash,
            },
        .max_queued = 100000,
        .join_window_ns = 60 * FIXTURE_S,
    };
}

kx_submit_outcome store_fixture_submit(store_fixture *fixture, int64_t key_id, const char *body_hash,
                                       char id[33])
{
    kx_error err = {0};
    kx_submit submit = store_fixture_submit_of(key_id, body_hash);
    kx_submit_outcome outcome;
    assert_ok(kx_store_submit(fixture->store, &submit, id, &outcome, &err));
    return outcome;
}

void store_fixture_claim(store_fixture *fixture, char id[33])
{
    kx_error err = {0};
    kx_prediction prediction;
    bool found;
    assert_ok(kx_store_claim(fixture->store, 100, &fixture->arena, &prediction, &found, &err));
    snprintf(id, 33, "%s", found ? prediction.id : "");
}

bool store_fixture_end(store_fixture *fixture, const char *id, kx_job_state state)
{
    kx_error err = {0};
    bool done;
    kx_ending ending = {.state = state};
    assert_ok(kx_store_finish(fixture->store, id, &ending, &done, &err));
    return done;
}

kx_job_state store_fixture_state(store_fixture *fixture, const char *id)
{
    kx_error err = {0};
    kx_prediction prediction;
    bool found;
    assert_ok(kx_store_prediction_get(fixture->store, id, &fixture->arena, &prediction, &found, &err));
    return found ? prediction.state : KX_JOB_DELETED;
}
