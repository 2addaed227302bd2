#include "test_support.h"

#include "base/file.h"
#include "service/store/blobs.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct fixture {
    kx_blobs *blobs;
    char folder[600];
} fixture;

static int setup(void **state)
{
    static int number;
    kx_error err = {0};
    fixture *made = calloc(1, sizeof *made);
    snprintf(made->folder, sizeof made->folder, "%s/data-%d", test_temporary_folder(), number++);
    assert_ok(kx_blobs_open(&made->blobs, made->folder, &err));
    *state = made;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    kx_blobs_close(f->blobs);
    free(f);
    return 0;
}

static const char *path_of(const fixture *f, const char *hash)
{
    static char path[800];
    snprintf(path, sizeof path, "%s/blobs/%.2s/%s", f->folder, hash, hash);
    return path;
}

static void count_one(void *user, const char *hash, uint64_t age_s)
{
    (void)hash;
    (void)age_s;
    ++*(size_t *)user;
}

static size_t count_blobs(fixture *f)
{
    kx_error err = {0};
    size_t count = 0;
    assert_ok(kx_blobs_each(f->blobs, count_one, &count, &err));
    return count;
}

static size_t count_in_tmp(const fixture *f)
{
    char path[800];
    snprintf(path, sizeof path, "%s/tmp", f->folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void a_blob_is_named_by_its_bytes_and_stored_once(void **state)
{
    fixture *f = *state;
    kx_error err = {0};
    char hash[KX_SHA256_HEX], again[KX_SHA256_HEX];
    kx_bytes out = {.cap = 100};
    assert_ok(kx_blobs_put(f->blobs, "abc", 3, hash, &err));
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_ok(kx_blobs_put(f->blobs, "abc", 3, again, &err));
    assert_string_equal(again, hash);
    assert_int_equal(count_blobs(f), 1);
    assert_true(kx_file_exists(path_of(f, hash)));
    assert_ok(kx_blobs_read(f->blobs, hash, &out, &err));
    assert_int_equal(out.size, 3);
    assert_memory_equal(out.data, "abc", 3);
    kx_bytes_free(&out);
    int fd;
    uint64_t bytes;
    assert_ok(kx_blobs_open_file(f->blobs, hash, &fd, &bytes, &err));
    assert_int_equal(bytes, 3);
    close(fd);
    assert_ok(kx_blobs_put(f->blobs, "", 0, hash, &err));
    assert_ok(kx_blobs_read(f->blobs, hash, &out, &err));
    assert_int_equal(out.size, 0);
    kx_blobs_remove(f->blobs, again);
    kx_blobs_remove(f->blobs, again);
    assert_int_equal(kx_blobs_open_file(f->blobs, again, &fd, &bytes, &err), KX_ERR_INPUT);
}

static void a_stream_is_bounded_and_counts_only_when_committed(void **state)
{
    fixture *f = *state;
    kx_error err = {0};
    kx_blob_writer *writer = NULL;
    char hash[KX_SHA256_HEX];
    assert_ok(kx_blob_writer_open(&writer, f->blobs, 5, &err));
    assert_ok(kx_blob_writer_add(writer, "ab", 2, &err));
    assert_ok(kx_blob_writer_add(writer, "cde", 3, &err));
    assert_int_equal(kx_blob_writer_bytes(writer), 5);
    assert_int_equal(kx_blob_writer_add(writer, "f", 1, &err), KX_ERR_INPUT);
    assert_non_null(strstr(err.message, "limit of 5 bytes"));
    assert_int_equal(count_in_tmp(f), 1);
    kx_blob_writer_discard(writer);
    assert_int_equal(count_blobs(f) + count_in_tmp(f), 0);
    err = (kx_error){0};
    assert_ok(kx_blob_writer_open(&writer, f->blobs, 5, &err));
    assert_ok(kx_blob_writer_add(writer, "abc", 3, &err));
    assert_ok(kx_blob_writer_commit(writer, hash, &err));
    kx_blob_writer_discard(writer);
    kx_blob_writer_discard(NULL);
    assert_int_equal(count_blobs(f), 1);
}

static void a_name_that_is_no_hash_reaches_no_file(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"", "../../etc/passwd", "abc",
                                        "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
                                        "../../../../../../../../../../../../../../../../../../etc/passwd"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        kx_error err = {0};
        int fd;
        uint64_t bytes;
        assert_int_equal(kx_blobs_open_file(f->blobs, names[i], &fd, &bytes, &err), KX_ERR_INPUT);
        kx_blobs_remove(f->blobs, names[i]);
    }
}

static void what_was_left_halfway_is_removed_at_the_next_start(void **state)
{
    fixture *f = *state;
    kx_error err = {0};
    char path[800];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/tmp/left-%d", f->folder, i);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    assert_int_equal(count_in_tmp(f), 2);
    kx_blobs_close(f->blobs);
    assert_ok(kx_blobs_open(&f->blobs, f->folder, &err));
    assert_int_equal(count_in_tmp(f), 0);
}

static void a_sweep_leaves_what_was_put_again(void **state)
{
    fixture *f = *state;
    kx_error err = {0};
    char hash[KX_SHA256_HEX];
    assert_ok(kx_blobs_put(f->blobs, "abc", 3, hash, &err));
    kx_blobs_remove_older(f->blobs, hash, 3600);
    assert_int_equal(count_blobs(f), 1);
    struct timespec old[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
    assert_int_equal(utimensat(AT_FDCWD, path_of(f, hash), old, 0), 0);
    assert_ok(kx_blobs_put(f->blobs, "abc", 3, hash, &err));
    kx_blobs_remove_older(f->blobs, hash, 3600);
    assert_int_equal(count_blobs(f), 1);
    assert_int_equal(utimensat(AT_FDCWD, path_of(f, hash), old, 0), 0);
    kx_blobs_remove_older(f->blobs, hash, 3600);
    assert_int_equal(count_blobs(f), 0);
}

/* In a child, since a limit on file sizes cannot be lifted again. Its exit status is the answer. */
static int put_on_a_full_disk(fixture *f)
{
    kx_error err = {0};
    char hash[KX_SHA256_HEX];
    static char data[100000];
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096});
    if (kx_blobs_put(f->blobs, data, sizeof data, hash, &err) != KX_ERR_OUTPUT) return 1;
    if (strstr(err.message, "the disk is full") == NULL) return 2;
    return count_blobs(f) + count_in_tmp(f) == 0 ? 0 : 3;
}

static void a_full_disk_is_one_sentence_and_leaves_nothing(void **state)
{
    fixture *f = *state;
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(put_on_a_full_disk(f));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_folder_that_cannot_be_is_one_sentence(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_blobs *blobs = NULL;
    const char *path = test_write_file("in-the-way", "x", 1);
    assert_int_equal(kx_blobs_open(&blobs, path, &err), KX_ERR_OUTPUT);
    assert_non_null(strstr(err.message, "in-the-way"));
}

static void *put_many(void *argument)
{
    fixture *f = argument;
    kx_error err = {0};
    char hash[KX_SHA256_HEX];
    for (int i = 0; i < 20; i++) {
        char text[8];
        int length = snprintf(text, sizeof text, "%d", i);
        if (kx_blobs_put(f->blobs, text, (size_t)length, hash, &err) != KX_OK) return "failed";
        kx_blobs_remove_older(f->blobs, hash, 3600);
    }
    return NULL;
}

static void many_threads_put_the_same(void **state)
{
    fixture *f = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, put_many, f);
    for (size_t i = 0; i < 4; i++) {
        void *words;
        pthread_join(threads[i], &words);
        assert_null(words);
    }
    assert_int_equal(count_blobs(f), 20);
}

int main(void)
{
#define BLOB_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        BLOB_TEST(a_blob_is_named_by_its_bytes_and_stored_once),
        BLOB_TEST(a_stream_is_bounded_and_counts_only_when_committed),
        BLOB_TEST(a_name_that_is_no_hash_reaches_no_file),
        BLOB_TEST(what_was_left_halfway_is_removed_at_the_next_start),
        BLOB_TEST(a_sweep_leaves_what_was_put_again),
        BLOB_TEST(a_full_disk_is_one_sentence_and_leaves_nothing),
        BLOB_TEST(a_folder_that_cannot_be_is_one_sentence),
        BLOB_TEST(many_threads_put_the_same),
    };
    return cmocka_run_group_tests_name("blobs", tests, NULL, NULL);
}
