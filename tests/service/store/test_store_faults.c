/* What happens when the world fails: a process killed in the middle, a full disk, a lock that is not given
 * up, a damaged file. */
#define _GNU_SOURCE /* unshare */
#include "test_support.h"

#include "base/file.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 6, WORKERS = 3 };

/* What the killed child told before it was killed: an id after its submit, or after its end, was on the disk.
 */
typedef struct told {
    char what; /* 's' submitted, 'c' completed, 'f' failed */
    char id[33];
} told;

typedef struct child_work {
    kx_store *store;
    int64_t key;
    int pipe;
} child_work;

static void tell(int pipe, char what, const char *id)
{
    told words = {.what = what};
    snprintf(words.id, sizeof words.id, "%s", id);
    if (write(pipe, &words, sizeof words) != (ssize_t)sizeof words) _exit(3);
}

/* Submits, claims and ends without end, until it is killed. */
static void *work_until_killed(void *argument)
{
    child_work *work = argument;
    for (unsigned round = 0;; round++) {
        kx_error err = {0};
        kx_arena arena = {0};
        kx_submit submit = store_fixture_submit_of(work->key, "");
        kx_submit_outcome outcome;
        kx_prediction job;
        char id[33];
        bool is = false;
        if (kx_store_submit(work->store, &submit, id, &outcome, &err) != KX_OK) _exit(1);
        tell(work->pipe, 's', id);
        if (kx_store_claim(work->store, 100, &arena, &job, &is, &err) != KX_OK) _exit(2);
        kx_ending ending = {.state = round % 2 == 0 ? KX_JOB_COMPLETED : KX_JOB_FAILED};
        if (is && kx_store_finish(work->store, job.id, &ending, &is, &err) != KX_OK) _exit(2);
        if (is) tell(work->pipe, round % 2 == 0 ? 'c' : 'f', job.id);
        kx_arena_free(&arena);
    }
}

static void be_the_child(store_fixture *f, int64_t key, int pipe)
{
    kx_error err = {0};
    child_work work = {.key = key, .pipe = pipe};
    pthread_t threads[WORKERS];
    if (kx_store_open(&work.store, f->path, f->clock, &err) != KX_OK) _exit(4);
    for (size_t i = 0; i < WORKERS; i++) pthread_create(&threads[i], NULL, work_until_killed, &work);
    pthread_join(threads[0], NULL);
    _exit(5);
}

/* Lets a child work, kills it after `words` of its words, and reads the rest of them. */
static size_t work_and_kill(store_fixture *f, int64_t key, size_t words, told *heard, size_t room)
{
    int ends[2], status = 0;
    size_t count = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_the_child(f, key, ends[1]);
    }
    close(ends[1]);
    while (count < room && read(ends[0], &heard[count], sizeof *heard) == (ssize_t)sizeof *heard)
        if (++count == words) kill(child, SIGKILL);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return count;
}

static void assert_books_balance(store_fixture *f, int64_t key, int64_t credit)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    static const char sql[] =
        "SELECT (SELECT sum(amount_micro) FROM ledger WHERE key_id = ?1) = (SELECT balance_micro FROM keys "
        "WHERE id "
        "= ?1), ?2 - (SELECT balance_micro FROM keys WHERE id = ?1) = 30000 * (SELECT count(*) FROM "
        "predictions "
        "WHERE state < 3), (SELECT count(*) FROM predictions) = (SELECT count(*) FROM ledger WHERE kind = "
        "'reserve'), (SELECT count(*) FROM predictions WHERE state >= 2) = (SELECT count(*) FROM ledger "
        "WHERE kind "
        "IN ('capture', 'release')), (SELECT count(*) FROM predictions WHERE state = 2 AND charge <> 1 OR "
        "state = 3 "
        "AND charge <> 2 OR state < 2 AND charge <> 0) = 0";
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &rows, NULL), SQLITE_OK);
    sqlite3_bind_int64(rows, 1, key);
    sqlite3_bind_int64(rows, 2, credit);
    assert_int_equal(sqlite3_step(rows), SQLITE_ROW);
    for (int i = 0; i < 5; i++)
        if (sqlite3_column_int(rows, i) != 1) fail_msg("the books do not balance: rule %d", i);
    sqlite3_finalize(rows);
    sqlite3_close(db);
}

static void nothing_told_is_lost_and_nothing_counts_twice_after_kill_9(void **state)
{
    store_fixture *f = *state;
    static told heard[4096];
    kx_error err = {0};
    unsigned requeued;
    int64_t credit = INT64_C(1000000000), key = store_fixture_key(f, "a", credit, NULL);
    for (size_t round = 0; round < ROUNDS; round++) {
        /* SQLite's locks do not go through a fork: the child opens for itself, and this process has nothing
         * open. */
        kx_store_close(f->store);
        f->store = NULL;
        size_t count = work_and_kill(f, key, 20 + round * 17, heard, 4096);
        assert_ok(kx_store_open(&f->store, f->path, f->clock, &err));
        for (size_t i = 0; i < count; i++) {
            kx_job_state now = store_fixture_state(f, heard[i].id);
            assert_int_not_equal(now, KX_JOB_DELETED);
            if (heard[i].what == 'c') assert_int_equal(now, KX_JOB_COMPLETED);
            if (heard[i].what == 'f') assert_int_equal(now, KX_JOB_FAILED);
        }
        assert_books_balance(f, key, credit);
        assert_ok(kx_store_requeue_orphans(f->store, 100, &requeued, &err));
        assert_true(requeued <= WORKERS);
        assert_books_balance(f, key, credit);
    }
}

/* Submits until nothing more fits, makes room, and goes on. 0: as it should be. */
static int fill_the_disk(store_fixture *f, int64_t key, bool (*make_full)(store_fixture *f),
                         void (*make_room)(void))
{
    kx_error err = {0};
    kx_submit submit = store_fixture_submit_of(key, "");
    kx_submit_outcome outcome;
    char id[33];
    if (kx_store_submit(f->store, &submit, id, &outcome, &err) != KX_OK) return 2;
    if (!make_full(f)) return 3;
    int stored = 1;
    for (; stored < 5000; stored++)
        if (kx_store_submit(f->store, &submit, id, &outcome, &err) != KX_OK) break;
    if (stored == 5000 || err.status != KX_ERR_OUTPUT) return 4;
    if (strstr(err.message, "the disk is full") == NULL) return 5;
    /* Reading goes on, and writing too once there is room. */
    kx_prediction p;
    bool found;
    err = (kx_error){0};
    if (kx_store_prediction_get(f->store, id, &f->arena, &p, &found, &err) != KX_OK || !found) return 6;
    make_room();
    if (kx_store_submit(f->store, &submit, id, &outcome, &err) != KX_OK) return 7;
    uint64_t counts[KX_JOB_STATES];
    if (kx_store_queue_count(f->store, counts, &err) != KX_OK) return 8;
    kx_store_close(f->store);
    return counts[KX_JOB_CREATED] == (uint64_t)stored + 1 ? 0 : 9;
}

static bool limit_files(store_fixture *f)
{
    struct stat info;
    signal(SIGXFSZ, SIG_IGN);
    return stat(f->path, &info) == 0 &&
           setrlimit(RLIMIT_FSIZE, &(struct rlimit){(rlim_t)info.st_size, RLIM_INFINITY}) == 0;
}

static void unlimit_files(void)
{
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
}

/* In a child, whose limits and mounts go with it. */
static void a_limit_on_files_is_one_sentence_and_loses_nothing(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    int status = 0;
    int64_t credit = INT64_C(1000000000), key = store_fixture_key(f, "a", credit, NULL);
    kx_store_close(f->store);
    f->store = NULL;
    pid_t child = fork();
    if (child == 0) {
        if (kx_store_open(&f->store, f->path, f->clock, &err) != KX_OK) _exit(1);
        _exit(fill_the_disk(f, key, limit_files, unlimit_files));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_ok(kx_store_open(&f->store, f->path, f->clock, &err));
    assert_books_balance(f, key, credit);
}

static const char *small_disk;

static bool is_small(store_fixture *f)
{
    (void)f;
    return true;
}

static void enlarge_disk(void)
{
    mount("tmpfs", small_disk, "tmpfs", MS_REMOUNT, "size=16m");
}

static int fill_a_small_disk(store_fixture *f)
{
    kx_error err = {0};
    char folder[500];
    snprintf(folder, sizeof folder, "%s/small", test_temporary_folder());
    mkdir(folder, 0700);
    small_disk = folder;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=1m") != 0)
        return 77;
    snprintf(f->path, sizeof f->path, "%s/kontext.db", folder);
    if (kx_store_open(&f->store, f->path, f->clock, &err) != KX_OK) return 1;
    return fill_the_disk(f, store_fixture_key(f, "a", INT64_C(1000000000), NULL), is_small, enlarge_disk);
}

static void a_full_disk_is_one_sentence_and_loses_nothing(void **state)
{
    store_fixture *f = *state;
    int status = 0;
    kx_store_close(f->store);
    f->store = NULL;
    pid_t child = fork();
    if (child == 0) _exit(fill_a_small_disk(f));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("# this user may not mount a small disk\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_lock_that_is_not_given_up_is_one_sentence(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    sqlite3 *other = NULL;
    assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(kx_store_check(f->store, &err), KX_ERR_OUTPUT);
    assert_non_null(strstr(err.message, "locked by another program"));
    assert_non_null(strstr(err.message, f->path));
    /* Reading does not mind. */
    uint64_t counts[KX_JOB_STATES];
    err = (kx_error){0};
    assert_ok(kx_store_queue_count(f->store, counts, &err));
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(other);
    assert_ok(kx_store_check(f->store, &err));
}

static void a_damaged_file_is_one_sentence(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_store *store = NULL;
    char noise[8192];
    memset(noise, 'x', sizeof noise);
    const char *path = test_write_file("noise.db", noise, sizeof noise);
    assert_int_equal(kx_store_open(&store, path, f->clock, &err), KX_ERR_OUTPUT);
    assert_non_null(strstr(err.message, "damaged"));
    /* A good beginning and a bad middle. */
    char id[33];
    int64_t key = store_fixture_key(f, "a", 100000000, NULL);
    for (int i = 0; i < 50; i++) store_fixture_submit(f, key, "", id);
    store_fixture_reopen(f);
    int fd = open(f->path, O_RDWR);
    for (off_t at = 8192; at < lseek(fd, 0, SEEK_END); at += 4096)
        assert_int_equal(pwrite(fd, noise, 4096, at), 4096);
    close(fd);
    kx_submit submit = store_fixture_submit_of(key, "");
    kx_submit_outcome outcome;
    kx_store_close(f->store);
    f->store = NULL;
    err = (kx_error){0};
    kx_status status = kx_store_open(&f->store, f->path, f->clock, &err);
    if (status == KX_OK) status = kx_store_submit(f->store, &submit, id, &outcome, &err);
    assert_int_equal(status, KX_ERR_OUTPUT);
    assert_non_null(strstr(err.message, "damaged"));
}

static void a_database_of_a_newer_program_is_left_alone(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    sqlite3 *db = NULL;
    kx_store_close(f->store);
    f->store = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(kx_store_open(&f->store, f->path, f->clock, &err), KX_ERR_OUTPUT);
    assert_non_null(strstr(err.message, "newer"));
}

/* As the first version left it: without the index that a later step makes. */
static void a_database_of_an_older_program_is_brought_up(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    sqlite3 *db = NULL;
    kx_prediction p;
    kx_submit_outcome outcome;
    bool found;
    char id[33];
    kx_submit submit = store_fixture_submit_of(store_fixture_key(f, "a", 1000000, NULL), "");
    submit.prediction.prepared = false;
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    kx_store_close(f->store);
    f->store = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "DROP INDEX predictions_unprepared; ALTER TABLE checkpoints DROP COLUMN ran_ms; "
                     "PRAGMA user_version = 1",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    assert_ok(kx_store_open(&f->store, f->path, f->clock, &err));
    assert_ok(kx_store_claim_preparation(f->store, &f->arena, &p, &found, &err));
    assert_true(found);
    assert_string_equal(p.id, id);
}

static void a_folder_that_cannot_be_written_is_one_sentence(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_store *store = NULL;
    char path[800];
    const char *file = test_write_file("a-file", "x", 1);
    snprintf(path, sizeof path, "%s/kontext.db", file);
    assert_int_equal(kx_store_open(&store, path, f->clock, &err), KX_ERR_OUTPUT);
    assert_non_null(strstr(err.message, "a-file"));
    if (geteuid() == 0) return; /* nothing is read-only to root */
    snprintf(path, sizeof path, "%s/locked", test_temporary_folder());
    mkdir(path, 0500);
    snprintf(path, sizeof path, "%s/locked/kontext.db", test_temporary_folder());
    err = (kx_error){0};
    assert_int_equal(kx_store_open(&store, path, f->clock, &err), KX_ERR_OUTPUT);
    assert_non_null(strstr(err.message, "cannot open the database"));
}

/* In a child, which has the file open for reading only. */
static int write_read_only(store_fixture *f)
{
    kx_error err = {0};
    kx_store *store = NULL;
    if (setgid(65534) != 0 || setuid(65534) != 0) return 0;
    if (kx_store_open(&store, f->path, f->clock, &err) != KX_ERR_OUTPUT) return 1;
    return strstr(err.message, "cannot open the database: Permission denied") != NULL ? 0 : 2;
}

static void a_file_of_another_user_is_one_sentence(void **state)
{
    store_fixture *f = *state;
    int status = 0;
    if (geteuid() != 0) skip();
    kx_store_close(f->store);
    f->store = NULL;
    chmod(test_temporary_folder(), 0755);
    pid_t child = fork();
    if (child == 0) _exit(write_read_only(f));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_second_server_is_refused(void **state)
{
    store_fixture *f = *state;
    kx_error err = {0};
    kx_store *second = NULL;
    char words[64];
    assert_ok(kx_store_lock_server(f->store, &err));
    assert_ok(kx_store_open(&second, f->path, f->clock, &err));
    assert_int_equal(kx_store_lock_server(second, &err), KX_ERR_OUTPUT);
    snprintf(words, sizeof words, "another server (process %ld)", (long)getpid());
    assert_non_null(strstr(err.message, words));
    /* The key commands of the program work beside it all the same. */
    err = (kx_error){0};
    assert_ok(kx_store_check(second, &err));
    kx_store_close(f->store);
    f->store = NULL;
    assert_ok(kx_store_lock_server(second, &err));
    kx_store_close(second);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_setup, store_fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(nothing_told_is_lost_and_nothing_counts_twice_after_kill_9),
        STORE_TEST(a_limit_on_files_is_one_sentence_and_loses_nothing),
        STORE_TEST(a_full_disk_is_one_sentence_and_loses_nothing),
        STORE_TEST(a_lock_that_is_not_given_up_is_one_sentence),
        STORE_TEST(a_damaged_file_is_one_sentence),
        STORE_TEST(a_database_of_a_newer_program_is_left_alone),
        STORE_TEST(a_database_of_an_older_program_is_brought_up),
        STORE_TEST(a_folder_that_cannot_be_written_is_one_sentence),
        STORE_TEST(a_file_of_another_user_is_one_sentence),
        STORE_TEST(a_second_server_is_refused),
    };
    return cmocka_run_group_tests_name("store-faults", tests, NULL, NULL);
}
