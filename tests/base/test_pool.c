/* The compute pool: every chunk once, whoever sleeps; and how many threads it takes where nobody says. */
#include "test_support.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/pool.h"
#include "base/processors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MOST = 6 };

static kx_pool *open_pool(size_t threads)
{
    kx_error err = {0};
    kx_pool *pool = NULL;
    assert_ok(kx_pool_create(&pool, threads, &err));
    assert_int_equal(kx_pool_threads(pool), threads);
    return pool;
}

static void mark_chunk(void *arguments, size_t chunk, size_t worker)
{
    (void)worker;
    ((uint8_t *)arguments)[chunk]++;
}

static void check_run(kx_pool *pool, size_t chunks)
{
    static uint8_t marks[1000];
    memset(marks, 0, sizeof marks);
    kx_pool_run(pool, chunks, mark_chunk, marks);
    for (size_t i = 0; i < sizeof marks; i++) assert_int_equal(marks[i], i < chunks);
}

static void the_pool_does_every_chunk_once(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 5; threads++) {
        kx_pool *pool = open_pool(threads);
        for (size_t round = 0; round < 200; round++) check_run(pool, round * 5);
        kx_pool_destroy(pool);
    }
}

static void rest(long microseconds)
{
    nanosleep(&(struct timespec){0, microseconds * 1000}, NULL);
}

static void workers_that_sleep_are_woken(void **state)
{
    (void)state;
    for (size_t threads = 2; threads <= 5; threads++) {
        kx_pool *pool = open_pool(threads);
        for (size_t round = 0; round < 60; round++) {
            check_run(pool, round % 7);
            rest((long)(round % 5) *
                 50); /* about the time that a worker spins: before, while and after it sleeps */
        }
        kx_pool_destroy(pool);
    }
}

static void mark_slowly(void *arguments, size_t chunk, size_t worker)
{
    if (worker != 0) rest(500);
    mark_chunk(arguments, chunk, worker);
}

static void a_caller_that_sleeps_is_woken(void **state)
{
    (void)state;
    kx_pool *pool = open_pool(3);
    for (size_t round = 0; round < 50; round++) {
        uint8_t marks[8] = {0};
        kx_pool_run(pool, sizeof marks, mark_slowly, marks);
        for (size_t i = 0; i < sizeof marks; i++) assert_int_equal(marks[i], 1);
    }
    kx_pool_destroy(pool);
}

typedef struct owners {
    size_t threads;
    uint8_t busy[THREADS_MOST];
    uint8_t clashes[64];
} owners;

/* A worker is one thread at a time: nobody else may meet its mark. */
static void own_scratch(void *arguments, size_t chunk, size_t worker)
{
    owners *o = arguments;
    o->clashes[chunk] = worker < o->threads ? o->busy[worker]++ : 1;
    rest(10);
    o->busy[worker]--;
}

static void a_worker_number_is_one_thread(void **state)
{
    (void)state;
    for (size_t threads = 2; threads <= THREADS_MOST; threads++) {
        kx_pool *pool = open_pool(threads);
        owners o = {.threads = threads};
        for (int round = 0; round < 20; round++) {
            kx_pool_run(pool, sizeof o.clashes, own_scratch, &o);
            for (size_t i = 0; i < sizeof o.clashes; i++) assert_int_equal(o.clashes[i], 0);
        }
        kx_pool_destroy(pool);
    }
}

static void a_pool_that_never_ran_ends(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) kx_pool_destroy(open_pool(4));
    kx_pool_destroy(NULL);
}

/* ---- Limits -------------------------------------------------------------------------------------------- */

/* A file of a system that is only a folder. */
typedef struct fake_file {
    const char *folder, *name, *text;
} fake_file;

typedef struct limit_case {
    const char *what;
    size_t expected;
    fake_file files[6];
} limit_case;

#define SELF(text)                                                                                           \
    {                                                                                                        \
        "/proc/self", "cgroup", text                                                                         \
    }
#define V2(group, text)                                                                                      \
    {                                                                                                        \
        "/sys/fs/cgroup" group, "cpu.max", text                                                              \
    }
#define QUOTA(group, text)                                                                                   \
    {                                                                                                        \
        "/sys/fs/cgroup/cpu,cpuacct" group, "cpu.cfs_quota_us", text                                         \
    }
#define PERIOD(group, text)                                                                                  \
    {                                                                                                        \
        "/sys/fs/cgroup/cpu,cpuacct" group, "cpu.cfs_period_us", text                                        \
    }

static const limit_case cases[] = {
    {"no files at all", 0, {{0}}},
    {"version 2, no limit", 0, {SELF("0::/a\n"), V2("/a", "max 100000\n")}},
    {"version 2, two whole", 2, {SELF("0::/a\n"), V2("/a", "200000 100000\n")}},
    {"version 2, rounded up", 2, {SELF("0::/a\n"), V2("/a", "150000 100000\n")}},
    {"version 2, less than one", 1, {SELF("0::/a\n"), V2("/a", "1000 100000\n")}},
    {"version 2, another period", 3, {SELF("0::/a\n"), V2("/a", "25000 10000\n")}},
    {"version 2, the least of all above",
     3,
     {SELF("0::/a/b/c\n"), V2("/a", "300000 100000\n"), V2("/a/b", "max 100000\n"),
      V2("/a/b/c", "800000 100000\n")}},
    {"version 2, the root of a container", 4, {SELF("0::/\n"), V2("", "400000 100000\n")}},
    {"version 2, the host's name in a container", 4, {SELF("0::/../host/x\n"), V2("", "400000 100000\n")}},
    {"version 2 is mounted beside version 1",
     5,
     {SELF("0::/a\n"), {"/sys/fs/cgroup/unified/a", "cpu.max", "500000 100000\n"}}},
    {"version 2, no numbers", 0, {SELF("0::/a\n"), V2("/a", "what\n")}},
    {"version 2, a period of 0", 0, {SELF("0::/a\n"), V2("/a", "100000 0\n")}},
    {"version 1, no limit",
     0,
     {SELF("4:memory:/a\n3:cpu,cpuacct:/a\n"), QUOTA("/a", "-1\n"), PERIOD("/a", "100000\n")}},
    {"version 1, rounded up",
     3,
     {SELF("4:memory:/a\n3:cpu,cpuacct:/a\n"), QUOTA("/a", "250000\n"), PERIOD("/a", "100000\n")}},
    {"version 1, only the root is there",
     2,
     {SELF("3:cpu,cpuacct:/docker/0123\n"), QUOTA("", "200000\n"), PERIOD("", "100000\n")}},
    {"version 1, mounted as cpu alone",
     6,
     {SELF("3:cpuacct,cpu:/a\n"),
      {"/sys/fs/cgroup/cpu/a", "cpu.cfs_quota_us", "600000\n"},
      {"/sys/fs/cgroup/cpu/a", "cpu.cfs_period_us", "100000\n"}}},
    {"version 1, a set of processors is no quota",
     0,
     {SELF("3:cpuset:/a\n"), QUOTA("/a", "200000\n"), PERIOD("/a", "100000\n")}},
    {"both versions, the lesser",
     2,
     {SELF("3:cpu,cpuacct:/a\n0::/a\n"), QUOTA("/a", "700000\n"), PERIOD("/a", "100000\n"),
      V2("/a", "200000 100000\n")}},
    {"lines that are none", 0, {SELF("\n:\nx\n0\n0:\n"), V2("", "what")}},
};

static void write_fake(const char *root, const fake_file *file)
{
    kx_error err = {0};
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, file->folder);
    assert_ok(kx_file_make_directory(path, &err));
    strcat(path, "/");
    strcat(path, file->name);
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    fputs(file->text, stream);
    fclose(stream);
}

static void limits_of_control_groups_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char root[256];
        snprintf(root, sizeof root, "%s/system-%zu", test_temporary_folder(), i);
        for (size_t k = 0; k < 6 && cases[i].files[k].name != NULL; k++) write_fake(root, &cases[i].files[k]);
        size_t found = kx_processors_quota(root);
        if (found != cases[i].expected)
            fail_msg("%s: %zu is found, %zu is expected", cases[i].what, found, cases[i].expected);
    }
}

static void a_pool_takes_what_may_be_used(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_pool *pool = NULL;
    size_t usable = kx_processors_usable();
    assert_true(usable >= 1 && usable <= kx_processors_allowed());
    assert_ok(kx_pool_create(&pool, 0, &err));
    assert_int_equal(kx_pool_threads(pool), usable < KX_LIMIT_THREADS ? usable : KX_LIMIT_THREADS);
    kx_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pool_does_every_chunk_once), cmocka_unit_test(workers_that_sleep_are_woken),
        cmocka_unit_test(a_caller_that_sleeps_is_woken),  cmocka_unit_test(a_worker_number_is_one_thread),
        cmocka_unit_test(a_pool_that_never_ran_ends),     cmocka_unit_test(limits_of_control_groups_are_read),
        cmocka_unit_test(a_pool_takes_what_may_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
