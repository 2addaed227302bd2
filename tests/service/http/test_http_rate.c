#include "test_support.h"

#include "service/http/rate.h"

static void limits_each_key(void **state)
{
    (void)state;
    unsigned retry;
    kx_rate *rate = kx_rate_open();
    assert_non_null(rate);
    for (int i = 0; i < 6; i++) assert_true(kx_rate_take(rate, 1, 6, 1000, &retry));
    assert_false(kx_rate_take(rate, 1, 6, 1000, &retry));
    assert_in_range(retry, 10, 11);
    assert_true(kx_rate_take(rate, 2, 6, 1000, &retry)); /* another key */
    assert_false(kx_rate_take(rate, 1, 6, 1000 + 9000, &retry));
    assert_in_range(retry, 1, 2);
    assert_true(kx_rate_take(rate, 1, 6, 1000 + 10500, &retry));
    assert_false(kx_rate_take(rate, 1, 6, 500, &retry)); /* the clock went back */
    assert_true(kx_rate_take(rate, 1, 0, 500, &retry));  /* unlimited */
    kx_rate_close(rate);
    kx_rate_close(NULL);
}

static void holds_many_keys(void **state)
{
    (void)state;
    unsigned retry;
    kx_rate *rate = kx_rate_open();
    assert_non_null(rate);
    for (int64_t key = 1; key <= 5000; key++) assert_true(kx_rate_take(rate, key, 1, 0, &retry));
    for (int64_t key = 1; key <= 5000; key++) assert_false(kx_rate_take(rate, key, 1, 0, &retry));
    kx_rate_close(rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(limits_each_key), cmocka_unit_test(holds_many_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
