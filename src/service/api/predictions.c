/* Results, history, delete and cancel. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"
#include "service/api/prediction_view.h"
#include "service/api/waiting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DELETE_MAX = 100 };

static bool read_wait(kx_api *api, kx_exchange *exchange, int64_t *window_ms)
{
    const char *text = kx_exchange_query(exchange, "wait");
    char *end = NULL;
    *window_ms = 0;
    if (text == NULL) return true;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0)) {
        kx_answer_error(exchange, 400, "wait: a number of seconds is expected, '%.40s' is found", text);
        return false;
    }
    if (seconds > api->settings->max_wait_s) seconds = api->settings->max_wait_s;
    *window_ms = (int64_t)(seconds * 1000);
    return true;
}

void kx_handle_result(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_prediction prediction = {0};
    int64_t window_ms = 0;
    if (!read_wait(api, exchange, &window_ms) || !kx_api_own_prediction(api, exchange, &prediction)) return;
    if (window_ms > 0 && !kx_job_state_ended(prediction.state))
        kx_api_wait(api, exchange, prediction.id, window_ms, KX_WAITING_LONG_POLL);
    else
        kx_api_answer_prediction(api, exchange, &prediction);
}

/* ---- History ---- */

static kx_status read_history_query(const json_t *body, kx_history_query *query, bool *with_input,
                                    kx_error *err)
{
    kx_status status = KX_OK;
    const char *state = NULL;
    KX_TRY(kx_api_read_page(body, &query->page, &query->page_size, err));
    KX_TRY(kx_api_read_text(body, "model", &query->model, err));
    KX_TRY(kx_api_read_text(body, "status", &state, err));
    KX_TRY(kx_api_read_time(body, "created_after", &query->after_ns, err));
    KX_TRY(kx_api_read_time(body, "created_before", &query->before_ns, err));
    KX_TRY(kx_api_read_flag(body, "include_inputs", with_input, err));
    if (state != NULL) query->state = kx_job_state_parse(state);
    KX_FAIL_IF(
        state != NULL && query->state < 0, err, KX_ERR_INPUT,
        "status: created, processing, completed, failed, cancelled or timeout is expected, '%.40s' is found",
        state);
out:
    return status;
}

static void answer_history(kx_api *api, kx_exchange *exchange, const json_t *body)
{
    kx_history_query query = {
        .key_id = kx_exchange_key(exchange)->id, .state = -1, .page = 1, .page_size = 100};
    kx_prediction *items = NULL;
    size_t count = 0;
    uint64_t total = 0;
    kx_error err = {0};
    bool with_input = false;
    if (read_history_query(body, &query, &with_input, &err) != KX_OK ||
        kx_store_history(api->store, &query, kx_exchange_arena(exchange), &items, &count, &total, &err) !=
            KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, kx_prediction_to_json(&items[i], NULL, kx_exchange_base_url(exchange), with_input));
    kx_api_answer(exchange, json_pack("{s:i, s:i, s:I, s:o}", "page", (int)query.page, "page_size",
                                      (int)query.page_size, "total", (json_int_t)total, "items", list));
}

void kx_handle_history(kx_exchange *exchange, void *user)
{
    json_t *body = kx_exchange_json(exchange, true);
    if (body != NULL) answer_history(user, exchange, body);
}

static json_t *query_number(const char *text)
{
    char *end = NULL;
    errno = 0;
    long number = strtol(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 ? json_integer(number) : kx_text_json(text);
}

static json_t *query_flag(const char *text)
{
    bool is_true = strcmp(text, "true") == 0;
    return is_true || strcmp(text, "false") == 0 ? json_boolean(is_true) : kx_text_json(text);
}

/* The same by GET: its query becomes the body. What does not read as its type stays text, to be refused. */
void kx_handle_history_get(kx_exchange *exchange, void *user)
{
    static const struct {
        const char *name;
        json_t *(*read)(const char *text);
    } fields[] = {{"page", query_number},          {"page_size", query_number},
                  {"model", kx_text_json},         {"status", kx_text_json},
                  {"created_after", kx_text_json}, {"created_before", kx_text_json},
                  {"include_inputs", query_flag}};
    json_t *body = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const char *text = kx_exchange_query(exchange, fields[i].name);
        if (text != NULL) json_object_set_new(body, fields[i].name, fields[i].read(text));
    }
    answer_history(user, exchange, body);
    json_decref(body);
}

/* ---- Cancel and delete ---- */

static kx_status cancel_one(kx_api *api, kx_exchange *exchange, const char *id, bool *found, kx_error *err)
{
    kx_job_state state = KX_JOB_CREATED;
    kx_status status = kx_queue_cancel(api->queue, kx_exchange_key(exchange)->id, id, found, &state, err);
    if (status == KX_OK && *found) kx_http_notify(api->http, id);
    return status;
}

/* Cancelling what has ended changes nothing and is no error. */
void kx_handle_cancel(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_prediction prediction = {0};
    bool found = false;
    kx_error err = {0};
    if (!kx_api_own_prediction(api, exchange, &prediction)) return;
    if (!kx_job_state_ended(prediction.state) &&
        cancel_one(api, exchange, prediction.id, &found, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (kx_api_own_prediction(api, exchange, &prediction))
        kx_api_answer_prediction(api, exchange, &prediction);
}

static kx_status delete_these(kx_api *api, kx_exchange *exchange, const char *const *ids, size_t count,
                              size_t *deleted, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < count; i++) {
        kx_prediction prediction = {0};
        bool found = false;
        KX_TRY(kx_api_read_prediction(api, exchange, ids[i], &prediction, &found, err));
        if (found && !kx_job_state_ended(prediction.state))
            KX_TRY(cancel_one(api, exchange, ids[i], &found, err));
    }
    KX_TRY(kx_store_predictions_delete(api->store, kx_exchange_key(exchange)->id, ids, count, deleted, err));
out:
    return status;
}

static void answer_deleted(kx_api *api, kx_exchange *exchange, const char *const *ids, size_t count)
{
    size_t deleted = 0;
    kx_error err = {0};
    if (delete_these(api, exchange, ids, count, &deleted, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else
        kx_api_answer(exchange, json_pack("{s:I}", "deleted_count", (json_int_t)deleted));
}

void kx_handle_delete_many(kx_exchange *exchange, void *user)
{
    const char *ids[DELETE_MAX];
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL) return;
    const json_t *list = json_object_get(body, "ids");
    size_t count = json_array_size(list);
    bool is_good = json_is_array(list) && count > 0 && count <= DELETE_MAX;
    for (size_t i = 0; is_good && i < count; i++) {
        ids[i] = json_string_value(json_array_get(list, i));
        is_good = ids[i] != NULL;
    }
    if (is_good)
        answer_deleted(user, exchange, ids, count);
    else
        kx_answer_error(exchange, 400,
                        "ids: an array of 1 to %d strings is expected, something else is found", DELETE_MAX);
}

/* One that runs is cancelled and stays to be read; one that has ended is deleted. */
void kx_handle_delete_one(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_prediction prediction = {0};
    if (!kx_api_own_prediction(api, exchange, &prediction)) return;
    if (!kx_job_state_ended(prediction.state)) {
        kx_handle_cancel(exchange, user);
        return;
    }
    const char *ids[1] = {prediction.id};
    answer_deleted(api, exchange, ids, 1);
}
