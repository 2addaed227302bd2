/* What the handlers share. Every member but `answered` and `rate` belongs to somebody else. */
#pragma once

#include "service/api/answered.h"
#include "service/api/api.h"
#include "service/http/rate.h"

#include <pthread.h>

struct kx_api {
    const kx_settings *settings;
    kx_clock *clock;
    kx_store *store;
    kx_blobs *blobs;
    kx_fetch *fetch;
    kx_queue *queue;
    kx_http *http;
    kx_rate *rate;
    kx_answered *answered;
    pthread_mutex_t signin_lock;           /* held for a copy alone */
    char signin_token[33], signin_key[64]; /* "" when there is no link, or it was used */
};

/* {"code": 200, "message": "success", "data": data}; takes over `data`, whose NULL is an answer of 503. */
void kx_api_answer(kx_exchange *exchange, json_t *data);

/* The exchange's key's own prediction, named by the path's {id}. Otherwise it has been answered (404, or the
 * store's failure) and false is returned. */
bool kx_api_own_prediction(kx_api *api, kx_exchange *exchange, kx_prediction *prediction);

/* The same by `id`, for callers that answer themselves. */
kx_status kx_api_read_prediction(kx_api *api, kx_exchange *exchange, const char *id,
                                 kx_prediction *prediction, bool *found, kx_error *err);

/* Pages of lists: `page` from 1 and `page_size` from 1 to 100 of `body`; what is absent keeps its value. */
kx_status kx_api_read_page(const json_t *body, unsigned *page, unsigned *page_size, kx_error *err);
/* An optional time; *wall_ns is left alone when it is absent, null or empty. */
kx_status kx_api_read_time(const json_t *body, const char *name, int64_t *wall_ns, kx_error *err);
/* An optional string; NULL when it is absent, null or empty. */
kx_status kx_api_read_text(const json_t *body, const char *name, const char **text, kx_error *err);
/* An optional integer, and an optional true or false; what is absent or null leaves the value alone. */
kx_status kx_api_read_count(const json_t *body, const char *name, unsigned least, unsigned most,
                            unsigned *count, kx_error *err);
kx_status kx_api_read_flag(const json_t *body, const char *name, bool *flag, kx_error *err);
/* An optional amount of US dollars of at most a million either way. */
kx_status kx_api_read_dollars(const json_t *body, const char *name, int64_t *micro, kx_error *err);

/* How much longer the file will be served; 0 or less: no longer. */
int64_t kx_api_file_seconds_left(kx_api *api, const kx_stored_file *file);

json_t *kx_api_dollars(int64_t micro);
json_t *kx_api_time(int64_t wall_ns);
