/* Delivery of webhooks from the store's outbox. A delivery is an outbox row; its tries, their times and the
 * waits between them stand in the store, so that they survive a restart. Each try is signed afresh: receivers
 * refuse signatures older than five minutes. */
#include "service/queue/queue_state.h"
#include "service/queue/webhook_signature.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S       INT64_C(1000000000)
#define NS_PER_MS      INT64_C(1000000)
#define STORE_RETRY_MS 1000

static int stopping(void *user)
{
    return kx_queue_is_stopping(user);
}

/* Seconds before the try that follows `tries` failed ones; -1: there is none. "10,60,600" allows four tries.
 */
static int64_t backoff_s(const char *list, unsigned tries)
{
    const char *p = list != NULL ? list : "";
    for (unsigned i = 1; *p != '\0'; i++) {
        char *end = NULL;
        long long seconds = strtoll(p, &end, 10);
        if (end == p || seconds < 0) return -1;
        if (i == tries) return seconds;
        p = end + (*end == ',');
    }
    return -1;
}

/* One try. KX_OK: the receiver took it. */
static kx_status post(kx_queue *queue, const kx_delivery *delivery, int *http_status, kx_error *err)
{
    kx_status status = KX_OK;
    size_t bytes = 0;
    char timestamp[24], signature[KX_WEBHOOK_SIGNATURE_BYTES];
    char *body = queue->parts.webhook_body(queue->parts.user, delivery->prediction, &bytes);
    /* A prediction that is gone has taken its deliveries along; it is the store or the memory that fails. */
    KX_FAIL_IF(body == NULL, err, KX_ERR_OUTPUT, "the prediction could not be read");
    int64_t now_s = kx_clock_wall_ns(queue->parts.clock) / NS_PER_S;
    snprintf(timestamp, sizeof timestamp, "%" PRId64, now_s);
    KX_TRY(kx_webhook_sign(delivery->secret, delivery->prediction, now_s, body, bytes, signature, err));
    const kx_fetch_header headers[] = {{"Content-Type", "application/json"},
                                       {"webhook-id", delivery->prediction},
                                       {"webhook-timestamp", timestamp},
                                       {"webhook-signature", signature}};
    KX_TRY(kx_fetch_post(queue->parts.fetch, delivery->url, headers, sizeof headers / sizeof headers[0], body,
                         bytes, queue->parts.settings->webhook_timeout_s, http_status, stopping, queue, err));
    KX_FAIL_IF(*http_status < 200 || *http_status > 299, err, KX_ERR_INPUT,
               "the server answered with the status %d", *http_status);
out:
    free(body);
    return status;
}

/* Until the store takes it: a try that is not noted would be made again without end. */
static void settle(kx_queue *queue, const kx_delivery *delivery, bool delivered, int http_status,
                   const char *error, int64_t next_ns)
{
    for (;;) {
        kx_error err = {0};
        kx_status status = kx_store_delivery_result(queue->parts.store, delivery->id, delivered, http_status,
                                                    error, next_ns, &err);
        if (status == KX_OK || kx_queue_is_stopping(queue)) return;
        kx_queue_log(queue, "%s: the result of a webhook could not be stored: %s", delivery->prediction,
                     err.message);
        kx_queue_pause(queue, STORE_RETRY_MS);
    }
}

static void deliver(kx_queue *queue, const kx_delivery *delivery)
{
    kx_error err = {0};
    int http_status = 0;
    kx_status status = post(queue, delivery, &http_status, &err);
    if (status == KX_ERR_CANCELLED) return; /* we stop; the next start tries again */
    int64_t wait_s = status == KX_ERR_INTERNAL
                         ? -1
                         : backoff_s(queue->parts.settings->webhook_backoff, delivery->attempt + 1);
    int64_t next_ns = 0;
    kx_delivery_end end = KX_DELIVERY_TRIED;
    if (status == KX_OK)
        end = KX_DELIVERY_DELIVERED;
    else if (wait_s < 0)
        end = KX_DELIVERY_GIVEN_UP;
    else
        next_ns = kx_clock_wall_ns(queue->parts.clock) + wait_s * NS_PER_S;
    kx_meters_add_webhook(queue->meters, end);
    settle(queue, delivery, status == KX_OK, http_status, err.message, next_ns);
}

static int64_t wait_ms(kx_queue *queue)
{
    int64_t due_ns = 0, most_ms = kx_queue_clock_wait_ms(queue);
    kx_error err = {0};
    if (kx_store_delivery_next(queue->parts.store, &due_ns, &err) != KX_OK) return STORE_RETRY_MS;
    if (due_ns == 0) return most_ms;
    int64_t left_ms = (due_ns - kx_clock_wall_ns(queue->parts.clock)) / NS_PER_MS + 1;
    return left_ms < 1 ? 1 : left_ms < most_ms ? left_ms : most_ms;
}

void *kx_webhooks_main(void *argument)
{
    kx_queue *queue = argument;
    while (!kx_queue_is_stopping(queue)) {
        uint64_t seen = kx_queue_generation(queue);
        kx_arena arena = {0};
        kx_delivery delivery;
        bool found = false;
        kx_error err = {0};
        if (kx_store_delivery_claim(queue->parts.store, &arena, &delivery, &found, &err) != KX_OK) {
            kx_queue_log(queue, "no webhook can be taken from the store: %s", err.message);
            kx_queue_pause(queue, STORE_RETRY_MS);
        } else if (found) {
            deliver(queue, &delivery);
        } else {
            kx_queue_wait_for_wake(queue, seen, wait_ms(queue));
        }
        kx_arena_free(&arena);
    }
    return NULL;
}
