/* Whole edits against the official pipelines: every tensor of the dump and every byte of the picture. */
#include "golden_cases.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void every_case_equals_the_official_pipeline(void **state)
{
    (void)state;
    test_run_golden_cases(test_shared_path("golden/tiny-diffusers"), SIZE_MAX);
}

static void link_into(const char *folder, const char *name, const char *target)
{
    char path[4096], absolute[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (realpath(target, absolute) == NULL || symlink(absolute, path) != 0) fail_msg("cannot link %s", path);
}

/* The transformer and the VAE as single files under their original names, beside the diffusers encoders. */
static void original_names_give_the_same(void **state)
{
    (void)state;
    char folder[2048];
    snprintf(folder, sizeof folder, "%s/original", test_temporary_folder());
    kx_error err = {0};
    assert_ok(kx_file_make_directory(folder, &err));
    link_into(folder, "some-name.safetensors", test_shared_path("golden/bfl-layout/tiny-bfl.safetensors"));
    link_into(folder, "ae.safetensors", test_shared_path("golden/bfl-layout/tiny-ae.safetensors"));
    link_into(folder, "text_encoder", test_shared_path("golden/tiny-diffusers/text_encoder"));
    link_into(folder, "text_encoder_2", test_shared_path("golden/tiny-diffusers/text_encoder_2"));
    test_run_golden_cases(folder, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_equals_the_official_pipeline),
        cmocka_unit_test(original_names_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
