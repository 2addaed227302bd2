/* What a key can learn about itself: balance, webhook secret, deliveries. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"
#include "service/api/prediction_json.h"

#include <string.h>

/* The key as it stands in the store now; false: answered. */
static bool fresh_key(kx_api *api, kx_exchange *exchange, kx_key *key)
{
    kx_error err = {0};
    bool found = false;
    if (kx_store_key_get(api->store, kx_exchange_key(exchange)->uuid, kx_exchange_arena(exchange), key,
                         &found, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (!found)
        kx_answer_error(exchange, 401, "Invalid API key");
    return found;
}

void kx_handle_balance(kx_exchange *exchange, void *user)
{
    kx_key key = {0};
    if (fresh_key(user, exchange, &key))
        kx_api_answer(exchange, json_pack("{s:o}", "balance", kx_api_dollars(key.balance_micro)));
}

void kx_handle_webhook_secret(kx_exchange *exchange, void *user)
{
    kx_key key = {0};
    if (fresh_key(user, exchange, &key))
        kx_api_answer(exchange, json_pack("{s:s}", "secret", key.webhook_secret));
}

void kx_handle_webhook_secret_rotate(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    char secret[64];
    kx_error err = {0};
    if (kx_store_key_rotate_secret(api->store, kx_exchange_key(exchange)->id, secret, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else
        kx_api_answer(exchange, json_pack("{s:s}", "secret", secret));
}

static json_t *tries_json(kx_api *api, kx_exchange *exchange, int64_t delivery)
{
    kx_delivery_try *tries = NULL;
    size_t count = 0;
    kx_error err = {0};
    json_t *list = json_array();
    if (kx_store_delivery_log(api->store, delivery, kx_exchange_arena(exchange), &tries, &count, &err) !=
        KX_OK)
        count = 0;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:i, s:o, s:i, s:o}", "attempt", (int)tries[i].attempt, "at",
                                              kx_api_time(tries[i].at_ns), "http_status",
                                              tries[i].http_status, "error", kx_text_json(tries[i].error)));
    return list;
}

static json_t *delivery_json(kx_api *api, kx_exchange *exchange, const kx_delivery *d)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "id", (json_int_t)d->id,
                     "prediction", d->prediction, "url", d->url, "state", d->state, "attempts",
                     (int)d->attempt, "last_status", d->last_status, "last_error",
                     kx_text_json(d->last_error), "created_at", kx_api_time(d->created_ns), "updated_at",
                     kx_api_time(d->updated_ns), "next_at",
                     strcmp(d->state, "pending") == 0 ? kx_api_time(d->next_ns) : json_null(), "tries",
                     tries_json(api, exchange, d->id));
}

void kx_handle_deliveries(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_prediction prediction = {0};
    kx_delivery *items = NULL;
    size_t count = 0;
    kx_error err = {0};
    if (!kx_api_own_prediction(api, exchange, &prediction)) return;
    if (kx_store_delivery_list(api->store, kx_exchange_key(exchange)->id, prediction.id,
                               kx_exchange_arena(exchange), &items, &count, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, delivery_json(api, exchange, &items[i]));
    kx_api_answer(exchange, json_pack("{s:o}", "items", list));
}

void kx_handle_redeliver(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_prediction prediction = {0};
    kx_error err = {0};
    bool found = false;
    if (!kx_api_own_prediction(api, exchange, &prediction)) return;
    if (!kx_job_state_ended(prediction.state) || prediction.webhook == NULL ||
        prediction.webhook[0] == '\0') {
        kx_answer_error(exchange, 400, "an ended prediction with a webhook is expected, this one %s",
                        kx_job_state_ended(prediction.state) ? "has no webhook" : "has not ended");
        return;
    }
    if (kx_store_delivery_again(api->store, kx_exchange_key(exchange)->id, prediction.id, &found, &err) !=
        KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    if (found) kx_queue_wake(api->queue);
    kx_api_answer(exchange, json_pack("{s:b}", "queued", found));
}
