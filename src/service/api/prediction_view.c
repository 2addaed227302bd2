#include "service/api/prediction_view.h"

#include "service/api/api_state.h"

#include <stdlib.h>
#include <string.h>

void kx_api_prediction_now(kx_api *api, const kx_prediction *prediction, kx_prediction_now *now)
{
    kx_error err = {0};
    *now = (kx_prediction_now){.wait_ms = -1};
    if (prediction->state == KX_JOB_PROCESSING) kx_queue_live(api->queue, prediction->id, &now->live);
    if (prediction->state != KX_JOB_CREATED) return;
    now->has_position =
        kx_store_queue_position(api->store, prediction->id, &now->queue_position, &err) == KX_OK;
    if (now->has_position) now->wait_ms = kx_queue_wait_ms(api->queue, now->queue_position);
}

/* Naked base64 of the file, in place of its URL. */
static kx_status encode_output(kx_api *api, const char *token, kx_arena *arena, json_t **text, kx_error *err)
{
    kx_status status = KX_OK;
    kx_stored_file file = {0};
    kx_bytes bytes = {.cap = SIZE_MAX / 4}, base64 = {.cap = SIZE_MAX / 2};
    bool found = false;
    KX_TRY(kx_store_file_get(api->store, token, arena, &file, &found, err));
    KX_FAIL_IF(!found, err, KX_ERR_INPUT, "the output is no longer stored");
    KX_TRY(kx_blobs_read(api->blobs, file.blob, &bytes, err));
    KX_TRY(kx_base64_encode(bytes.data, bytes.size, &base64, err));
    *text = json_stringn_nocheck((const char *)base64.data, base64.size);
    KX_FAIL_IF(*text == NULL, err, KX_ERR_MEMORY, "out of memory");
out:
    kx_bytes_free(&bytes);
    kx_bytes_free(&base64);
    return status;
}

static kx_status encode_outputs(kx_api *api, const kx_prediction *prediction, json_t *object, kx_error *err)
{
    kx_status status = KX_OK;
    kx_arena arena = {0};
    json_t *list = json_array();
    json_t *records = json_loads(prediction->outputs, 0, NULL);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const char *token = json_string_value(json_object_get(json_array_get(records, i), "file"));
        json_t *text = NULL;
        if (token == NULL) continue;
        KX_TRY(encode_output(api, token, &arena, &text, err));
        json_array_append_new(list, text);
    }
    json_object_set(object, "outputs", list);
out:
    json_decref(records);
    json_decref(list);
    kx_arena_free(&arena);
    return status;
}

json_t *kx_api_prediction_view(kx_api *api, const kx_prediction *prediction, const char *base_url,
                               kx_error *err)
{
    kx_prediction_now now;
    kx_api_prediction_now(api, prediction, &now);
    json_t *object = kx_prediction_to_json(prediction, &now, base_url, true);
    if (object == NULL) {
        kx_error_set(err, KX_ERR_MEMORY, __FILE__, __LINE__, "out of memory");
        return NULL;
    }
    if (prediction->base64 && prediction->state == KX_JOB_COMPLETED &&
        encode_outputs(api, prediction, object, err) != KX_OK) {
        json_decref(object);
        return NULL;
    }
    return object;
}

void kx_api_answer_prediction(kx_api *api, kx_exchange *exchange, const kx_prediction *prediction)
{
    kx_error err = {0};
    json_t *object = kx_api_prediction_view(api, prediction, kx_exchange_base_url(exchange), &err);
    if (object == NULL)
        kx_answer_failure(exchange, &err);
    else
        kx_api_answer(exchange, object);
}

char *kx_api_webhook_body(void *user, const char *prediction, size_t *bytes)
{
    kx_api *api = user;
    kx_error err = {0};
    kx_arena arena = {0};
    kx_prediction record = {0};
    bool found = false;
    char *text = NULL;
    if (kx_store_prediction_get(api->store, prediction, &arena, &record, &found, &err) == KX_OK && found) {
        json_t *object = kx_prediction_to_json(&record, NULL, api->settings->public_url, true);
        text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
        json_decref(object);
    }
    *bytes = text == NULL ? 0 : strlen(text);
    kx_arena_free(&arena);
    return text;
}
