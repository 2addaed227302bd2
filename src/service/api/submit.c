/* One submit: the model, the rate, the parameters, the pictures, the job; then the answer, at once or when it
 * has ended. */
#include "service/api/api_state.h"
#include "service/api/facts.h"
#include "service/api/handlers.h"
#include "service/api/prediction_view.h"
#include "service/api/submitted_pictures.h"
#include "service/api/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDEMPOTENCY_KEY_MAX = 255, QUEUE_FULL_RETRY_S = 10 };
static const int64_t join_window_ns = 60LL * 1000000000;

typedef struct submission {
    kx_api *api;
    kx_exchange *exchange;
    const kx_api_model *model;
    kx_parameters parameters;
    kx_job_request request;
    const char *idempotency_key;
    const char *webhook;
    char hash[KX_SHA256_HEX];
    int64_t window_ms; /* of the wait; 0: none */
    kx_error err;
} submission;

/* Each step returns false when it has answered. */

static bool refuse(submission *s)
{
    kx_answer_failure(s->exchange, &s->err);
    return false;
}

static bool find_model(submission *s)
{
    const char *name = kx_exchange_parameter(s->exchange, "model");
    s->model = kx_api_model_find(name == NULL ? "" : name);
    if (s->model == NULL) {
        kx_answer_error(s->exchange, 400, "product not found: %s", name == NULL ? "" : name);
        return false;
    }
    kx_exchange_log(s->exchange, "model", s->model->id);
    return true;
}

static bool take_rate(submission *s)
{
    const kx_key *key = kx_exchange_key(s->exchange);
    unsigned per_minute =
        key->submits_per_minute > 0 ? key->submits_per_minute : s->api->settings->submits_per_minute;
    unsigned retry_s = 0;
    char text[16];
    if (kx_rate_take(s->api->rate, key->id, per_minute, kx_clock_monotonic_ms(), &retry_s)) return true;
    snprintf(text, sizeof text, "%u", retry_s);
    kx_answer_header(s->exchange, "Retry-After", text);
    kx_answer_error(s->exchange, 429, "too many submits: at most %u a minute are expected, try again in %u s",
                    per_minute, retry_s);
    return false;
}

static bool read_parameters(submission *s)
{
    kx_parameter_limits limits;
    json_t *body = kx_exchange_json(s->exchange, false);
    if (body == NULL) return false;
    kx_facts_limits(s->api->queue, &limits);
    if (kx_parameters_read(&s->parameters, body, s->model, &limits, &s->err) != KX_OK) return refuse(s);
    return true;
}

/* Some clients send ?webhook=URL without escaping it; then all that follows is the URL's. */
static const char *query_webhook(kx_exchange *exchange)
{
    const char *text = kx_exchange_query_text(exchange);
    if (strncmp(text, "webhook=http", 12) == 0 && strstr(text, "://") != NULL)
        return text + strlen("webhook=");
    return kx_exchange_query(exchange, "webhook");
}

static bool read_webhook(submission *s)
{
    const char *query = query_webhook(s->exchange);
    s->webhook = query != NULL && query[0] != '\0' ? query : s->parameters.webhook;
    if (s->webhook == NULL) {
        s->webhook = "";
        return true;
    }
    if (s->parameters.base64) {
        kx_answer_error(s->exchange, 400,
                        "webhook callback does not support base64 output, please use the normal API to use "
                        "base64 output");
        return false;
    }
    if (kx_fetch_check_url(s->api->fetch, s->webhook, &s->err) == KX_OK) return true;
    kx_error_prefix(&s->err, "webhook");
    return refuse(s);
}

/* "wait=20" among the preferences of a Prefer header; -1: none. */
static int64_t preferred_wait_ms(const char *header)
{
    const char *found = header == NULL ? NULL : strstr(header, "wait");
    if (found == NULL || (found[4] != '=' && found[4] != '\0' && found[4] != ',' && found[4] != ';'))
        return -1;
    if (found[4] != '=') return INT64_MAX;
    long seconds = strtol(found + 5, NULL, 10);
    if (seconds > INT64_MAX / 1000) return INT64_MAX;
    return seconds < 0 ? 0 : (int64_t)seconds * 1000;
}

static void read_headers(submission *s)
{
    int64_t window_ms = s->api->settings->sync_window_ms;
    int64_t preferred_ms = preferred_wait_ms(kx_exchange_header(s->exchange, "Prefer"));
    s->idempotency_key = kx_exchange_header(s->exchange, "Idempotency-Key");
    if (s->parameters.sync) s->window_ms = window_ms;
    if (preferred_ms < 0) return;
    s->window_ms = preferred_ms < window_ms ? preferred_ms : window_ms;
    char applied[40];
    snprintf(applied, sizeof applied, "wait=%lld", (long long)(s->window_ms / 1000));
    kx_answer_header(s->exchange, "Preference-Applied", applied);
}

static bool check_idempotency_key(submission *s)
{
    size_t length = s->idempotency_key == NULL ? 1 : strlen(s->idempotency_key);
    if (length > 0 && length <= IDEMPOTENCY_KEY_MAX) return true;
    kx_answer_error(s->exchange, 400, "Idempotency-Key: from 1 to %d bytes are expected, %zu are found",
                    IDEMPOTENCY_KEY_MAX, length);
    return false;
}

/* Everything that makes two submits of one key equal. */
static bool hash_body(submission *s)
{
    kx_sha256 *hash = NULL;
    size_t bytes = 0;
    const void *body = kx_exchange_body(s->exchange, &bytes);
    if (kx_sha256_open(&hash, &s->err) != KX_OK) return refuse(s);
    kx_sha256_add(hash, s->model->id, strlen(s->model->id) + 1);
    kx_sha256_add(hash, s->webhook, strlen(s->webhook) + 1);
    if (bytes > 0) kx_sha256_add(hash, body, bytes);
    kx_sha256_close(hash, s->hash);
    return true;
}

static bool take_pictures(submission *s)
{
    bool within_quota = true;
    if (kx_submitted_pictures_take(s->api, s->exchange, &s->parameters, &s->request, &within_quota,
                                   &s->err) != KX_OK)
        return refuse(s);
    if (within_quota) return true;
    kx_answer_error(s->exchange, 429, "Upload quota exceeded");
    return false;
}

static bool draw_seed(submission *s)
{
    uint32_t random = 0;
    if (s->parameters.seed >= 0) {
        s->request.seed = (uint64_t)s->parameters.seed;
        return true;
    }
    if (kx_random_bytes(&random, sizeof random, &s->err) != KX_OK) return refuse(s);
    s->request.seed = random & (uint32_t)KX_SEED_LIMIT;
    return true;
}

static void fill_request(submission *s)
{
    const kx_parameters *p = &s->parameters;
    kx_job_request *request = &s->request;
    request->prompt = p->prompt;
    request->width_px = p->size.width_px;
    request->height_px = p->size.height_px;
    request->steps = (int)p->steps;
    request->guidance = p->guidance;
    request->num_images = (unsigned)p->num_images;
    request->format = (kx_picture_format)p->format;
}

static bool is_prepared(const kx_job_request *request)
{
    for (size_t i = 0; i < request->num_images_in; i++)
        if (request->images[i].blob[0] == '\0') return false;
    return true;
}

typedef struct texts { /* the JSON columns of the record */
    char *input, *request, *warnings;
} texts;

static bool make_texts(submission *s, texts *made)
{
    json_t *request = kx_job_request_to_json(&s->request);
    kx_prediction_input input = {s->parameters.input, kx_exchange_base_url(s->exchange), s->request.seed};
    made->input = kx_prediction_input_text(&input);
    made->request = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
    made->warnings = json_dumps(s->parameters.warnings, JSON_COMPACT);
    json_decref(request);
    if (made->input != NULL && made->request != NULL && made->warnings != NULL) return true;
    kx_answer_error(s->exchange, 503, "out of memory");
    return false;
}

static kx_status store_job(submission *s, const texts *made, char id[33], kx_submit_outcome *outcome)
{
    const kx_settings *settings = s->api->settings;
    kx_submit submit = {
        .prediction = {.key_id = kx_exchange_key(s->exchange)->id,
                       .model = s->model->id,
                       .state = KX_JOB_CREATED,
                       .input = made->input,
                       .request = made->request,
                       .warnings = made->warnings,
                       .outputs = "[]",
                       .details = "{}",
                       .error = "",
                       .price_micro = kx_api_model_price(s->model, settings) * s->parameters.num_images,
                       .num_images = s->request.num_images,
                       .base64 = s->parameters.base64,
                       .prepared = is_prepared(&s->request),
                       .webhook = s->webhook,
                       .body_hash = s->hash},
        .idempotency_key = s->idempotency_key,
        .is_waited = s->window_ms > 0,
        .max_queued = settings->max_queued,
        .join_window_ns = join_window_ns,
    };
    kx_answered_settle(s->api->answered); /* whom a client left a moment ago can be joined */
    return kx_store_submit(s->api->store, &submit, id, outcome, &s->err);
}

static bool outcome_is_a_job(submission *s, kx_submit_outcome outcome)
{
    char text[16];
    switch (outcome) {
    case KX_SUBMIT_NEW:
    case KX_SUBMIT_JOINED:
        return true;
    case KX_SUBMIT_NO_CREDIT:
        kx_answer_error(s->exchange, 400, "Insufficient credits. Please top up.");
        break;
    case KX_SUBMIT_KEY_REUSED:
        kx_answer_error(s->exchange, 422,
                        "Idempotency-Key: it was used for another request within the last day");
        break;
    case KX_SUBMIT_QUEUE_FULL:
        snprintf(text, sizeof text, "%d", QUEUE_FULL_RETRY_S);
        kx_answer_header(s->exchange, "Retry-After", text);
        kx_answer_error(s->exchange, 503, "the queue is full: at most %u jobs may wait",
                        s->api->settings->max_queued);
        break;
    }
    return false;
}

static void answer_job(submission *s, const char *id)
{
    kx_prediction prediction = {0};
    bool found = false;
    if (s->window_ms > 0) {
        kx_api_wait(s->api, s->exchange, id, s->window_ms, KX_WAITING_SYNC);
        return;
    }
    if (kx_api_read_prediction(s->api, s->exchange, id, &prediction, &found, &s->err) != KX_OK)
        kx_answer_failure(s->exchange, &s->err);
    else if (!found)
        kx_answer_error(s->exchange, 404, "Prediction not found");
    else
        kx_api_answer_prediction(s->api, s->exchange, &prediction);
}

static void submit_job(submission *s)
{
    texts made = {0};
    char id[33] = "";
    kx_submit_outcome outcome = KX_SUBMIT_NEW;
    if (!make_texts(s, &made)) goto out;
    if (store_job(s, &made, id, &outcome) != KX_OK) {
        kx_answer_failure(s->exchange, &s->err);
        goto out;
    }
    if (!outcome_is_a_job(s, outcome)) goto out;
    kx_exchange_log(s->exchange, "prediction", id);
    if (outcome == KX_SUBMIT_JOINED) kx_answer_header(s->exchange, "Idempotency-Replayed", "true");
    kx_answered_watch(s->api->answered, s->exchange, id, outcome == KX_SUBMIT_JOINED);
    if (outcome == KX_SUBMIT_NEW) kx_queue_wake(s->api->queue);
    answer_job(s, id);
out:
    free(made.input);
    free(made.request);
    free(made.warnings);
}

void kx_handle_submit(kx_exchange *exchange, void *user)
{
    submission s = {.api = user, .exchange = exchange};
    if (find_model(&s) && take_rate(&s) && read_parameters(&s) && read_webhook(&s)) {
        read_headers(&s);
        fill_request(&s);
        if (check_idempotency_key(&s) && hash_body(&s) && take_pictures(&s) && draw_seed(&s)) submit_job(&s);
    }
    kx_parameters_free(&s.parameters);
}
