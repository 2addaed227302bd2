/* The first of the cases of test_golden_edit.c alone, for runs where all of them would take too long. */
#include "golden_cases.h"

static void the_first_case_equals_the_official_pipeline(void **state)
{
    (void)state;
    test_run_golden_cases(test_shared_path("golden/tiny-diffusers"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_case_equals_the_official_pipeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
