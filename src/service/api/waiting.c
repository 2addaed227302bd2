#include "service/api/waiting.h"

#include "service/api/api_state.h"
#include "service/api/prediction_view.h"

#include <stdio.h>

/* A change between looking and waiting would go unnoticed, so a wait looks again by itself after this time.
 */
enum { LOOK_AGAIN_MS = 2000 };

typedef struct waiting {
    kx_api *api;
    char id[33];
    int64_t window_ms, until_ms;
    kx_waiting_for what;
} waiting;

static void look(kx_exchange *exchange, void *argument, kx_wake why);

static void wait_more(kx_exchange *exchange, waiting *w)
{
    int64_t next_ms = kx_clock_monotonic_ms() + LOOK_AGAIN_MS;
    kx_answer_wait(exchange, w->id, next_ms < w->until_ms ? next_ms : w->until_ms, look, w);
}

static void answer_sync_timeout(kx_exchange *exchange, const waiting *w, const kx_prediction *prediction)
{
    kx_prediction_now now;
    kx_api_prediction_now(w->api, prediction, &now);
    json_t *object = kx_prediction_to_json(prediction, &now, kx_exchange_base_url(exchange), true);
    if (object != NULL) {
        json_object_set_new(object, "status", json_string("processing"));
        json_object_set_new(object, "code", json_integer(5004));
        json_object_set_new(
            object, "error",
            json_sprintf(
                "Sync mode timed out after %g seconds. The prediction is still processing asynchronously.",
                (double)w->window_ms / 1000));
    }
    kx_api_answer(exchange, object);
}

static void look(kx_exchange *exchange, void *argument, kx_wake why)
{
    waiting *w = argument;
    kx_error err = {0};
    kx_live live = {0};
    kx_prediction prediction = {0};
    bool found = false;
    bool is_over = why == KX_WAKE_STOPPING || kx_clock_monotonic_ms() >= w->until_ms;
    /* A step of a running job concerns nobody who waits for its end. */
    if (!is_over) kx_queue_live(w->api->queue, w->id, &live);
    if (live.is_running) {
        wait_more(exchange, w);
        return;
    }
    if (kx_api_read_prediction(w->api, exchange, w->id, &prediction, &found, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (!found)
        kx_answer_error(exchange, 404, "Prediction not found");
    else if (kx_job_state_ended(prediction.state) || (is_over && w->what == KX_WAITING_LONG_POLL))
        kx_api_answer_prediction(w->api, exchange, &prediction);
    else if (is_over)
        answer_sync_timeout(exchange, w, &prediction);
    else
        wait_more(exchange, w);
}

void kx_api_wait(kx_api *api, kx_exchange *exchange, const char *id, int64_t window_ms, kx_waiting_for what)
{
    kx_error err = {0};
    void *memory = NULL;
    if (kx_arena_take(kx_exchange_arena(exchange), sizeof(waiting), &memory, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    waiting *w = memory;
    *w = (waiting){
        .api = api, .window_ms = window_ms, .until_ms = kx_clock_monotonic_ms() + window_ms, .what = what};
    snprintf(w->id, sizeof w->id, "%s", id);
    look(exchange, w, KX_WAKE_NOTIFIED);
}
