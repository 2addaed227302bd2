#include "test_support.h"

#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool find(store_fixture *f, const char *value, kx_key *key)
{
    kx_error err = {0};
    bool found;
    assert_ok(kx_store_key_find(f->store, value, &f->arena, key, &found, &err));
    return found;
}

static void a_key_is_told_once_and_found_by_its_value(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    char value[64];
    kx_key key, made;
    kx_key wanted = {.name = "team", .role = KX_ROLE_ADMIN, .balance_micro = 5, .concurrency = 3};
    assert_ok(kx_store_key_create(f->store, &wanted, NULL, value, &f->arena, &made, &err));
    assert_int_equal(strlen(value), 43);
    assert_memory_equal(value, "kx_", 3);
    assert_true(find(f, value, &key));
    assert_int_equal(key.id, made.id);
    assert_string_equal(key.uuid, made.uuid);
    assert_string_equal(key.name, "team");
    assert_int_equal(key.role, KX_ROLE_ADMIN);
    assert_int_equal(key.balance_micro, 5);
    assert_int_equal(key.concurrency, 3);
    assert_memory_equal(key.webhook_secret, "whsec_", 6);
    assert_int_equal(strlen(key.webhook_secret), 6 + 44);
    assert_memory_equal(key.hint, value, 5);
    assert_null(strstr(value, key.hint));
    assert_false(find(f, "", &key));
    assert_false(find(f, "kx_", &key));
    value[10] = value[10] == '0' ? '1' : '0';
    assert_false(find(f, value, &key));
    /* Only a hash is stored. */
    size_t bytes;
    store_fixture_reopen(f);
    char *file = (char *)test_read_file(f->path, &bytes);
    value[10] = value[10] == '0' ? '1' : '0';
    for (size_t i = 0; i + 20 < bytes; i++) assert_memory_not_equal(file + i, value + 3, 20);
    free(file);
}

static void a_given_value_is_kept(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    char value[64];
    kx_key key;
    kx_key wanted = {.name = "given", .role = KX_ROLE_READ};
    assert_ok(kx_store_key_create(f->store, &wanted, "secret", value, &f->arena, &key, &err));
    assert_string_equal(value, "secret");
    assert_true(find(f, "secret", &key));
    assert_null(strstr(key.hint, "secret"));
    wanted.name = "other";
    assert_int_equal(kx_store_key_create(f->store, &wanted, "secret", value, &f->arena, &key, &err),
                     KX_ERR_INPUT);
    err = (kx_error){0};
    wanted.name = "given";
    assert_int_equal(kx_store_key_create(f->store, &wanted, NULL, value, &f->arena, &key, &err),
                     KX_ERR_INPUT);
    assert_non_null(strstr(err.message, "'given'"));
}

static void a_value_that_cannot_be_told_whole_is_refused(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    char value[64], given[65];
    kx_key key;
    kx_key wanted = {.name = "long", .role = KX_ROLE_READ};
    memset(given, 'x', 64);
    given[64] = '\0';
    assert_int_equal(kx_store_key_create(f->store, &wanted, given, value, &f->arena, &key, &err),
                     KX_ERR_INPUT);
    assert_non_null(strstr(err.message, "64 bytes, the limit is 63"));
    assert_false(find(f, given, &key));
    given[63] = '\0';
    err = (kx_error){0};
    assert_ok(kx_store_key_create(f->store, &wanted, given, value, &f->arena, &key, &err));
    assert_string_equal(value, given);
    assert_true(find(f, given, &key));
}

static void keys_are_got_by_uuid_name_and_number(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_key key, *list;
    size_t count;
    bool found;
    int64_t a = store_fixture_key(f, "a", 1, NULL), b = store_fixture_key(f, "b", 2, NULL);
    assert_ok(kx_store_key_get(f->store, "a", &f->arena, &key, &found, &err));
    assert_true(found && key.id == a);
    assert_ok(kx_store_key_get(f->store, key.uuid, &f->arena, &key, &found, &err));
    assert_true(found && key.id == a);
    assert_ok(kx_store_key_get(f->store, "c", &f->arena, &key, &found, &err));
    assert_false(found);
    assert_ok(kx_store_key_list(f->store, &f->arena, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_true(list[0].id == a && list[1].id == b);
    /* The name of a revoked key is free again. */
    assert_ok(kx_store_key_revoke(f->store, a, &found, &err));
    assert_true(found);
    assert_ok(kx_store_key_get(f->store, "a", &f->arena, &key, &found, &err));
    assert_false(found);
    assert_true(store_fixture_key(f, "a", 0, NULL) != a);
}

static void revoking_and_rotating_count_at_once(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_key key;
    bool found;
    char first[64], second[64], secret[64];
    int64_t id = store_fixture_key(f, "a", 1, first);
    assert_true(find(f, first, &key));
    assert_ok(kx_store_key_rotate(f->store, id, second, &err));
    assert_false(find(f, first, &key));
    assert_true(find(f, second, &key));
    assert_ok(kx_store_key_rotate_secret(f->store, id, secret, &err));
    assert_string_not_equal(secret, key.webhook_secret);
    assert_true(find(f, second, &key));
    assert_string_equal(secret, key.webhook_secret);
    assert_ok(kx_store_key_limits(f->store, id, 7, 90, &err));
    assert_true(find(f, second, &key));
    assert_int_equal(key.concurrency, 7);
    assert_int_equal(key.submits_per_minute, 90);
    assert_ok(kx_store_key_revoke(f->store, id, &found, &err));
    assert_true(found);
    assert_false(find(f, second, &key));
    assert_ok(kx_store_key_revoke(f->store, id, &found, &err));
    assert_false(found);
    assert_int_equal(kx_store_key_rotate(f->store, id, first, &err), KX_ERR_INPUT);
}

static void what_another_process_does_is_seen_within_a_second(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_store *other = NULL;
    kx_key key, made;
    bool found;
    char value[64], late[64];
    int64_t id = store_fixture_key(f, "a", 1, value);
    assert_true(find(f, value, &key));
    assert_ok(kx_store_open(&other, f->path, f->clock, &err));
    assert_ok(kx_store_key_revoke(other, id, &found, &err));
    assert_ok(kx_store_key_create(other, &(kx_key){.name = "late", .role = KX_ROLE_READ}, NULL, late,
                                  &f->arena, &made, &err));
    kx_store_close(other);
    int64_t end_ms = kx_clock_monotonic_ms() + 1000;
    while ((find(f, value, &key) || !find(f, late, &key)) && kx_clock_monotonic_ms() < end_ms)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_false(find(f, value, &key));
    assert_true(find(f, late, &key));
}

static void the_balance_found_is_the_one_just_stored(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_key key;
    char value[64], id[33], claimed[33];
    int64_t a = store_fixture_key(f, "a", 100000, value);
    assert_true(find(f, value, &key));
    store_fixture_submit(f, a, "", id);
    assert_true(find(f, value, &key));
    assert_int_equal(key.balance_micro, 70000);
    store_fixture_claim(f, claimed);
    store_fixture_end(f, id, KX_JOB_FAILED);
    assert_true(find(f, value, &key));
    assert_int_equal(key.balance_micro, 100000);
    assert_ok(kx_store_key_credit(f->store, a, -40000, "back", &err));
    assert_true(find(f, value, &key));
    assert_int_equal(key.balance_micro, 60000);
    assert_int_equal(store_fixture_balance(f, a), 60000);
}

static void the_time_of_last_use_is_stored_by_and_by(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_key key;
    bool found;
    char value[64];
    store_fixture_key(f, "a", 1, value);
    assert_true(find(f, value, &key));
    assert_ok(kx_store_check(f->store, &err));
    assert_ok(kx_store_key_get(f->store, "a", &f->arena, &key, &found, &err));
    int64_t first_ns = key.used_ns;
    assert_true(first_ns > 0);
    store_fixture_move_clock(f, 30);
    assert_true(find(f, value, &key));
    assert_ok(kx_store_check(f->store, &err));
    assert_ok(kx_store_key_get(f->store, "a", &f->arena, &key, &found, &err));
    assert_true(key.used_ns == first_ns);
    store_fixture_move_clock(f, 100);
    assert_true(find(f, value, &key));
    assert_ok(kx_store_check(f->store, &err));
    assert_ok(kx_store_key_get(f->store, "a", &f->arena, &key, &found, &err));
    assert_true(key.used_ns > first_ns + 60 * FIXTURE_S);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_setup, store_fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_key_is_told_once_and_found_by_its_value),
        STORE_TEST(a_given_value_is_kept),
        STORE_TEST(a_value_that_cannot_be_told_whole_is_refused),
        STORE_TEST(keys_are_got_by_uuid_name_and_number),
        STORE_TEST(revoking_and_rotating_count_at_once),
        STORE_TEST(what_another_process_does_is_seen_within_a_second),
        STORE_TEST(the_balance_found_is_the_one_just_stored),
        STORE_TEST(the_time_of_last_use_is_stored_by_and_by),
    };
    return cmocka_run_group_tests_name("store-keys", tests, NULL, NULL);
}
