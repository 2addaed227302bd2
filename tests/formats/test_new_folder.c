/* Folders that appear complete or not at all. */
#include "formats_test_support.h"

#include "engine/formats/new_folder.h"

#include <dirent.h>
#include <sys/stat.h>

static size_t entries_of(const char *folder)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void a_folder_appears_when_it_is_complete(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_new_folder folder = {0};
    const char *root = fresh_folder("whole"), *target = path_in(root, "above/model");
    assert_ok(kx_new_folder_begin(&folder, path_in(root, "above/model//"), &err));
    assert_false(kx_file_exists(target));
    write_text_file(path_in(folder.path, "file"), "text");
    assert_ok(kx_new_folder_commit(&folder, &err));
    kx_new_folder_discard(&folder);
    assert_true(kx_file_exists(path_in(target, "file")));
    assert_int_equal(entries_of(path_in(root, "above")), 1);
    struct stat made, usual;
    assert_true(stat(target, &made) == 0 && stat(root, &usual) == 0);
    assert_int_equal(made.st_mode, usual.st_mode);
}

static void what_is_discarded_leaves_nothing(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_new_folder folder = {0};
    const char *root = fresh_folder("discarded");
    assert_ok(kx_new_folder_begin(&folder, path_in(root, "above/higher/model"), &err));
    assert_ok(kx_file_make_directory(path_in(folder.path, "below"), &err));
    write_text_file(path_in(folder.path, "below/file"), "text");
    kx_new_folder_discard(&folder);
    assert_int_equal(entries_of(root), 0);
}

/* What a run left behind that was killed, or what somebody put there, is neither written to nor removed. */
static void no_other_folder_is_taken(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_new_folder first = {0}, second = {0};
    char name[64];
    const char *root = fresh_folder("taken"), *target = path_in(root, "model");
    snprintf(name, sizeof name, "model.part-%ld", (long)getpid());
    assert_ok(kx_file_make_directory(path_in(root, name), &err));
    assert_ok(kx_new_folder_begin(&first, target, &err));
    assert_ok(kx_new_folder_begin(&second, target, &err));
    assert_string_not_equal(first.path, second.path);
    assert_string_not_equal(first.path, path_in(root, name));
    assert_string_not_equal(second.path, path_in(root, name));
    kx_new_folder_discard(&first);
    kx_new_folder_discard(&second);
    assert_true(kx_file_is_directory(path_in(root, name)));
    assert_int_equal(entries_of(root), 1);
}

static void a_failed_begin_leaves_nothing(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_new_folder folder = {0};
    const char *root = fresh_folder("failed");
    char name[300] = "above/";
    memset(name + 6, 'x', 250); /* too long with what is put behind it */
    kx_status status = kx_new_folder_begin(&folder, path_in(root, name), &err);
    assert_says(&err, status, KX_ERR_OUTPUT, "cannot make the directory");
    kx_new_folder_discard(&folder);
    assert_int_equal(entries_of(root), 0);
    write_text_file(path_in(root, "file"), "text");
    status = kx_new_folder_begin(&folder, path_in(root, "file/above/model"), &err);
    assert_says(&err, status, KX_ERR_OUTPUT, "cannot make the directory");
    kx_new_folder_discard(&folder);
    assert_int_equal(entries_of(root), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_appears_when_it_is_complete),
        cmocka_unit_test(what_is_discarded_leaves_nothing),
        cmocka_unit_test(no_other_folder_is_taken),
        cmocka_unit_test(a_failed_begin_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
