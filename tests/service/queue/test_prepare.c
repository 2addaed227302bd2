#include "test_support.h"

#include "../fetch/test_http_server.h"
#include "queue_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pictures {
    test_http_server *server;
    queue_fixture *f;
    uint8_t *png;
    size_t png_bytes;
    char url[8][64];
} pictures;

static void answer(void *user, const test_http_request *request)
{
    pictures *p = user;
    if (strcmp(request->path, "/good.png") == 0)
        test_http_reply(request->fd, 200, "Content-Type: image/png\r\n", p->png, p->png_bytes);
    else if (strcmp(request->path, "/junk.png") == 0)
        test_http_reply(request->fd, 200, "", "<html>sorry</html>", 18);
    else if (strcmp(request->path, "/empty.png") == 0)
        test_http_reply(request->fd, 200, "", "", 0);
    else if (strcmp(request->path, "/held.png") == 0)
        test_http_wait_for_hang_up(request->fd);
    else
        test_http_reply(request->fd, 404, "", "", 0);
}

static int set_up(void **state)
{
    pictures *p = calloc(1, sizeof *p);
    kx_error err = {0};
    kx_bytes png = {.cap = 1 << 20};
    p->f = queue_fixture_new();
    queue_fixture_open(p->f);
    assert_ok(kx_blobs_read(p->f->blobs, queue_fixture_picture(p->f, 48), &png, &err));
    p->png = png.data;
    p->png_bytes = png.size;
    p->server = test_http_server_open("127.0.0.2", answer, p);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    pictures *p = *state;
    queue_fixture_free(p->f);
    test_http_server_close(p->server);
    free(p->png);
    free(p);
    return 0;
}

static kx_job_request request_for(pictures *p, const char *path)
{
    kx_job_request request = queue_fixture_request(2);
    request.num_images_in = 2;
    snprintf(p->url[0], sizeof p->url[0], "http://127.0.0.2:%u/good.png", test_http_server_port(p->server));
    snprintf(p->url[1], sizeof p->url[1], "http://127.0.0.2:%u%s", test_http_server_port(p->server), path);
    request.images[0].url = p->url[0];
    request.images[1].url = p->url[1];
    return request;
}

static void pictures_are_fetched_before_the_job_runs(void **state)
{
    pictures *p = *state;
    char id[33];
    queue_fixture_start(p->f);
    kx_job_request request = request_for(p, "/good.png");
    queue_fixture_submit(p->f, 0, &request, NULL, id);
    kx_prediction job = queue_fixture_wait_for_end(p->f, id);
    assert_string_equal(job.error, "");
    assert_int_equal(job.state, KX_JOB_COMPLETED);
    assert_int_equal(test_http_server_requests(p->server), 2);
    kx_queue_metrics metrics;
    kx_queue_metrics_read(p->f->queue, &metrics);
    assert_int_equal(metrics.fetches, 2);
    assert_int_equal(metrics.fetch_failures, 0);
}

static void assert_failed(pictures *p, kx_job_request *request, const char *sentence)
{
    char id[33];
    queue_fixture_submit(p->f, 0, request, NULL, id);
    kx_prediction job = queue_fixture_wait_for_end(p->f, id);
    assert_int_equal(job.state, KX_JOB_FAILED);
    if (strncmp(job.error, sentence, strlen(sentence)) != 0)
        fail_msg("'%s', expected '%s'", job.error, sentence);
    assert_int_equal(job.code, 1402);
    assert_int_equal(job.charge, KX_CHARGE_RELEASED);
}

static void a_failed_download_is_a_failed_prediction(void **state)
{
    pictures *p = *state;
    p->f->settings.fetch_max_bytes = 100000;
    queue_fixture_stop(p->f);
    queue_fixture_start(p->f);
    kx_job_request request = request_for(p, "/missing.png");
    assert_failed(p, &request,
                  "image 2: the picture could not be fetched: the server does not have it (status 404)");
    request = request_for(p, "/empty.png");
    assert_failed(p, &request, "image 2: the picture could not be fetched: the answer is empty");
    request = request_for(p, "/junk.png");
    assert_failed(p, &request, "image 2: ");
    request = request_for(p, "/good.png");
    request.images[0].url = "http://169.254.169.254/latest/meta-data/";
    assert_failed(
        p, &request,
        "image 1: the picture could not be fetched: the URL's host is an address that is not public");
    request.images[0].url = "/home/user/local.png";
    assert_failed(
        p, &request,
        "image 1: the picture could not be fetched: the URL does not begin with http:// or https://");
}

static bool is_fetching(queue_fixture *f, void *argument)
{
    kx_live live;
    kx_queue_live(f->queue, argument, &live);
    return strcmp(live.stage, "fetch") == 0;
}

static void a_server_that_hangs_holds_up_nobody_else(void **state)
{
    pictures *p = *state;
    kx_error err = {0};
    char slow[33], quick[33];
    bool found = false;
    kx_job_state now;
    queue_fixture_start(p->f);
    kx_job_request request = request_for(p, "/held.png");
    queue_fixture_submit(p->f, 0, &request, NULL, slow);
    queue_fixture_wait_until(p->f, is_fetching, slow);
    kx_job_request other = queue_fixture_request(2);
    queue_fixture_submit(p->f, 0, &other, NULL, quick);
    assert_int_equal(queue_fixture_wait_for_end(p->f, quick).state, KX_JOB_COMPLETED);
    assert_int_equal(queue_fixture_get(p->f, slow).state, KX_JOB_CREATED);
    /* Cancelling ends the fetch as well: the server sees us hang up, or the tear-down would wait for it. */
    assert_ok(kx_queue_cancel(p->f->queue, p->f->key_id, slow, &found, &now, &err));
    assert_int_equal(now, KX_JOB_CANCELLED);
}

static void a_stop_in_the_middle_of_a_fetch_keeps_the_job(void **state)
{
    pictures *p = *state;
    char id[33];
    queue_fixture_start(p->f);
    kx_job_request request = request_for(p, "/held.png");
    queue_fixture_submit(p->f, 0, &request, NULL, id);
    queue_fixture_wait_until(p->f, is_fetching, id);
    queue_fixture_stop(p->f);
    queue_fixture_open(p->f);
    kx_prediction job = queue_fixture_get(p->f, id);
    assert_int_equal(job.state, KX_JOB_CREATED);
    assert_false(job.prepared);
    queue_fixture_start(p->f);
    queue_fixture_wait_until(p->f, is_fetching, id); /* handed out again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pictures_are_fetched_before_the_job_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_download_is_a_failed_prediction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_hangs_holds_up_nobody_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_in_the_middle_of_a_fetch_keeps_the_job, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
