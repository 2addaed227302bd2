#include "service/api/api_state.h"

#include "service/api/parameter_values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

kx_status kx_api_open(kx_api **api, const kx_api_parts *parts, kx_error *err)
{
    kx_status status = KX_OK;
    kx_api *made = calloc(1, sizeof *made);
    *api = NULL;
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    pthread_mutex_init(&made->signin_lock, NULL);
    made->settings = parts->settings;
    made->clock = parts->clock;
    made->store = parts->store;
    made->blobs = parts->blobs;
    made->fetch = parts->fetch;
    made->rate = kx_rate_open();
    KX_FAIL_IF(made->rate == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(kx_answered_open(&made->answered, parts->store, err));
    *api = made;
    made = NULL;
out:
    kx_api_close(made);
    return status;
}

void kx_api_connect(kx_api *api, kx_queue *queue, kx_http *http)
{
    api->queue = queue;
    api->http = http;
}

void kx_api_close(kx_api *api)
{
    if (api == NULL) return;
    kx_answered_close(api->answered);
    kx_rate_close(api->rate);
    pthread_mutex_destroy(&api->signin_lock);
    free(api);
}

void kx_api_changed(void *user, const char *prediction)
{
    kx_api *api = user;
    if (api->http != NULL) kx_http_notify(api->http, prediction);
}

void kx_api_answer(kx_exchange *exchange, json_t *data)
{
    json_t *body =
        data == NULL ? NULL : json_pack("{s:i, s:s, s:o}", "code", 200, "message", "success", "data", data);
    if (body == NULL)
        kx_answer_error(exchange, 503, "out of memory");
    else
        kx_answer_json(exchange, 200, body);
}

static bool is_id(const char *id)
{
    return strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32;
}

kx_status kx_api_read_prediction(kx_api *api, kx_exchange *exchange, const char *id,
                                 kx_prediction *prediction, bool *found, kx_error *err)
{
    *found = false;
    if (!is_id(id)) return KX_OK;
    kx_status status =
        kx_store_prediction_get(api->store, id, kx_exchange_arena(exchange), prediction, found, err);
    if (status == KX_OK && *found)
        *found = prediction->key_id == kx_exchange_key(exchange)->id && prediction->state != KX_JOB_DELETED;
    return status;
}

bool kx_api_own_prediction(kx_api *api, kx_exchange *exchange, kx_prediction *prediction)
{
    const char *id = kx_exchange_parameter(exchange, "id");
    kx_error err = {0};
    bool found = false;
    if (kx_api_read_prediction(api, exchange, id == NULL ? "" : id, prediction, &found, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (!found)
        kx_answer_error(exchange, 404, "Prediction not found");
    return found;
}

/* A field that may be absent; null counts as that. */
static const json_t *optional(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    return json_is_null(value) ? NULL : value;
}

kx_status kx_api_read_count(const json_t *body, const char *name, unsigned least, unsigned most,
                            unsigned *count, kx_error *err)
{
    const json_t *value = optional(body, name);
    json_int_t number = json_integer_value(value);
    char expected[64];
    if (value == NULL) return KX_OK;
    snprintf(expected, sizeof expected, "an integer from %u to %u", least, most);
    if (!json_is_integer(value) || number < least || number > most)
        return kx_value_refuse(name, expected, value, err);
    *count = (unsigned)number;
    return KX_OK;
}

kx_status kx_api_read_flag(const json_t *body, const char *name, bool *flag, kx_error *err)
{
    const json_t *value = optional(body, name);
    if (value == NULL) return KX_OK;
    if (!json_is_boolean(value)) return kx_value_refuse(name, "true or false", value, err);
    *flag = json_is_true(value);
    return KX_OK;
}

kx_status kx_api_read_page(const json_t *body, unsigned *page, unsigned *page_size, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_api_read_count(body, "page", 1, 1000000, page, err));
    KX_TRY(kx_api_read_count(body, "page_size", 1, 100, page_size, err));
out:
    return status;
}

kx_status kx_api_read_text(const json_t *body, const char *name, const char **text, kx_error *err)
{
    const json_t *value = optional(body, name);
    *text = NULL;
    if (value == NULL) return KX_OK;
    if (!json_is_string(value)) return kx_value_refuse(name, "a string", value, err);
    if (json_string_length(value) > 0) *text = json_string_value(value);
    return KX_OK;
}

kx_status kx_api_read_time(const json_t *body, const char *name, int64_t *wall_ns, kx_error *err)
{
    const char *text = NULL;
    kx_status status = kx_api_read_text(body, name, &text, err);
    if (status != KX_OK || text == NULL || kx_clock_parse(text, wall_ns)) return status;
    return kx_error_set(err, KX_ERR_INPUT, __FILE__, __LINE__,
                        "%s: a time such as 2026-01-31T12:00:00Z is expected, '%.40s' is found", name, text);
}

kx_status kx_api_read_dollars(const json_t *body, const char *name, int64_t *micro, kx_error *err)
{
    const json_t *value = optional(body, name);
    if (value == NULL) return KX_OK;
    double amount = json_number_value(value);
    if (!json_is_number(value) || !(fabs(amount) <= 1e6))
        return kx_value_refuse(name, "a number of US dollars of at most a million", value, err);
    *micro = (int64_t)llround(amount * 1e6);
    return KX_OK;
}

/* An output has no time of its own: it goes with its prediction, and that after the retention time. */
int64_t kx_api_file_seconds_left(kx_api *api, const kx_stored_file *file)
{
    int64_t second = 1000000000, retention_s = (int64_t)api->settings->retention_s;
    int64_t now_ns = kx_clock_wall_ns(api->clock);
    if (file->expires_ns > 0) return (file->expires_ns - now_ns) / second;
    int64_t left_s = retention_s - (now_ns - file->created_ns) / second;
    return left_s > 0 ? left_s : 1;
}

json_t *kx_api_dollars(int64_t micro)
{
    return json_real((double)micro / 1e6);
}

json_t *kx_api_time(int64_t wall_ns)
{
    char text[KX_CLOCK_TEXT_BYTES];
    if (wall_ns == 0) return json_null();
    kx_clock_format(wall_ns, text);
    return json_string(text);
}
