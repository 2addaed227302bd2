/* When a step cache reuses a step, from changes alone. */
#include "test_support.h"

#include "engine/sampler/step_cache.h"

static void first_block_compares_each_change(void **state)
{
    (void)state;
    kx_step_cache cache = kx_step_cache_start(KX_CACHE_FIRST_BLOCK, 0.1);
    static const double changes[] = {0.05, 0.09999, 0.1, 0.3, 0.0, 0.02};
    static const bool expected[] = {true, true, false, false, true, true};
    for (size_t i = 0; i < 6; i++) assert_int_equal(kx_step_cache_decide(&cache, changes[i]), expected[i]);
}

/* p(0.1) = -1046.55119e-4 + 312.563399e-3 - 16.9500694e-2 + 0.410995971e-1 + 0.0374537863 = 0.116960977. */
static void teacache_adds_up_estimates(void **state)
{
    (void)state;
    kx_step_cache cache = kx_step_cache_start(KX_CACHE_TEACACHE, 0.3);
    assert_true(kx_step_cache_decide(&cache, 0.1));
    assert_true(cache.accumulated > 0.1169609 && cache.accumulated < 0.1169610);
    assert_true(kx_step_cache_decide(&cache, 0.1));
    assert_false(kx_step_cache_decide(&cache, 0.1)); /* 0.35: whole, and from 0 again */
    assert_true(cache.accumulated == 0);
    assert_true(kx_step_cache_decide(&cache, 0.1));
}

/* p is negative there (-1.4 at 0.3): its size counts, and nothing is taken back. */
static void teacache_counts_negative_estimates(void **state)
{
    (void)state;
    kx_step_cache cache = kx_step_cache_start(KX_CACHE_TEACACHE, 10);
    assert_true(kx_step_cache_decide(&cache, 0.3));
    double once = cache.accumulated;
    assert_true(once > 1);
    assert_true(kx_step_cache_decide(&cache, 0.3));
    assert_true(cache.accumulated > once);
}

static void a_threshold_of_zero_reuses_nothing(void **state)
{
    (void)state;
    static const kx_cache_kind kinds[] = {KX_CACHE_OFF, KX_CACHE_FIRST_BLOCK, KX_CACHE_TEACACHE};
    for (size_t i = 0; i < 3; i++) {
        kx_step_cache cache = kx_step_cache_start(kinds[i], 0);
        for (int k = 0; k < 20; k++) assert_false(kx_step_cache_decide(&cache, 0.02 * k));
    }
}

static void a_negative_threshold_is_the_default(void **state)
{
    (void)state;
    static const kx_cache_kind kinds[] = {KX_CACHE_FIRST_BLOCK, KX_CACHE_TEACACHE};
    for (size_t i = 0; i < 2; i++) {
        double threshold = kx_step_cache_start(kinds[i], -1).threshold;
        assert_true(threshold > 0 && threshold == kx_step_cache_default_threshold(kinds[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_block_compares_each_change),
        cmocka_unit_test(teacache_adds_up_estimates),
        cmocka_unit_test(teacache_counts_negative_estimates),
        cmocka_unit_test(a_threshold_of_zero_reuses_nothing),
        cmocka_unit_test(a_negative_threshold_is_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
