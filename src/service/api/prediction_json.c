#include "service/api/prediction_json.h"

#include "base/clock.h"
#include "service/api/submitted_pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *kx_prediction_input_text(const kx_prediction_input *input)
{
    json_t *record = json_pack("{s:O, s:s, s:I}", "parameters", input->parameters, "base_url",
                               input->base_url, "seed", (json_int_t)input->seed);
    char *text = record == NULL ? NULL : json_dumps(record, JSON_COMPACT);
    json_decref(record);
    return text;
}

json_t *kx_file_url_json(const char *base_url, const char *token, const char *suffix)
{
    return json_sprintf("%s/files/%s.%s", base_url, token, suffix);
}

json_t *kx_text_json(const char *text)
{
    json_t *string = json_string(text == NULL ? "" : text);
    return string != NULL ? string : json_string("(text that is not UTF-8)");
}

typedef struct view {
    const kx_prediction *prediction;
    const kx_prediction_now *now;
    const char *base_url;
    json_t *record; /* kx_prediction.input, parsed */
    json_t *object; /* what is being made */
} view;

/* NULL values (memory) make the whole object fail at the end. */
static void put(view *v, const char *name, json_t *value)
{
    if (v->object == NULL || json_object_set_new(v->object, name, value) == 0) return;
    json_decref(v->object);
    v->object = NULL;
}

static void put_time(view *v, const char *name, int64_t wall_ns)
{
    char text[KX_CLOCK_TEXT_BYTES];
    if (wall_ns == 0) return;
    kx_clock_format(wall_ns, text);
    put(v, name, json_string(text));
}

static json_t *outputs_json(const view *v)
{
    json_t *list = json_array();
    json_t *records = json_loads(v->prediction->outputs, 0, NULL);
    size_t index;
    json_t *record;
    json_array_foreach(records, index, record)
    {
        const char *token = json_string_value(json_object_get(record, "file"));
        const char *format = json_string_value(json_object_get(record, "format"));
        if (token == NULL || format == NULL) continue;
        json_array_append_new(list, kx_file_url_json(v->base_url, token, format));
    }
    json_decref(records);
    return list;
}

static json_t *nsfw_json(size_t outputs)
{
    json_t *list = json_array();
    for (size_t i = 0; i < outputs; i++) json_array_append_new(list, json_false());
    return list;
}

static json_t *urls_json(const view *v)
{
    const char *base = v->base_url, *id = v->prediction->id;
    return json_pack("{s:o, s:o, s:o}", "get", json_sprintf("%s/api/v3/predictions/%s/result", base, id),
                     "cancel", json_sprintf("%s/api/v3/predictions/%s/cancel", base, id), "stream",
                     json_sprintf("%s/api/v3/predictions/%s/stream", base, id));
}

/* Everything that clients read: each name with its one type. */
static void put_contract(view *v)
{
    const kx_prediction *p = v->prediction;
    json_t *outputs = outputs_json(v);
    /* The engine's time does not jump; wall time is for jobs that did not come so far. */
    int64_t run_ms = p->inference_ms;
    if (run_ms == 0 && p->started_ns > 0 && p->finished_ns > p->started_ns)
        run_ms = (p->finished_ns - p->started_ns) / 1000000;
    put(v, "id", json_string(p->id));
    put(v, "model", json_string(p->model));
    put(v, "has_nsfw_contents", nsfw_json(json_array_size(outputs)));
    put(v, "outputs", outputs);
    put(v, "urls", urls_json(v));
    put(v, "status", json_string(kx_job_state_name(p->state)));
    put_time(v, "created_at", p->created_ns);
    put(v, "error", kx_text_json(p->error));
    put(v, "code", json_integer(p->code));
    put(v, "executionTime", json_integer(run_ms));
    put(v, "execution_time", json_integer(run_ms));
    put(v, "timings", json_pack("{s:I}", "inference", (json_int_t)p->inference_ms));
}

static json_t *seeds_json(const view *v)
{
    json_int_t first = json_integer_value(json_object_get(v->record, "seed"));
    json_t *list = json_array();
    for (unsigned i = 0; i < v->prediction->num_images; i++)
        json_array_append_new(list, json_integer(first + i));
    return list;
}

/* What the worker told at the end (queue.h). */
static void put_details(view *v, const json_t *details)
{
    static const char *const names[] = {"seeds",     "sizes",      "references", "stage_timings", "tokens",
                                        "precision", "kernel_set", "resumed",    "memory",        "cache"};
    put(v, "seeds", seeds_json(v));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *value = json_object_get(details, names[i]);
        if (value != NULL) put(v, names[i], json_incref(value));
    }
}

/* Those of the submit, then those of the work. */
static json_t *warnings_json(const view *v, const json_t *details)
{
    const char *text = v->prediction->warnings;
    json_t *list = json_loads(text == NULL ? "[]" : text, 0, NULL);
    if (!json_is_array(list)) {
        json_decref(list);
        list = json_array();
    }
    json_t *more = json_object_get(details, "warnings");
    if (json_is_array(more)) json_array_extend(list, more);
    return list;
}

static void put_progress(view *v)
{
    const kx_prediction *p = v->prediction;
    const kx_live *live = v->now == NULL ? NULL : &v->now->live;
    if (kx_job_state_ended(p->state)) {
        if (p->state == KX_JOB_COMPLETED) put(v, "progress", json_real(1));
        return;
    }
    bool is_running = p->state == KX_JOB_PROCESSING && live != NULL && live->is_running;
    put(v, "progress", json_real(is_running ? live->progress : 0));
    if (is_running) {
        put(v, "stage", json_string(live->stage == NULL ? "" : live->stage));
        put(v, "step", json_integer(live->step));
        put(v, "total_steps", json_integer(live->total_steps));
        if (live->eta_ms >= 0) put(v, "eta_ms", json_integer(live->eta_ms));
    } else if (v->now != NULL && v->now->has_position) {
        put(v, "queue_position", json_integer(v->now->queue_position));
        if (v->now->wait_ms >= 0) put(v, "eta_ms", json_integer(v->now->wait_ms));
    }
}

static void put_additions(view *v)
{
    static const char *const charges[] = {[KX_CHARGE_RESERVED] = "reserved",
                                          [KX_CHARGE_CAPTURED] = "captured",
                                          [KX_CHARGE_RELEASED] = "released"};
    const kx_prediction *p = v->prediction;
    json_t *details = json_loads(p->details == NULL ? "{}" : p->details, 0, NULL);
    put(v, "warnings", warnings_json(v, details));
    put(v, "price", json_real((double)p->price_micro / 1e6));
    put(v, "charge", json_string(charges[p->charge]));
    put(v, "num_images", json_integer(p->num_images));
    put(v, "attempts", json_integer(p->attempts));
    put_time(v, "started_at", p->started_ns);
    put_time(v, "finished_at", p->finished_ns);
    put_details(v, details);
    put_progress(v);
    json_decref(details);
}

/* Inline pictures were stored as paths, so that they follow the address that we are reached by. */
static json_t *shown_picture(const view *v, const json_t *value)
{
    char token[33];
    const char *text = json_string_value(value);
    if (text == NULL) return json_null();
    if (strncmp(text, "/files/", 7) == 0 && kx_file_url_token(text, token))
        return json_sprintf("%s%s", v->base_url, text);
    return json_string(text);
}

static void put_input(view *v)
{
    json_t *input = json_copy(json_object_get(v->record, "parameters"));
    json_t *image = json_object_get(input, "image"), *images = json_object_get(input, "images");
    if (image != NULL) json_object_set_new(input, "image", shown_picture(v, image));
    if (images != NULL) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(images); i++)
            json_array_append_new(list, shown_picture(v, json_array_get(images, i)));
        json_object_set_new(input, "images", list);
    }
    put(v, "input", input);
}

json_t *kx_prediction_to_json(const kx_prediction *prediction, const kx_prediction_now *now,
                              const char *base_url, bool with_input)
{
    view v = {prediction, now, base_url, json_loads(prediction->input, 0, NULL), json_object()};
    if (v.base_url == NULL) v.base_url = json_string_value(json_object_get(v.record, "base_url"));
    if (v.base_url == NULL) v.base_url = "";
    put_contract(&v);
    put_additions(&v);
    if (with_input) put_input(&v);
    json_decref(v.record);
    return v.object;
}
