/* Whether the service lives, whether it can work, and what its limits are. */
#include "base/limits.h"
#include "service/api/api_state.h"
#include "service/api/facts.h"
#include "service/api/handlers.h"

void kx_handle_healthz(kx_exchange *exchange, void *user)
{
    (void)user;
    kx_answer_json(exchange, 200, json_pack("{s:s, s:s}", "status", "ok", "version", kx_version()));
}

void kx_handle_readyz(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_model_facts facts = {0};
    kx_error err = {0};
    const char *problem = NULL;
    bool may_know = kx_exchange_is_operator(exchange); /* what failed names paths */
    kx_queue_model_facts(api->queue, &facts);
    if (kx_store_check(api->store, &err) != KX_OK)
        problem = may_know ? err.message : "the store does not work";
    else if (!facts.is_ready && facts.problem == NULL)
        problem = "the model is being opened";
    else if (!facts.is_ready)
        problem = may_know ? facts.problem : "the model cannot be opened";
    if (problem != NULL) kx_answer_header(exchange, "Retry-After", "5");
    kx_answer_json(exchange, problem == NULL ? 200 : 503,
                   problem == NULL ? json_pack("{s:s}", "status", "ready")
                                   : json_pack("{s:s, s:s}", "status", "not ready", "problem", problem));
}

static json_t *model_json(kx_api *api)
{
    kx_model_facts facts = {0};
    kx_parameter_limits limits;
    kx_queue_model_facts(api->queue, &facts);
    kx_facts_to_limits(&facts, &limits);
    return json_pack("{s:b, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:[i, i], s:i, s:f, s:i, s:i}", "ready",
                     facts.is_ready, "name", facts.name == NULL ? "" : facts.name, "licence",
                     facts.licence == NULL ? "" : facts.licence, "kernel_set",
                     facts.kernel_set == NULL ? "" : facts.kernel_set, "precision",
                     facts.precision == NULL ? "" : facts.precision, "min_side_px", limits.min_side_px,
                     "max_side_px", limits.max_side_px, "native_area_px", (json_int_t)facts.native_area_px,
                     "native_size", facts.native.width_px, facts.native.height_px, "default_steps",
                     limits.default_steps, "default_guidance", limits.default_guidance, "max_text_tokens",
                     (int)facts.max_text_tokens, "threads", (int)facts.threads);
}

static json_t *request_limits_json(const kx_settings *s)
{
    return json_pack("{s:i, s:i, s:i, s:[i, i], s:[i, i], s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:i, s:i}",
                     "images", KX_LIMIT_REFERENCES, "num_images", KX_IMAGES_LIMIT, "prompt_bytes",
                     (int)KX_LIMIT_PROMPT_BYTES, "num_inference_steps", 1, 50, "guidance_scale", 1, 20,
                     "picture_bytes", (int)KX_LIMIT_PICTURE_BYTES, "picture_side_px",
                     KX_LIMIT_PICTURE_SIDE_PX, "picture_pixels", (int)KX_LIMIT_PICTURE_PIXELS,
                     "sync_window_ms", (int)s->sync_window_ms, "wait_s", (int)s->max_wait_s, "concurrency",
                     (int)s->concurrency, "job_deadline_s", (json_int_t)s->job_deadline_s, "queued_jobs",
                     (int)s->max_queued, "submits_per_minute", (int)s->submits_per_minute);
}

static json_t *transfer_limits_json(const kx_settings *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i}", "body_bytes",
                     (json_int_t)s->max_body_bytes, "upload_bytes", (json_int_t)s->max_upload_bytes,
                     "upload_quota_bytes", (json_int_t)s->upload_quota_bytes, "retention_s",
                     (json_int_t)s->retention_s, "fetch_bytes", (json_int_t)s->fetch_max_bytes,
                     "fetch_timeout_s", (int)s->fetch_timeout_s, "fetch_redirects", (int)s->fetch_redirects,
                     "webhook_timeout_s", (int)s->webhook_timeout_s, "connections", (int)s->max_connections,
                     "connections_per_address", (int)s->max_connections_per_address, "header_timeout_s",
                     (int)s->header_timeout_s);
}

void kx_handle_capabilities(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    size_t count = 0;
    const kx_api_model *models = kx_api_models(&count);
    json_t *ids = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(ids, json_string(models[i].id));
    json_t *inputs = json_pack("[s, s, s, s, s, s]", "jpeg", "png", "webp", "gif", "bmp", "tiff");
    json_t *features = json_pack("[s, s, s, s, s, s, s, s]", "sync", "long_poll", "stream", "preview",
                                 "cancel", "webhook", "idempotency_key", "base64_output");
    kx_api_answer(exchange, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:[s, s, s], s:o}", "version",
                                      kx_version(), "models", ids, "model", model_json(api), "request",
                                      request_limits_json(api->settings), "transfer",
                                      transfer_limits_json(api->settings), "input_formats", inputs,
                                      "output_formats", "jpeg", "png", "webp", "features", features));
}
