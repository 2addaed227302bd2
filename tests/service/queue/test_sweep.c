#include "test_support.h"

#include "queue_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool has_blob(queue_fixture *f, const char *hash)
{
    kx_error err = {0};
    int fd = -1;
    uint64_t bytes = 0;
    bool found = kx_blobs_open_file(f->blobs, hash, &fd, &bytes, &err) == KX_OK;
    if (found) close(fd);
    return found;
}

/* As if it had been put two hours ago. */
static void make_old(queue_fixture *f, const char *hash)
{
    char path[1300];
    struct timespec times[2];
    snprintf(path, sizeof path, "%s/blobs/%.2s/%s", f->folder, hash, hash);
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= 7200;
    times[1] = times[0];
    if (utimensat(AT_FDCWD, path, times, 0) != 0) fail_msg("no blob at %s", path);
}

static bool is_gone(queue_fixture *f, void *hash)
{
    return !has_blob(f, hash);
}

static void what_is_too_old_goes_with_its_files(void **state)
{
    (void)state;
    char id[33], input[KX_SHA256_HEX], output[KX_SHA256_HEX], young[KX_SHA256_HEX], lost[KX_SHA256_HEX];
    kx_error err = {0};
    kx_stored_file file;
    kx_prediction job;
    bool found = false;
    queue_fixture *f = queue_fixture_new();
    queue_fixture_start(f);
    kx_job_request request = queue_fixture_request(1);
    request.num_images_in = 1;
    snprintf(input, sizeof input, "%s", queue_fixture_picture(f, 64));
    memcpy(request.images[0].blob, input, sizeof input);
    queue_fixture_submit(f, 0, &request, NULL, id);
    job = queue_fixture_wait_for_end(f, id);
    json_t *outputs = json_loads(job.outputs, 0, NULL);
    assert_ok(kx_store_file_get(f->store,
                                json_string_value(json_object_get(json_array_get(outputs, 0), "file")),
                                &f->arena, &file, &found, &err));
    json_decref(outputs);
    snprintf(output, sizeof output, "%s", file.blob);
    assert_ok(kx_blobs_put(f->blobs, "lost", 4, lost, &err));
    assert_ok(kx_blobs_put(f->blobs, "young", 5, young, &err));
    make_old(f, lost);
    make_old(f, output);
    queue_fixture_move_clock(f, 3600); /* a sweep is due, and nothing is past its time */
    queue_fixture_wait_until(f, is_gone, lost);
    assert_true(has_blob(f, output));
    assert_true(has_blob(f, young));
    queue_fixture_move_clock(f, 8 * 86400.0);
    queue_fixture_wait_until(f, is_gone, output);
    assert_true(has_blob(f, young));
    assert_ok(kx_store_prediction_get(f->store, id, &f->arena, &job, &found, &err));
    assert_false(found);
    queue_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_too_old_goes_with_its_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
