#include "test_support.h"

#include "service/store/job_states.h"

/* Row: from; column: to; both in the order created, processing, completed, failed, cancelled, timeout,
 * deleted. */
static const char *const moves[KX_JOB_STATES] = {
    [KX_JOB_CREATED] = "0101110", [KX_JOB_PROCESSING] = "1011110", [KX_JOB_COMPLETED] = "0000001",
    [KX_JOB_FAILED] = "0000001",  [KX_JOB_CANCELLED] = "0000001",  [KX_JOB_TIMEOUT] = "0000001",
    [KX_JOB_DELETED] = "0000000",
};

static void every_pair_of_states_is_as_in_the_table(void **state)
{
    (void)state;
    for (int from = 0; from < KX_JOB_STATES; from++) {
        for (int to = 0; to < KX_JOB_STATES; to++) {
            bool may = kx_job_state_may_become((kx_job_state)from, (kx_job_state)to);
            if (may != (moves[from][to] == '1'))
                fail_msg("%s %s become %s", kx_job_state_name((kx_job_state)from), may ? "may" : "may not",
                         kx_job_state_name((kx_job_state)to));
        }
    }
    assert_false(kx_job_state_may_become(KX_JOB_STATES, KX_JOB_CREATED));
    assert_false(kx_job_state_may_become(KX_JOB_CREATED, (kx_job_state)-1));
}

static void states_have_the_names_of_the_contract(void **state)
{
    (void)state;
    static const char *const names[KX_JOB_STATES] = {"created",   "processing", "completed", "failed",
                                                     "cancelled", "timeout",    "deleted"};
    for (int i = 0; i < KX_JOB_STATES; i++) {
        assert_string_equal(kx_job_state_name((kx_job_state)i), names[i]);
        assert_int_equal(kx_job_state_parse(names[i]), i);
        assert_int_equal(kx_job_state_ended((kx_job_state)i), i >= KX_JOB_COMPLETED);
    }
    assert_int_equal(kx_job_state_parse("pending"), -1);
    assert_int_equal(kx_job_state_parse(""), -1);
    assert_int_equal(kx_job_state_parse("Created"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_states_is_as_in_the_table),
        cmocka_unit_test(states_have_the_names_of_the_contract),
    };
    return cmocka_run_group_tests_name("job-states", tests, NULL, NULL);
}
