/* A prediction as its reader sees it now: the record, what is live, and base64 where that was asked for. */
#pragma once

#include "service/api/api.h"
#include "service/api/prediction_json.h"
#include "service/http/http.h"

void kx_api_prediction_now(kx_api *api, const kx_prediction *prediction, kx_prediction_now *now);

/* The `data` of a result. NULL with `err` filled. `base_url` NULL: that of the submit. */
json_t *kx_api_prediction_view(kx_api *api, const kx_prediction *prediction, const char *base_url,
                               kx_error *err);

/* Answers with the result, or with the failure. */
void kx_api_answer_prediction(kx_api *api, kx_exchange *exchange, const kx_prediction *prediction);
