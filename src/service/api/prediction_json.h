/* The prediction object of the contract, made in one place for results, submits, lists, streams and webhooks.
 * The types are what clients depend on: see docs/internals/api.md. */
#pragma once

#include "service/queue/queue.h"
#include "service/store/store.h"

#include <jansson.h>

typedef struct kx_prediction_now { /* what the store does not know */
    bool has_position;
    unsigned queue_position;
    int64_t wait_ms; /* until it begins; -1: not known */
    kx_live live;
} kx_prediction_now;

/* kx_prediction.input as the contract stores it: what was submitted, and what no other column holds. */
typedef struct kx_prediction_input {
    json_t *parameters;
    const char *base_url; /* of the submit: a webhook has no request of its own to tell how we are reached */
    uint64_t seed;
} kx_prediction_input;
/* malloc'ed; NULL when memory is out. */
char *kx_prediction_input_text(const kx_prediction_input *input);

/* `now` may be NULL. `base_url` NULL: that of the submit. NULL when memory is out or the record is damaged.
 */
json_t *kx_prediction_to_json(const kx_prediction *prediction, const kx_prediction_now *now,
                              const char *base_url, bool with_input);

/* "BASE/files/TOKEN.suffix". NULL when memory is out. */
json_t *kx_file_url_json(const char *base_url, const char *token, const char *suffix);

/* A string from outside, also where it is no UTF-8 or NULL. */
json_t *kx_text_json(const char *text);
