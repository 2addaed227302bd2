/* GET …/predictions/{id}/stream: server-sent events.
 *
 *     status      the prediction without its input, at the beginning and when its state or place changes
 *     progress    {"stage", "step", "total_steps", "progress", "eta_ms"}
 *     preview     {"step", "url", "image"}: the model's present idea, as an URL and as a data URI
 *     completed   (or failed, cancelled, timeout) the whole prediction; the stream ends
 *
 * The id of progress and preview is the version of what is live, that of the last event is "end". A client
 * that comes back with Last-Event-ID is told only what is newer; one that has seen the end gets 204, which
 * makes an EventSource stop. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"
#include "service/api/prediction_view.h"
#include "service/api/text_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREVIEW_BYTES_MAX = 4 << 20 };

typedef struct stream {
    kx_api *api;
    char id[33];
    uint64_t seen, preview_seen; /* versions */
    int state;                   /* as last told; -1: not yet */
    int64_t position;
    unsigned step; /* as last told */
    const char *stage;
} stream;

static void add_event(kx_bytes *out, const char *event, const char *id, json_t *data)
{
    char *text = data == NULL ? NULL : json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (text != NULL) {
        if (id[0] != '\0') kx_text_add(out, "id: %s\n", id);
        kx_text_add(out, "event: %s\ndata: %s\n\n", event, text);
    }
    free(text);
    json_decref(data);
}

static void add_preview(kx_exchange *exchange, stream *s, const kx_live *live, const char *id, kx_bytes *out)
{
    kx_bytes jpeg = {.cap = PREVIEW_BYTES_MAX}, base64 = {.cap = 2 * PREVIEW_BYTES_MAX};
    kx_error err = {0};
    bool found = false;
    s->preview_seen = live->preview_version;
    if (kx_queue_preview(s->api->queue, s->id, &jpeg, &found, &err) == KX_OK && found &&
        kx_base64_encode(jpeg.data, jpeg.size, &base64, &err) == KX_OK) {
        json_t *url = json_sprintf("%s/api/v3/predictions/%s/preview", kx_exchange_base_url(exchange), s->id);
        json_t *image =
            json_sprintf("data:image/jpeg;base64,%.*s", (int)base64.size, (const char *)base64.data);
        add_event(out, "preview", id,
                  json_pack("{s:i, s:o, s:o}", "step", (int)live->step, "url", url, "image", image));
    }
    kx_bytes_free(&jpeg);
    kx_bytes_free(&base64);
}

static void add_progress(stream *s, const kx_live *live, const char *id, kx_bytes *out)
{
    const char *stage = live->stage == NULL ? "" : live->stage;
    /* A new preview is a new version too, but no progress. */
    if (s->stage != NULL && strcmp(s->stage, stage) == 0 && s->step == live->step) return;
    s->stage = stage;
    s->step = live->step;
    json_t *data =
        json_pack("{s:s, s:i, s:i, s:f, s:I}", "stage", stage, "step", (int)live->step, "total_steps",
                  (int)live->total_steps, "progress", live->progress, "eta_ms", (json_int_t)live->eta_ms);
    if (live->eta_ms < 0) json_object_del(data, "eta_ms");
    add_event(out, "progress", id, data);
}

/* Tells the steps of a running job; false when it does not run. */
static bool add_live(kx_exchange *exchange, stream *s, kx_bytes *out)
{
    kx_live live = {0};
    char id[24];
    kx_queue_live(s->api->queue, s->id, &live);
    if (!live.is_running) return false;
    snprintf(id, sizeof id, "%llu", (unsigned long long)live.version);
    if (live.version > s->seen) add_progress(s, &live, id, out);
    if (live.preview_version > s->preview_seen) add_preview(exchange, s, &live, id, out);
    if (live.version > s->seen) s->seen = live.version;
    return true;
}

static void add_status(kx_exchange *exchange, stream *s, const kx_prediction *prediction, kx_bytes *out)
{
    kx_prediction_now now;
    kx_api_prediction_now(s->api, prediction, &now);
    int64_t position = now.has_position ? (int64_t)now.queue_position : -1;
    if (s->state == (int)prediction->state && s->position == position) return;
    s->state = (int)prediction->state;
    s->position = position;
    add_event(out, "status", "",
              kx_prediction_to_json(prediction, &now, kx_exchange_base_url(exchange), false));
}

static bool add_state(kx_exchange *exchange, stream *s, kx_bytes *out)
{
    kx_prediction prediction = {0};
    kx_arena arena = {0};
    kx_error err = {0};
    bool found = false;
    bool goes_on = false;
    if (kx_store_prediction_get(s->api->store, s->id, &arena, &prediction, &found, &err) != KX_OK) {
        goes_on = true; /* the next change looks again */
    } else if (found && !kx_job_state_ended(prediction.state)) {
        add_status(exchange, s, &prediction, out);
        goes_on = true;
    } else if (found && prediction.state != KX_JOB_DELETED) {
        add_event(out, kx_job_state_name(prediction.state), "end",
                  kx_api_prediction_view(s->api, &prediction, kx_exchange_base_url(exchange), &err));
    }
    kx_arena_free(&arena);
    return goes_on;
}

static bool more_events(kx_exchange *exchange, void *argument, kx_wake why, kx_bytes *out)
{
    stream *s = argument;
    if (why == KX_WAKE_STOPPING) return false;
    bool is_told = s->state == (int)KX_JOB_PROCESSING;
    if (is_told && add_live(exchange, s, out)) return true;
    bool goes_on = add_state(exchange, s, out);
    if (goes_on && !is_told) add_live(exchange, s, out);
    return goes_on;
}

void kx_handle_stream(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_prediction prediction = {0};
    kx_error err = {0};
    void *memory = NULL;
    const char *last = kx_exchange_header(exchange, "Last-Event-ID");
    if (!kx_api_own_prediction(api, exchange, &prediction)) return;
    if (last != NULL && strcmp(last, "end") == 0) {
        kx_answer_bytes(exchange, 204, "text/event-stream", "", 0);
        return;
    }
    if (kx_arena_take(kx_exchange_arena(exchange), sizeof(stream), &memory, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    stream *s = memory;
    *s = (stream){.api = api, .state = -1, .position = -1};
    snprintf(s->id, sizeof s->id, "%s", prediction.id);
    if (last != NULL) s->seen = s->preview_seen = strtoull(last, NULL, 10);
    kx_answer_stream(exchange, s->id, more_events, s);
}

void kx_handle_preview(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_prediction prediction = {0};
    kx_bytes jpeg = {.cap = PREVIEW_BYTES_MAX};
    kx_error err = {0};
    bool found = false;
    if (!kx_api_own_prediction(api, exchange, &prediction)) return;
    if (kx_queue_preview(api->queue, prediction.id, &jpeg, &found, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
    } else if (!found) {
        kx_answer_error(exchange, 404, "this prediction has no preview now");
    } else {
        kx_answer_header(exchange, "Cache-Control", "no-store");
        kx_answer_bytes(exchange, 200, "image/jpeg", jpeg.data, jpeg.size);
    }
    kx_bytes_free(&jpeg);
}
