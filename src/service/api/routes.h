/* The one list of routes: what HTTP serves, and what OpenAPI says of it.
 *
 * method, path, access, body, quick, handler,
 *     summary ("": an alias, which OpenAPI leaves out), schema of the body, answer, query parameters
 *
 * The answer is the schema of `data` within the envelope; "=NAME" is a schema without one, "NAME[]" an array,
 * and what holds a slash is a content type. */
#pragma once

#include "service/http/http.h"

#define KX_ROUTES_OF_JOBS(X)                                                                                 \
    X("GET", "/api/v3/predictions/{id}/result", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_result,       \
      "State and result of a prediction", "", "Prediction", "wait")                                          \
    X("GET", "/api/v3/predictions/{id}/stream", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_stream,       \
      "Server-sent events: status, progress, preview, and the end", "", "text/event-stream", "")             \
    X("GET", "/api/v3/predictions/{id}/preview", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_preview,     \
      "The latest preview of a running prediction", "", "image/jpeg", "")                                    \
    X("GET", "/api/v3/predictions/{id}/deliveries", KX_ACCESS_READ, KX_BODY_NONE, false,                     \
      kx_handle_deliveries, "Webhook deliveries of a prediction, with every try", "", "Deliveries", "")      \
    X("POST", "/api/v3/predictions/{id}/redeliver", KX_ACCESS_SUBMIT, KX_BODY_NONE, false,                   \
      kx_handle_redeliver, "Send the webhook of an ended prediction again", "", "Queued", "")                \
    X("POST", "/api/v3/predictions/{id}/cancel", KX_ACCESS_SUBMIT, KX_BODY_NONE, false, kx_handle_cancel,    \
      "Cancel a prediction", "", "Prediction", "")                                                           \
    X("GET", "/api/v3/predictions/{id}", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_result,              \
      "The same as its result", "", "Prediction", "wait")                                                    \
    X("DELETE", "/api/v3/predictions/{id}", KX_ACCESS_SUBMIT, KX_BODY_NONE, false, kx_handle_delete_one,     \
      "Cancel a running prediction, delete an ended one", "", "Deleted", "")                                 \
    X("POST", "/api/v3/predictions/delete", KX_ACCESS_SUBMIT, KX_BODY_JSON, false, kx_handle_delete_many,    \
      "Delete predictions", "Ids", "DeletedCount", "")                                                       \
    X("POST", "/api/v3/predictions", KX_ACCESS_READ, KX_BODY_JSON, false, kx_handle_history,                 \
      "Predictions of this key, newest first", "HistoryQuery", "History", "")                                \
    X("GET", "/api/v3/predictions", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_history_get,              \
      "The same by query", "", "History",                                                                    \
      "page page_size model status created_after created_before include_inputs")

#define KX_ROUTES_OF_ACCOUNT(X)                                                                              \
    X("POST", "/api/v3/media/upload/binary", KX_ACCESS_SUBMIT, KX_BODY_FORM, false, kx_handle_upload,        \
      "Upload a picture as multipart/form-data, in a part named file", "Form", "Upload", "")                 \
    X("POST", "/api/v3/media/uploads", KX_ACCESS_SUBMIT, KX_BODY_JSON, false, kx_handle_ticket,              \
      "Ask for an upload: a URL to PUT a picture to", "UploadAsked", "UploadTicket", "")                     \
    X("PUT", "/uploads/{token}", KX_ACCESS_PUBLIC, KX_BODY_RAW, false, kx_handle_ticket_put,                 \
      "The bytes of an upload that was asked for", "Bytes", "UploadDone", "")                                \
    X("POST", "/api/v3/upload", KX_ACCESS_SUBMIT, KX_BODY_FORM, false, kx_handle_upload_old,                 \
      "The oldest form of the multipart upload", "Form", "UploadOld", "")                                    \
    X("GET", "/api/v3/balance", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_balance,                      \
      "US dollars that this key can spend", "", "Balance", "")                                               \
    X("POST", "/api/v3/model/price", KX_ACCESS_READ, KX_BODY_JSON, false, kx_handle_price,                   \
      "The price of a submit with these inputs", "PriceQuery", "Price", "")                                  \
    X("POST", "/api/v3/model/pricing", KX_ACCESS_READ, KX_BODY_JSON, false, kx_handle_price,                 \
      "The older name of the price", "PriceQuery", "Price", "")                                              \
    X("GET", "/api/v3/models", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_models,                        \
      "The catalogue, with a JSON Schema for each model", "", "Model[]", "")                                 \
    X("GET", "/api/v3/models/{model*}", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_model,                \
      "One model of the catalogue", "", "Model", "")                                                         \
    X("GET", "/api/v3/webhook/secret", KX_ACCESS_SUBMIT, KX_BODY_NONE, false, kx_handle_webhook_secret,      \
      "The secret that signs this key's webhooks", "", "Secret", "")                                         \
    X("POST", "/api/v3/webhook/secret", KX_ACCESS_SUBMIT, KX_BODY_NONE, false,                               \
      kx_handle_webhook_secret_rotate, "A new secret; the old one ends at once", "", "Secret", "")           \
    X("POST", "/api/v3/billings/search", KX_ACCESS_READ, KX_BODY_JSON, false, kx_handle_billings,            \
      "Rows of the ledger, newest first", "BillingsQuery", "Billings", "")                                   \
    X("POST", "/api/v3/user/usage_stats", KX_ACCESS_READ, KX_BODY_JSON, false, kx_handle_usage,              \
      "Spending by model and by day", "UsageQuery", "Usage", "")

#define KX_ROUTES_OF_ADMIN(X)                                                                                \
    X("GET", "/api/v3/admin/keys", KX_ACCESS_ADMIN, KX_BODY_NONE, false, kx_handle_keys_list, "Every key",   \
      "", "Keys", "")                                                                                        \
    X("POST", "/api/v3/admin/keys", KX_ACCESS_ADMIN, KX_BODY_JSON, false, kx_handle_keys_create,             \
      "Make a key; its value is told once", "KeyAsked", "KeyMade", "")                                       \
    X("DELETE", "/api/v3/admin/keys/{key}", KX_ACCESS_ADMIN, KX_BODY_NONE, false, kx_handle_keys_revoke,     \
      "Revoke a key, by uuid or name", "", "Key", "")                                                        \
    X("POST", "/api/v3/admin/keys/{key}/credit", KX_ACCESS_ADMIN, KX_BODY_JSON, false,                       \
      kx_handle_keys_credit, "Add US dollars to a key's balance", "Credit", "Key", "")                       \
    X("POST", "/api/v3/admin/keys/{key}/limits", KX_ACCESS_ADMIN, KX_BODY_JSON, false,                       \
      kx_handle_keys_limits, "Change a key's limits", "Limits", "Key", "")

#define KX_ROUTES_OF_SITE(X)                                                                                 \
    X("GET", "/center/default/api/v1/model_product/type_statistics", KX_ACCESS_PUBLIC, KX_BODY_NONE, true,   \
      kx_handle_center_types, "Types of models", "", "Type[]", "")                                           \
    X("GET", "/center/default/api/v1/model_product/search", KX_ACCESS_PUBLIC, KX_BODY_NONE, true,            \
      kx_handle_center_search, "Models of a type", "", "Products", "page page_size types")                   \
    X("GET", "/center/default/api/v1/model_product/detail/{model*}", KX_ACCESS_PUBLIC, KX_BODY_NONE, true,   \
      kx_handle_center_detail, "One model", "", "Product", "")                                               \
    X("POST", "/center/default/api/v1/model_product/calculate", KX_ACCESS_PUBLIC, KX_BODY_JSON_OF_ANYONE,    \
      false, kx_handle_center_price, "The price of a submit", "ProductPriceQuery", "Price", "")              \
    X("GET", "/files/{name}", KX_ACCESS_PUBLIC, KX_BODY_NONE, false, kx_handle_file, "A stored picture", "", \
      "image/*", "")                                                                                         \
    X("GET", "/capabilities", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, kx_handle_capabilities,                  \
      "Models, formats and every limit", "", "Capabilities", "")                                             \
    X("GET", "/healthz", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, kx_handle_healthz, "Lives", "", "=Health",    \
      "")                                                                                                    \
    X("GET", "/readyz", KX_ACCESS_PUBLIC, KX_BODY_NONE, false, kx_handle_readyz, "Can work", "", "=Health",  \
      "")                                                                                                    \
    X("GET", "/metrics", KX_ACCESS_METRICS, KX_BODY_NONE, false, kx_handle_metrics,                          \
      "Prometheus metrics, for loopback clients and admin keys", "", "text/plain", "")                       \
    X("GET", "/openapi.json", KX_ACCESS_PUBLIC, KX_BODY_NONE, false, kx_handle_openapi, "This description",  \
      "", "application/json", "")                                                                            \
    X("GET", "/llms.txt", KX_ACCESS_PUBLIC, KX_BODY_NONE, true, kx_handle_llms,                              \
      "The service in short, as text", "", "text/plain", "")                                                 \
    X("POST", "/api/v3/signin", KX_ACCESS_PUBLIC, KX_BODY_JSON_OF_ANYONE, false, kx_handle_signin,           \
      "The key of a first start's sign-in link, once", "SignIn", "SignedIn", "")                             \
    X("GET", "/", KX_ACCESS_PUBLIC, KX_BODY_NONE, false, kx_handle_front_page, "The playground", "",         \
      "text/html", "")                                                                                       \
    X("GET", "/web/{path*}", KX_ACCESS_PUBLIC, KX_BODY_NONE, false, kx_handle_web, "", "", "", "")

/* The last two take whatever is left below them. */
#define KX_ROUTE_LIST(X)                                                                                     \
    KX_ROUTES_OF_JOBS(X)                                                                                     \
    KX_ROUTES_OF_ACCOUNT(X)                                                                                  \
    KX_ROUTES_OF_ADMIN(X)                                                                                    \
    KX_ROUTES_OF_SITE(X)                                                                                     \
    X("POST", "/api/v2/media/upload/binary", KX_ACCESS_SUBMIT, KX_BODY_FORM, false, kx_handle_upload, "",    \
      "", "", "")                                                                                            \
    X("GET", "/api/v2/predictions/{id}/result", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_result, "",   \
      "", "", "")                                                                                            \
    X("GET", "/api/v2/predictions/{id}", KX_ACCESS_READ, KX_BODY_NONE, false, kx_handle_result, "", "", "",  \
      "")                                                                                                    \
    X("POST", "/api/v3/{model*}", KX_ACCESS_SUBMIT, KX_BODY_JSON, false, kx_handle_submit,                   \
      "Submit a prediction", "Input", "Prediction", "webhook")                                               \
    X("POST", "/api/v2/{model*}", KX_ACCESS_SUBMIT, KX_BODY_JSON, false, kx_handle_submit, "", "", "", "")

typedef struct kx_route_text { /* beside the kx_route of the same index */
    const char *summary, *body, *answer, *query;
} kx_route_text;

const kx_route_text *kx_api_route_texts(size_t *count);
