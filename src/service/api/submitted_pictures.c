#include "service/api/submitted_pictures.h"

#include "base/limits.h"
#include "service/api/api_state.h"
#include "service/api/picture_kind.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Enough base64 for the first bytes that tell a picture's kind. */
enum { HEAD_TEXT_BYTES = 64 };

static bool is_base64_picture(const char *text)
{
    char head[HEAD_TEXT_BYTES + 1];
    size_t length = 0;
    for (const char *at = text; *at != '\0' && length < HEAD_TEXT_BYTES; at++)
        if (!isspace((unsigned char)*at)) head[length++] = *at;
    if (length < 20) return false;
    length -= length % 4;
    kx_bytes bytes = {.cap = HEAD_TEXT_BYTES};
    kx_error err = {0};
    bool is_picture = kx_base64_decode(head, length, &bytes, &err) == KX_OK &&
                      kx_picture_kind_of(bytes.data, bytes.size) != NULL;
    kx_bytes_free(&bytes);
    return is_picture;
}

kx_picture_source kx_picture_source_of(const char *text)
{
    if (strncasecmp(text, "data:", 5) == 0) return KX_PICTURE_DATA_URI;
    if (strstr(text, "://") == NULL && is_base64_picture(text)) return KX_PICTURE_BASE64;
    return KX_PICTURE_URL;
}

const char *kx_data_uri_payload(const char *text, kx_error *err)
{
    const char *comma = strchr(text, ',');
    if (comma != NULL && comma - text >= 12 && strncasecmp(comma - 7, ";base64", 7) == 0) return comma + 1;
    kx_error_set(err, KX_ERR_INPUT, __FILE__, __LINE__,
                 "a data URI \"data:image/...;base64,...\" is expected, one without base64 is found");
    return NULL;
}

bool kx_file_url_token(const char *url, char token[33])
{
    const char *found = NULL;
    for (const char *at = strstr(url, "/files/"); at != NULL; at = strstr(at + 1, "/files/")) found = at;
    if (found == NULL) return false;
    found += strlen("/files/");
    size_t digits = strspn(found, "0123456789abcdef");
    if (digits != 32 || strchr(".?#", found[32]) == NULL) return false;
    memcpy(token, found, 32);
    token[32] = '\0';
    return true;
}

kx_status kx_api_add_file(kx_api *api, kx_exchange *exchange, const kx_stored_file *file, char token[33],
                          bool *within_quota, kx_error *err)
{
    kx_stored_file row = *file;
    row.key_id = kx_exchange_key(exchange)->id;
    row.created_ns = kx_clock_wall_ns(api->clock);
    row.expires_ns = row.created_ns + (int64_t)api->settings->retention_s * 1000000000;
    return kx_store_file_add(api->store, &row, api->settings->upload_quota_bytes, token, within_quota, err);
}

typedef struct intake {
    kx_api *api;
    kx_exchange *exchange;
    kx_job_image *image;
    char shown[64]; /* our own path of an inline picture, else "" */
    bool within_quota;
    kx_error *err;
} intake;

static kx_status take_inline(intake *in, const char *base64)
{
    kx_status status = KX_OK;
    kx_error *err = in->err;
    kx_bytes bytes = {.cap = KX_LIMIT_PICTURE_BYTES};
    char token[33] = "";
    KX_TRY(kx_base64_decode(base64, strlen(base64), &bytes, err));
    const kx_picture_kind *kind = kx_picture_kind_of(bytes.data, bytes.size);
    KX_FAIL_IF(
        kind == NULL, err, KX_ERR_INPUT,
        "a JPEG, PNG, WebP, GIF, BMP or TIFF picture is expected, %zu bytes of something else are found",
        bytes.size);
    KX_TRY(kx_blobs_put(in->api->blobs, bytes.data, bytes.size, in->image->blob, err));
    kx_stored_file file = {.blob = in->image->blob,
                           .content_type = kind->content_type,
                           .suffix = kind->suffix,
                           .filename = "",
                           .bytes = bytes.size};
    KX_TRY(kx_api_add_file(in->api, in->exchange, &file, token, &in->within_quota, err));
    snprintf(in->shown, sizeof in->shown, "/files/%s.%s", token, kind->suffix);
out:
    kx_bytes_free(&bytes);
    return status;
}

/* Whether `url` begins with our own address. */
static bool is_ours(intake *in, const char *url)
{
    const char *bases[] = {kx_exchange_base_url(in->exchange), in->api->settings->public_url};
    for (size_t i = 0; i < 2; i++) {
        size_t length = bases[i] == NULL ? 0 : strlen(bases[i]);
        if (length > 0 && strncmp(url, bases[i], length) == 0 && url[length] == '/') return true;
    }
    return false;
}

/* A token cannot be guessed, so an URL that carries one of ours means ours, whatever name we go by. */
static kx_status take_url(intake *in, const char *url)
{
    kx_status status = KX_OK;
    kx_error *err = in->err;
    char token[33];
    bool found = false;
    kx_stored_file file = {0};
    if (kx_file_url_token(url, token))
        KX_TRY(kx_store_file_get(in->api->store, token, kx_exchange_arena(in->exchange), &file, &found, err));
    if (found && kx_api_file_seconds_left(in->api, &file) > 0) {
        snprintf(in->image->blob, sizeof in->image->blob, "%s", file.blob);
        goto out;
    }
    KX_FAIL_IF(is_ours(in, url), err, KX_ERR_INPUT,
               "a file of this server is expected, none is found at %.200s", url);
    KX_FAIL_IF(strlen(url) > KX_PARAMETER_URL_MAX, err, KX_ERR_INPUT,
               "an URL of at most %d bytes or a picture in base64 is expected, %zu other bytes are found",
               KX_PARAMETER_URL_MAX, strlen(url));
    in->image->url = url;
out:
    return status;
}

static kx_status take_picture(intake *in, const char *text)
{
    switch (kx_picture_source_of(text)) {
    case KX_PICTURE_DATA_URI: {
        const char *payload = kx_data_uri_payload(text, in->err);
        return payload == NULL ? KX_ERR_INPUT : take_inline(in, payload);
    }
    case KX_PICTURE_BASE64:
        return take_inline(in, text);
    case KX_PICTURE_URL:
        break;
    }
    return take_url(in, text);
}

static kx_status show_pictures(kx_parameters *parameters, json_t *shown, kx_error *err)
{
    json_t *value = strcmp(parameters->pictures_field, "images") == 0 ? json_incref(shown)
                                                                      : json_incref(json_array_get(shown, 0));
    if (json_object_set_new(parameters->input, parameters->pictures_field, value) == 0) return KX_OK;
    return kx_error_set(err, KX_ERR_MEMORY, __FILE__, __LINE__, "out of memory");
}

kx_status kx_submitted_pictures_take(kx_api *api, kx_exchange *exchange, kx_parameters *parameters,
                                     kx_job_request *request, bool *within_quota, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *shown = json_array();
    *within_quota = true;
    request->num_images_in = parameters->num_pictures;
    for (size_t i = 0; i < parameters->num_pictures; i++) {
        intake in = {api, exchange, &request->images[i], "", true, err};
        status = take_picture(&in, parameters->pictures[i]);
        if (status == KX_ERR_INPUT) kx_error_prefix(err, "%s[%zu]", parameters->pictures_field, i);
        if (status != KX_OK) goto out;
        *within_quota = in.within_quota;
        if (!in.within_quota) goto out;
        json_array_append_new(shown, json_string(in.shown[0] != '\0' ? in.shown : parameters->pictures[i]));
    }
    if (parameters->num_pictures > 0) KX_TRY(show_pictures(parameters, shown, err));
out:
    json_decref(shown);
    return status;
}
