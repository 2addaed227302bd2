/* The catalogue: /api/v3/models, one model by id, and the public routes that two clients read. Prices too. */
#include "service/api/api_state.h"
#include "service/api/facts.h"
#include "service/api/handlers.h"
#include "service/api/parameters_schema.h"

#include <string.h>

static json_t *api_schema(kx_api *api, const kx_api_model *model, const char *base_url)
{
    kx_parameter_limits limits;
    kx_facts_limits(api->queue, &limits);
    return json_pack("{s:[{s:s, s:s, s:s, s:o, s:o}]}", "api_schemas", "type", "model_run", "method", "POST",
                     "server", base_url, "api_path", json_sprintf("/api/v3/%s", model->id), "request_schema",
                     kx_parameters_catalogue_schema(model, &limits));
}

static json_t *model_json(kx_api *api, const kx_api_model *model, const char *base_url)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:i, s:o}", "model_id", model->id, "name", model->id,
                     "base_price", kx_api_dollars(kx_api_model_price(model, api->settings)), "description",
                     model->description, "type", "image-to-image", "sort_order", model->sort_order,
                     "api_schema", api_schema(api, model, base_url));
}

void kx_handle_models(kx_exchange *exchange, void *user)
{
    size_t count = 0;
    const kx_api_model *models = kx_api_models(&count);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, model_json(user, &models[i], kx_exchange_base_url(exchange)));
    kx_api_answer(exchange, list);
}

/* The model that the path names; NULL: answered. */
static const kx_api_model *named_model(kx_exchange *exchange)
{
    const char *name = kx_exchange_parameter(exchange, "model");
    const kx_api_model *model = kx_api_model_find(name == NULL ? "" : name);
    if (model == NULL) kx_answer_error(exchange, 404, "product not found: %s", name == NULL ? "" : name);
    return model;
}

void kx_handle_model(kx_exchange *exchange, void *user)
{
    const kx_api_model *model = named_model(exchange);
    if (model != NULL) kx_api_answer(exchange, model_json(user, model, kx_exchange_base_url(exchange)));
}

/* ---- Prices ---- */

static void answer_price(kx_api *api, kx_exchange *exchange, const char *model_field)
{
    const char *id = NULL;
    int64_t num_images = 1;
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL) return;
    const json_t *inputs = json_object_get(body, "inputs");
    if (kx_api_read_text(body, model_field, &id, &err) != KX_OK ||
        kx_parameters_read_num_images(inputs, &num_images, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    if (id == NULL) {
        kx_answer_error(exchange, 400, "%s: the name of a model is expected, nothing is found", model_field);
        return;
    }
    const kx_api_model *model = kx_api_model_find(id);
    if (model == NULL) {
        kx_answer_error(exchange, 400, "product not found: %.200s", id);
        return;
    }
    double price = (double)(kx_api_model_price(model, api->settings) * num_images) / 1e6;
    kx_api_answer(exchange, json_pack("{s:s, s:f, s:f, s:f, s:s}", "model_id", model->id, "price", price,
                                      "discounted_price", price, "unit_price", price, "currency", "USD"));
}

void kx_handle_price(kx_exchange *exchange, void *user)
{
    answer_price(user, exchange, "model_id");
}

/* ---- The public routes of the vendor's site ---- */

void kx_handle_center_types(kx_exchange *exchange, void *user)
{
    size_t count = 0;
    (void)user;
    kx_api_models(&count);
    kx_api_answer(exchange, json_pack("[{s:s, s:i}]", "type", "image-to-image", "count", (int)count));
}

void kx_handle_center_search(kx_exchange *exchange, void *user)
{
    const char *types = kx_exchange_query(exchange, "types");
    size_t count = 0;
    (void)user;
    const kx_api_model *models = kx_api_models(&count);
    json_t *items = json_array();
    if (types != NULL && types[0] != '\0' && strstr(types, "image-to-image") == NULL) count = 0;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(items,
                              json_pack("{s:s, s:s, s:s, s:s, s:s}", "model_name", models[i].id, "model_uuid",
                                        models[i].id, "description", models[i].description, "type",
                                        "image-to-image", "cover_url", ""));
    kx_api_answer(exchange, json_pack("{s:i, s:i, s:o}", "page", 1, "total", (int)count, "items", items));
}

void kx_handle_center_detail(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    const kx_api_model *model = named_model(exchange);
    if (model == NULL) return;
    kx_api_answer(exchange,
                  json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:s}", "model_uuid", model->id, "model_name",
                            model->id, "description", model->description, "type", "image-to-image",
                            "api_schema", api_schema(api, model, kx_exchange_base_url(exchange)),
                            "base_price", kx_api_dollars(kx_api_model_price(model, api->settings)),
                            "cover_url", ""));
}

void kx_handle_center_price(kx_exchange *exchange, void *user)
{
    answer_price(user, exchange, "model_uuid");
}
