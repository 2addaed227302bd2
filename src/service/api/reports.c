/* Spend reports: the ledger row by row, and sums by model and day. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"

static json_t *ledger_row_json(const kx_ledger_row *row)
{
    json_t *item =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:s}", "uuid", row->uuid, "billing_type", row->kind,
                  "price", kx_api_dollars(row->price_micro), "amount", kx_api_dollars(row->amount_micro),
                  "created_at", kx_api_time(row->at_ns), "access_key_name",
                  row->key_name == NULL ? "" : row->key_name, "access_key_uuid",
                  row->key_uuid == NULL ? "" : row->key_uuid, "note", row->note == NULL ? "" : row->note);
    if (row->prediction != NULL && row->prediction[0] != '\0')
        json_object_set_new(item, "prediction",
                            json_pack("{s:s, s:s, s:s}", "uuid", row->prediction, "model_uuid",
                                      row->model == NULL ? "" : row->model, "status",
                                      row->status == NULL ? "" : row->status));
    return item;
}

static kx_status read_ledger_query(const json_t *body, kx_ledger_query *query, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_api_read_page(body, &query->page, &query->page_size, err));
    KX_TRY(kx_api_read_text(body, "billing_type", &query->kind, err));
    KX_TRY(kx_api_read_text(body, "model_uuid", &query->model, err));
    KX_TRY(kx_api_read_time(body, "start_time", &query->after_ns, err));
    KX_TRY(kx_api_read_time(body, "end_time", &query->before_ns, err));
out:
    return status;
}

void kx_handle_billings(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_ledger_query query = {.key_id = kx_exchange_key(exchange)->id, .page = 1, .page_size = 20};
    kx_ledger_row *rows = NULL;
    size_t count = 0;
    bool more = false;
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, true);
    if (body == NULL) return;
    if (read_ledger_query(body, &query, &err) != KX_OK ||
        kx_store_ledger(api->store, &query, kx_exchange_arena(exchange), &rows, &count, &more, &err) !=
            KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(items, ledger_row_json(&rows[i]));
    kx_api_answer(exchange,
                  json_pack("{s:i, s:b, s:o}", "page", (int)query.page, "has_more", more, "items", items));
}

static json_t *usage_json(const kx_usage *usage)
{
    json_t *models = json_array(), *days = json_array();
    for (size_t i = 0; i < usage->num_models; i++)
        json_array_append_new(models, json_pack("{s:s, s:o, s:I, s:I}", "model_uuid", usage->models[i].name,
                                                "total_cost", kx_api_dollars(usage->models[i].amount_micro),
                                                "total_count", (json_int_t)usage->models[i].count,
                                                "success_count", (json_int_t)usage->models[i].completed));
    for (size_t i = 0; i < usage->num_days; i++)
        json_array_append_new(days, json_pack("{s:s, s:o, s:I}", "date", usage->days[i].name, "amount",
                                              kx_api_dollars(usage->days[i].amount_micro), "count",
                                              (json_int_t)usage->days[i].count));
    json_t *summary =
        json_pack("{s:o, s:I, s:I}", "total_cost", kx_api_dollars(usage->total_micro), "total_requests",
                  (json_int_t)usage->requests, "success_requests", (json_int_t)usage->completed);
    return json_pack("{s:o, s:o, s:o}", "per_model_usage", models, "daily_usage", days, "summary", summary);
}

void kx_handle_usage(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    const char *model = NULL;
    int64_t after_ns = 0, before_ns = 0;
    kx_usage usage = {0};
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, true);
    if (body == NULL) return;
    if (kx_api_read_text(body, "model_uuid", &model, &err) != KX_OK ||
        kx_api_read_time(body, "start_time", &after_ns, &err) != KX_OK ||
        kx_api_read_time(body, "end_time", &before_ns, &err) != KX_OK ||
        kx_store_usage(api->store, kx_exchange_key(exchange)->id, model, after_ns, before_ns,
                       kx_exchange_arena(exchange), &usage, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else
        kx_api_answer(exchange, usage_json(&usage));
}
