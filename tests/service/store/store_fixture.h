/* A store in a fresh folder, a clock that can be moved, and the plain submit that most tests begin with.
 * Include after test_support.h. */
#pragma once

#include "base/clock.h"
#include "service/store/store.h"

#define FIXTURE_S INT64_C(1000000000)

typedef struct store_fixture {
    kx_store *store;
    kx_clock *clock;
    char path[600], clock_file[600];
    kx_arena arena;
} store_fixture;

/* cmocka's setup and teardown: *state is a store_fixture. */
int store_fixture_setup(void **state);
int store_fixture_teardown(void **state);

/* Closes and opens the store again, as a restart does. */
void store_fixture_reopen(store_fixture *fixture);
/* Moves the wall clock to `seconds` after the real one. */
void store_fixture_move_clock(store_fixture *fixture, double seconds);

/* A submit key with this balance; its value into `value` (64 bytes, may be NULL). */
int64_t store_fixture_key(store_fixture *fixture, const char *name, int64_t balance_micro, char *value);
int64_t store_fixture_balance(store_fixture *fixture, int64_t key_id);

/* A prepared job of one picture at 30000 micro-dollars. */
kx_submit store_fixture_submit_of(int64_t key_id, const char *body_hash);
kx_submit_outcome store_fixture_submit(store_fixture *fixture, int64_t key_id, const char *body_hash,
                                       char id[33]);
/* Claims with a concurrency of 100; the id is "" when there is nothing to do. */
void store_fixture_claim(store_fixture *fixture, char id[33]);
/* Ends the job in this state; whether it did. */
bool store_fixture_end(store_fixture *fixture, const char *id, kx_job_state state);
/* The state of the prediction; KX_JOB_DELETED when it is gone. */
kx_job_state store_fixture_state(store_fixture *fixture, const char *id);
