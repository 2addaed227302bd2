/* The contract: thin handlers over store, blobs, fetch and queue, and the one table of routes that HTTP
 * serves.
 *
 *     KX_TRY(kx_api_open(&api, &parts, err));
 *     ... open the queue with kx_api_changed and kx_api_webhook_body ...
 *     ... open HTTP with kx_api_routes; both get `api` as user ...
 *     kx_api_connect(api, queue, http); // before either of them starts
 *     ... stop HTTP, then the queue ...
 *     kx_api_close(api); // notes what is still to be noted
 */
#pragma once

#include "service/common/settings.h"
#include "service/fetch/fetch.h"
#include "service/http/http.h"
#include "service/queue/queue.h"
#include "service/store/blobs.h"
#include "service/store/store.h"

typedef struct kx_api kx_api;

typedef struct kx_api_parts { /* borrowed */
    const kx_settings *settings;
    kx_clock *clock;
    kx_store *store;
    kx_blobs *blobs;
    kx_fetch *fetch;
} kx_api_parts;

kx_status kx_api_open(kx_api **api, const kx_api_parts *parts, kx_error *err);
void kx_api_connect(kx_api *api, kx_queue *queue, kx_http *http);
void kx_api_close(kx_api *api);

/* A link "/#signin=TOKEN" that signs a browser in with `key`, once. */
kx_status kx_api_offer_signin(kx_api *api, const char *key, char token[33], kx_error *err);

const kx_route *kx_api_routes(size_t *count);
/* For kx_http_parts: whether the path names an upload that was asked for and has not been made. */
bool kx_api_admit(kx_exchange *exchange, void *user);

/* For kx_queue_parts; `user` is the kx_api. */
void kx_api_changed(void *user, const char *prediction);
char *kx_api_webhook_body(void *user, const char *prediction, size_t *bytes);
