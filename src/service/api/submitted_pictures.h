/* The pictures of a submit become what the worker takes: inline ones are decoded once into blobs and get a
 * file of their own, our own URLs are read from the store, other URLs are left to be fetched. */
#pragma once

#include "service/api/api.h"
#include "service/api/submit_parameters.h"

typedef enum kx_picture_source {
    KX_PICTURE_URL = 0,
    KX_PICTURE_DATA_URI,
    KX_PICTURE_BASE64
} kx_picture_source;

/* How `text` names a picture. Base64 is what decodes to the first bytes of a picture; anything else that is
 * no data URI counts as an URL, and fails when it is fetched. */
kx_picture_source kx_picture_source_of(const char *text);
/* The base64 part of a data URI; NULL with a reason in `err` when it has none. */
const char *kx_data_uri_payload(const char *text, kx_error *err);
/* The token of ".../files/TOKEN.suffix", from whatever host; false: not such an URL. */
bool kx_file_url_token(const char *url, char token[33]);

/* Fills request->images, and parameters->input with what is to be shown. KX_ERR_INPUT is for the client;
 * *within_quota false: the key's quota is used up (nothing more is to be done). */
kx_status kx_submitted_pictures_take(kx_api *api, kx_exchange *exchange, kx_parameters *parameters,
                                     kx_job_request *request, bool *within_quota, kx_error *err);

/* A new file of the exchange's key for `blob`, kept as long as settings say. */
kx_status kx_api_add_file(kx_api *api, kx_exchange *exchange, const kx_stored_file *file, char token[33],
                          bool *within_quota, kx_error *err);
