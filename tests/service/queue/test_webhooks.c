#include "test_support.h"

#include "../fetch/test_http_server.h"
#include "queue_fixture.h"
#include "service/queue/webhook_signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_KEPT 16

typedef struct receiver {
    test_http_server *server;
    queue_fixture *f;
    char url[64], secret[128];
    atomic_int status; /* what it answers; 0: nothing, the line goes dead */
    pthread_mutex_t lock;
    size_t tries;
    char signatures[TRIES_KEPT][80], timestamps[TRIES_KEPT][24], id[64], type[64], body[512];
} receiver;

static void answer(void *user, const test_http_request *request)
{
    receiver *r = user;
    int status = atomic_load(&r->status);
    pthread_mutex_lock(&r->lock);
    size_t at = r->tries < TRIES_KEPT ? r->tries : TRIES_KEPT - 1;
    test_http_header(request, "webhook-signature", r->signatures[at], sizeof r->signatures[at]);
    test_http_header(request, "webhook-timestamp", r->timestamps[at], sizeof r->timestamps[at]);
    test_http_header(request, "webhook-id", r->id, sizeof r->id);
    test_http_header(request, "Content-Type", r->type, sizeof r->type);
    snprintf(r->body, sizeof r->body, "%s", request->body);
    r->tries++;
    pthread_mutex_unlock(&r->lock);
    if (status != 0) test_http_reply(request->fd, status, "", "", 0);
}

static size_t tries(receiver *r)
{
    pthread_mutex_lock(&r->lock);
    size_t count = r->tries;
    pthread_mutex_unlock(&r->lock);
    return count;
}

static int set_up(void **state)
{
    receiver *r = calloc(1, sizeof *r);
    kx_error err = {0};
    kx_key key;
    bool found = false;
    r->f = queue_fixture_new();
    queue_fixture_open(r->f);
    assert_ok(kx_store_key_get(r->f->store, "test", &r->f->arena, &key, &found, &err));
    snprintf(r->secret, sizeof r->secret, "%s", key.webhook_secret);
    pthread_mutex_init(&r->lock, NULL);
    atomic_store(&r->status, 200);
    r->server = test_http_server_open("127.0.0.2", answer, r);
    snprintf(r->url, sizeof r->url, "http://127.0.0.2:%u/hook", test_http_server_port(r->server));
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    receiver *r = *state;
    queue_fixture_free(r->f);
    test_http_server_close(r->server);
    pthread_mutex_destroy(&r->lock);
    free(r);
    return 0;
}

static void submit(receiver *r, char id[33])
{
    kx_job_request request = queue_fixture_request(1);
    queue_fixture_submit(r->f, 0, &request, r->url, id);
}

typedef struct delivery_wish {
    const char *prediction, *state;
    size_t tries;
    kx_delivery delivery; /* as it was found */
} delivery_wish;

static bool delivery_is_so(queue_fixture *f, void *argument)
{
    delivery_wish *wish = argument;
    kx_error err = {0};
    kx_delivery *items = NULL;
    size_t count = 0;
    assert_ok(kx_store_delivery_list(f->store, f->key_id, wish->prediction, &f->arena, &items, &count, &err));
    if (count == 0) return false;
    wish->delivery = items[0];
    return strcmp(items[0].state, wish->state) == 0 && items[0].attempt == wish->tries;
}

static kx_delivery wait_for_delivery(receiver *r, const char *id, const char *state, size_t made)
{
    delivery_wish wish = {.prediction = id, .state = state, .tries = made};
    queue_fixture_wait_until(r->f, delivery_is_so, &wish);
    return wish.delivery;
}

static void assert_signed(receiver *r, size_t at, const char *id)
{
    kx_error err = {0};
    char expected[KX_WEBHOOK_SIGNATURE_BYTES];
    assert_string_equal(r->id, id);
    assert_ok(kx_webhook_sign(r->secret, id, strtoll(r->timestamps[at], NULL, 10), r->body, strlen(r->body),
                              expected, &err));
    assert_string_equal(r->signatures[at], expected);
}

static void the_published_vector_verifies(void **state)
{
    (void)state;
    kx_error err = {0};
    char signature[KX_WEBHOOK_SIGNATURE_BYTES];
    const char *body = "{\"id\":\"0123456789abcdef0123456789abcdef\",\"status\":\"completed\"}";
    assert_ok(kx_webhook_sign("whsec_test-secret-0123456789", "0123456789abcdef0123456789abcdef", 1700000000,
                              body, strlen(body), signature, &err));
    assert_string_equal(signature, "v3,332a8e5bce640b83d0c902de6fbd7fc5a913d81839fb32b49d638becf2c49b3e");
}

static void a_result_is_delivered_and_signed(void **state)
{
    receiver *r = *state;
    char id[33];
    queue_fixture_start(r->f);
    submit(r, id);
    kx_delivery delivery = wait_for_delivery(r, id, "delivered", 1);
    assert_int_equal(delivery.last_status, 200);
    assert_int_equal(tries(r), 1);
    assert_string_equal(r->type, "application/json");
    assert_non_null(strstr(r->body, "\"status\":\"completed\""));
    assert_signed(r, 0, id);
    kx_queue_metrics metrics;
    kx_queue_metrics_read(r->f->queue, &metrics);
    assert_int_equal(metrics.webhook_delivered, 1);
}

/* An hour of failures with a restart in the middle; only the clock is moved. */
static void a_receiver_that_is_down_for_an_hour_gets_its_webhook(void **state)
{
    receiver *r = *state;
    char id[33];
    r->f->settings.webhook_backoff = "10,600,3600";
    atomic_store(&r->status, 500);
    queue_fixture_start(r->f);
    submit(r, id);
    kx_delivery delivery = wait_for_delivery(r, id, "pending", 1);
    assert_int_equal(delivery.last_status, 500);
    assert_string_equal(delivery.last_error, "the server answered with the status 500");
    queue_fixture_move_clock(r->f, 11);
    wait_for_delivery(r, id, "pending", 2);
    queue_fixture_stop(r->f);
    queue_fixture_start(r->f);
    atomic_store(&r->status, 0); /* now it does not even answer */
    queue_fixture_move_clock(r->f, 700);
    delivery = wait_for_delivery(r, id, "pending", 3);
    assert_int_equal(delivery.last_status, 0);
    assert_string_equal(delivery.last_error, "the server gave no answer");
    atomic_store(&r->status, 204);
    queue_fixture_move_clock(r->f, 4400);
    delivery = wait_for_delivery(r, id, "delivered", 4);
    assert_int_equal(delivery.last_status, 204);
    for (size_t i = 0; i < 4; i++) assert_signed(r, i, id);
    /* Each try had a time stamp of its own. */
    for (size_t i = 1; i < 4; i++)
        assert_true(strtoll(r->timestamps[i], NULL, 10) >= strtoll(r->timestamps[i - 1], NULL, 10) + 10);
    kx_error err = {0};
    kx_delivery_try *log = NULL;
    size_t count = 0;
    assert_ok(kx_store_delivery_log(r->f->store, delivery.id, &r->f->arena, &log, &count, &err));
    assert_int_equal(count, 4);
}

static bool third_try_was_made(queue_fixture *f, void *argument)
{
    (void)f;
    return tries(argument) >= 3;
}

static void tries_have_an_end(void **state)
{
    receiver *r = *state;
    char id[33];
    r->f->settings.webhook_backoff = "1";
    atomic_store(&r->status, 302); /* redirects are not followed */
    queue_fixture_start(r->f);
    submit(r, id);
    wait_for_delivery(r, id, "pending", 1);
    queue_fixture_move_clock(r->f, 2);
    wait_for_delivery(r, id, "failed", 2);
    assert_int_equal(tries(r), 2);
    /* Asked for once more, by hand. */
    kx_error err = {0};
    bool found = false;
    atomic_store(&r->status, 200);
    assert_ok(kx_store_delivery_again(r->f->store, r->f->key_id, id, &found, &err));
    assert_true(found);
    kx_queue_wake(r->f->queue);
    queue_fixture_wait_until(r->f, third_try_was_made, r);
    assert_signed(r, 2, id);
}

static void a_body_that_cannot_be_made_now_is_made_at_the_next_try(void **state)
{
    receiver *r = *state;
    char id[33];
    r->f->settings.webhook_backoff = "10";
    atomic_store(&r->f->bodies_to_miss, 1);
    queue_fixture_start(r->f);
    submit(r, id);
    kx_delivery delivery = wait_for_delivery(r, id, "pending", 1);
    assert_string_equal(delivery.last_error, "the prediction could not be read");
    assert_int_equal(tries(r), 0);
    queue_fixture_move_clock(r->f, 11);
    wait_for_delivery(r, id, "delivered", 2);
    assert_int_equal(tries(r), 1);
    assert_signed(r, 0, id);
}

static void webhooks_go_to_public_addresses_only(void **state)
{
    receiver *r = *state;
    char id[33];
    r->f->settings.fetch_allow = NULL;
    r->f->settings.webhook_backoff = "";
    queue_fixture_stop(r->f);
    queue_fixture_start(r->f);
    submit(r, id);
    kx_delivery delivery = wait_for_delivery(r, id, "failed", 1);
    assert_string_equal(delivery.last_error, "the URL's host is an address that is not public");
    assert_int_equal(tries(r), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vector_verifies),
        cmocka_unit_test_setup_teardown(a_result_is_delivered_and_signed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_receiver_that_is_down_for_an_hour_gets_its_webhook, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(tries_have_an_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_body_that_cannot_be_made_now_is_made_at_the_next_try, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(webhooks_go_to_public_addresses_only, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
