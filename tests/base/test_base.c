#include "test_support.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/hash64.h"
#include "base/installed.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void the_first_error_keeps_its_words(void **state)
{
    (void)state;
    kx_error err = {0};
    assert_int_equal(kx_error_set(&err, KX_ERR_INPUT, "f", 1, "%s: %d", "first", 1), KX_ERR_INPUT);
    assert_int_equal(kx_error_set(&err, KX_ERR_MEMORY, "f", 2, "second"), KX_ERR_INPUT);
    kx_error_prefix(&err, "image %d", 2);
    assert_string_equal(err.message, "image 2: first: 1");
    assert_int_equal(kx_status_exit(err.status), 3);
}

static void a_buffer_never_passes_its_cap(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_bytes bytes = {.cap = 10};
    assert_ok(kx_bytes_append(&bytes, "0123456789", 10, &err));
    assert_int_equal(kx_bytes_append(&bytes, "x", 1, &err), KX_ERR_MEMORY);
    assert_int_equal(bytes.size, 10);
    kx_bytes_free(&bytes);
}

/* Known values of FNV-1a. */
static void a_hash_is_fnv_1a(void **state)
{
    (void)state;
    assert_true(kx_hash64_add(KX_HASH64_START, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(kx_hash64_add(KX_HASH64_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(kx_hash64_add(KX_HASH64_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    uint64_t parts = kx_hash64_add(kx_hash64_add(KX_HASH64_START, "foo", 3), "bar", 3);
    assert_true(parts == UINT64_C(0x85944171f73967e8));
    assert_true(kx_hash64_add_text(kx_hash64_add_text(KX_HASH64_START, "ab"), "c") !=
                kx_hash64_add_text(kx_hash64_add_text(KX_HASH64_START, "a"), "bc"));
}

static void an_arena_gives_zeroed_apart_blocks(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_arena arena = {0};
    uint8_t *blocks[300];
    for (size_t i = 0; i < 300; i++) {
        size_t size = i * 37 % 3000 + (i % 50 == 0 ? 200000 : 0);
        assert_ok(kx_arena_take(&arena, size, (void **)&blocks[i], &err));
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        for (size_t k = 0; k < size; k++) assert_int_equal(blocks[i][k], 0);
        memset(blocks[i], (int)(i % 255) + 1, size);
    }
    for (size_t i = 0; i < 300; i++) {
        size_t size = i * 37 % 3000;
        for (size_t k = 0; k < size; k++) assert_int_equal(blocks[i][k], i % 255 + 1);
    }
    void *out;
    assert_int_equal(kx_arena_take_array(&arena, SIZE_MAX / 2, 8, &out, &err), KX_ERR_MEMORY);
    assert_true(kx_arena_bytes(&arena) > 6 * 200000);
    kx_arena_free(&arena);
}

static size_t files_in(const char *folder)
{
    DIR *directory = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void a_written_file_appears_whole_or_not_at_all(void **state)
{
    (void)state;
    kx_error err = {0};
    char folder[2048], path[2100];
    snprintf(folder, sizeof folder, "%s/write", test_temporary_folder());
    assert_ok(kx_file_make_directory(folder, &err));
    snprintf(path, sizeof path, "%s/out.bin", folder);
    kx_file_write file;
    assert_ok(kx_file_write_open(&file, path, &err));
    assert_ok(kx_file_write_bytes(&file, "hello", 5, &err));
    assert_false(kx_file_exists(path));
    kx_file_write_discard(&file);
    assert_int_equal(files_in(folder), 0);
    assert_ok(kx_file_write_open(&file, path, &err));
    assert_ok(kx_file_write_bytes(&file, "hello", 5, &err));
    assert_ok(kx_file_write_at(&file, 1, "E", 1, &err));
    assert_ok(kx_file_write_commit(&file, &err));
    assert_int_equal(files_in(folder), 1);
    size_t bytes;
    uint8_t *content = test_read_file(path, &bytes);
    assert_string_equal((char *)content, "hEllo");
    free(content);
    assert_int_equal(kx_file_write_open(&file, folder, &err), KX_ERR_OUTPUT);
}

static void a_copy_is_whole_or_not_there(void **state)
{
    (void)state;
    kx_error err = {0};
    static uint8_t data[3 * 65536 + 5];
    char folder[2048], path[2100], pipe[2100];
    snprintf(folder, sizeof folder, "%s/copy", test_temporary_folder());
    assert_ok(kx_file_make_directory(folder, &err));
    snprintf(path, sizeof path, "%s/copy.bin", folder);
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + i / 65536);
    assert_ok(kx_file_copy(test_write_file("long", data, sizeof data), path, KX_ERR_MODEL, &err));
    size_t bytes;
    uint8_t *content = test_read_file(path, &bytes);
    assert_int_equal(bytes, sizeof data);
    assert_memory_equal(content, data, bytes);
    free(content);
    assert_ok(kx_file_copy(test_write_file("empty-too", "", 0), path, KX_ERR_MODEL, &err));
    free(test_read_file(path, &bytes));
    assert_int_equal(bytes, 0);
    unlink(path);
    snprintf(pipe, sizeof pipe, "%s/pipe", test_temporary_folder());
    assert_int_equal(mkfifo(pipe, 0600), 0);
    const char *const none[] = {"/nonexistent/file", folder, pipe, "/dev/zero"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        err = (kx_error){0};
        assert_int_equal(kx_file_copy(none[i], path, KX_ERR_INPUT, &err), KX_ERR_INPUT);
        assert_false(kx_file_is_regular(none[i]));
    }
    assert_int_equal(files_in(folder), 0);
}

static void a_map_refuses_what_it_cannot_hold(void **state)
{
    (void)state;
    kx_file_map map;
    kx_error err = {0};
    assert_int_equal(kx_file_map_open(&map, "/nonexistent/file", KX_ERR_MODEL, &err), KX_ERR_MODEL);
    err = (kx_error){0};
    assert_int_equal(kx_file_map_open(&map, test_temporary_folder(), KX_ERR_INPUT, &err), KX_ERR_INPUT);
    err = (kx_error){0};
    assert_int_equal(kx_file_map_open(&map, "/dev/zero", KX_ERR_INPUT, &err), KX_ERR_INPUT);
    err = (kx_error){0};
    assert_int_equal(kx_file_map_open(&map, test_write_file("empty", "", 0), KX_ERR_INPUT, &err),
                     KX_ERR_INPUT);
    kx_bytes small = {.cap = 100};
    err = (kx_error){0};
    assert_int_equal(kx_file_read("/dev/zero", &small, KX_ERR_INPUT, &err), KX_ERR_INPUT);
    kx_bytes_free(&small);
}

/* The folder beside the program before the one of the same name in the current folder. */
static void a_folder_is_found_beside_the_program_then_here(void **state)
{
    (void)state;
    char name[64], path[PATH_MAX], beside[PATH_MAX + 64] = "";
    snprintf(name, sizeof name, "installed-%ld", (long)getpid());
    assert_true(readlink("/proc/self/exe", beside, PATH_MAX - 1) > 0);
    strcpy(strrchr(beside, '/') + 1, name);
    assert_false(kx_installed_find(name, path, sizeof path));
    assert_int_equal(chdir(test_temporary_folder()), 0);
    test_write_file(name, "", 0);
    assert_false(kx_installed_find(name, path, sizeof path)); /* no folder */
    assert_int_equal(unlink(name) | mkdir(name, 0777), 0);
    assert_true(kx_installed_find(name, path, sizeof path));
    assert_string_equal(path, name);
    assert_false(kx_installed_find(name, path, strlen(name)));
    assert_int_equal(mkdir(beside, 0777), 0);
    bool found = kx_installed_find(name, path, sizeof path);
    assert_int_equal(rmdir(beside), 0);
    assert_true(found);
    assert_string_equal(path, beside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_keeps_its_words),
        cmocka_unit_test(a_buffer_never_passes_its_cap),
        cmocka_unit_test(a_hash_is_fnv_1a),
        cmocka_unit_test(an_arena_gives_zeroed_apart_blocks),
        cmocka_unit_test(a_written_file_appears_whole_or_not_at_all),
        cmocka_unit_test(a_copy_is_whole_or_not_there),
        cmocka_unit_test(a_map_refuses_what_it_cannot_hold),
        cmocka_unit_test(a_folder_is_found_beside_the_program_then_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
