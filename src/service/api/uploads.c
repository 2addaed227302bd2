/* Uploads: a ticket and its PUT, and the older multipart form. What counts as a picture is told by its bytes.
 */
#include "service/api/api_state.h"
#include "service/api/handlers.h"
#include "service/api/parameter_values.h"
#include "service/api/picture_kind.h"
#include "service/api/prediction_json.h"
#include "service/api/submitted_pictures.h"

#include <stdio.h>
#include <string.h>

enum { FILENAME_BYTES_MAX = 255, TICKET_SECONDS = 3600 };

/* NULL: answered. */
static const kx_picture_kind *uploaded_kind(kx_exchange *exchange, const kx_upload *upload)
{
    size_t head = upload->bytes < sizeof upload->head ? (size_t)upload->bytes : sizeof upload->head;
    const kx_picture_kind *kind = kx_picture_kind_of(upload->head, head);
    if (kind == NULL)
        kx_answer_error(
            exchange, 400,
            "a JPEG, PNG, WebP, GIF, BMP or TIFF picture is expected, %llu bytes of something else are found",
            (unsigned long long)upload->bytes);
    return kind;
}

/* ---- Tickets ---- */

static bool read_announcement(kx_api *api, kx_exchange *exchange, const json_t *body, kx_ticket *ticket)
{
    kx_error err = {0};
    const json_t *size = json_object_get(body, "size");
    if (kx_api_read_text(body, "filename", &ticket->filename, &err) != KX_OK ||
        kx_api_read_text(body, "content_type", &ticket->content_type, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return false;
    }
    if (ticket->filename == NULL) ticket->filename = "upload";
    if (ticket->content_type == NULL) ticket->content_type = "";
    bool has_size = size != NULL && !json_is_null(size);
    if (strlen(ticket->filename) > FILENAME_BYTES_MAX || strlen(ticket->content_type) > FILENAME_BYTES_MAX)
        kx_answer_error(exchange, 400, "filename and content_type: at most %d bytes each are expected",
                        FILENAME_BYTES_MAX);
    else if (has_size && (!json_is_integer(size) || json_integer_value(size) < 1)) {
        kx_value_refuse("size", "a number of bytes, 1 or more,", size, &err);
        kx_answer_failure(exchange, &err);
    } else if (has_size && (uint64_t)json_integer_value(size) > api->settings->max_upload_bytes)
        kx_answer_error(exchange, 413, "size: at most %llu bytes are expected, %lld are found",
                        (unsigned long long)api->settings->max_upload_bytes,
                        (long long)json_integer_value(size));
    else {
        ticket->bytes = has_size ? (uint64_t)json_integer_value(size) : 0;
        return true;
    }
    return false;
}

static json_t *ticket_json(kx_exchange *exchange, const kx_ticket *ticket)
{
    const kx_picture_kind *kind = kx_picture_kind_named(ticket->content_type, ticket->filename);
    const char *base = kx_exchange_base_url(exchange);
    json_t *headers = json_pack("{s:s}", "If-None-Match", "*");
    if (kind != NULL) json_object_set_new(headers, "Content-Type", json_string(kind->content_type));
    json_t *upload = json_pack("{s:s, s:o, s:o, s:o}", "method", "PUT", "url",
                               json_sprintf("%s/uploads/%s", base, ticket->token), "headers", headers,
                               "expires_at", kx_api_time(ticket->expires_ns));
    return json_pack("{s:s, s:o, s:s, s:I, s:o}", "type", "image", "download_url",
                     kx_file_url_json(base, ticket->file_token, kind == NULL ? "png" : kind->suffix),
                     "filename", ticket->filename, "size", (json_int_t)ticket->bytes, "upload", upload);
}

void kx_handle_ticket(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_ticket ticket = {.key_id = kx_exchange_key(exchange)->id};
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL || !read_announcement(api, exchange, body, &ticket)) return;
    ticket.expires_ns = kx_clock_wall_ns(api->clock) + TICKET_SECONDS * 1000000000LL;
    if (kx_random_hex(ticket.token, 32, &err) != KX_OK ||
        kx_random_hex(ticket.file_token, 32, &err) != KX_OK ||
        kx_store_ticket_add(api->store, &ticket, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else
        kx_api_answer(exchange, ticket_json(exchange, &ticket));
}

/* NULL: answered. */
static const kx_upload *sent_bytes(kx_exchange *exchange, const kx_ticket *ticket)
{
    const kx_upload *uploads = NULL;
    if (kx_exchange_uploads(exchange, &uploads) == 0) {
        kx_answer_error(exchange, 400, "the bytes of a picture are expected, nothing is found");
        return NULL;
    }
    if (ticket->bytes == 0 || ticket->bytes == uploads[0].bytes) return &uploads[0];
    kx_answer_error(exchange, 400, "%llu bytes were announced, %llu are found",
                    (unsigned long long)ticket->bytes, (unsigned long long)uploads[0].bytes);
    return NULL;
}

static void use_ticket(kx_api *api, kx_exchange *exchange, const kx_ticket *ticket)
{
    kx_error err = {0};
    bool used = false, within_quota = true;
    const kx_upload *upload = sent_bytes(exchange, ticket);
    const kx_picture_kind *kind = upload == NULL ? NULL : uploaded_kind(exchange, upload);
    if (kind == NULL) return;
    kx_stored_file file = {.key_id = ticket->key_id,
                           .blob = upload->blob,
                           .content_type = kind->content_type,
                           .suffix = kind->suffix,
                           .filename = ticket->filename,
                           .bytes = upload->bytes,
                           .created_ns = kx_clock_wall_ns(api->clock)};
    snprintf(file.token, sizeof file.token, "%s", ticket->file_token);
    file.expires_ns = file.created_ns + (int64_t)api->settings->retention_s * 1000000000;
    if (kx_store_ticket_use(api->store, ticket, &file, api->settings->upload_quota_bytes, &used,
                            &within_quota, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (used)
        kx_answer_error(exchange, 412, "this upload has been made already");
    else if (!within_quota)
        kx_answer_error(exchange, 429, "Upload quota exceeded");
    else
        kx_api_answer(exchange, json_pack("{s:I}", "size", (json_int_t)upload->bytes));
}

/* The ticket that the path names; false: answered. */
static bool open_ticket(kx_api *api, kx_exchange *exchange, kx_ticket *ticket)
{
    kx_error err = {0};
    bool found = false;
    const char *token = kx_exchange_parameter(exchange, "token");
    if (kx_store_ticket_get(api->store, token == NULL ? "" : token, kx_exchange_arena(exchange), ticket,
                            &found, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (!found)
        kx_answer_error(exchange, 404, "there is no such upload");
    else if (ticket->used)
        kx_answer_error(exchange, 412, "this upload has been made already");
    else if (ticket->expires_ns <= kx_clock_wall_ns(api->clock))
        kx_answer_error(exchange, 410, "the time for this upload is over, ask for another one");
    else
        return true;
    return false;
}

bool kx_api_admit(kx_exchange *exchange, void *user)
{
    kx_ticket ticket = {0};
    return open_ticket(user, exchange, &ticket);
}

/* The ticket may have been used, or its time have passed, while the bytes came. */
void kx_handle_ticket_put(kx_exchange *exchange, void *user)
{
    kx_ticket ticket = {0};
    if (open_ticket(user, exchange, &ticket)) use_ticket(user, exchange, &ticket);
}

/* ---- Multipart ---- */

static const kx_upload *form_file(kx_exchange *exchange)
{
    const kx_upload *uploads = NULL;
    size_t count = kx_exchange_uploads(exchange, &uploads);
    for (size_t i = 0; i < count; i++)
        if (strcmp(uploads[i].field, "file") == 0) return &uploads[i];
    kx_answer_error(exchange, 400, "file: a part of that name with a picture is expected, none is found");
    return NULL;
}

static void store_form(kx_api *api, kx_exchange *exchange, const char *url_field)
{
    char token[33];
    bool within_quota = true;
    kx_error err = {0};
    const kx_upload *upload = form_file(exchange);
    const kx_picture_kind *kind = upload == NULL ? NULL : uploaded_kind(exchange, upload);
    if (kind == NULL) return;
    kx_stored_file file = {.blob = upload->blob,
                           .content_type = kind->content_type,
                           .suffix = kind->suffix,
                           .filename = upload->filename,
                           .bytes = upload->bytes};
    if (kx_api_add_file(api, exchange, &file, token, &within_quota, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (!within_quota)
        kx_answer_error(exchange, 429, "Upload quota exceeded");
    else
        kx_api_answer(exchange,
                      json_pack("{s:s, s:o, s:o, s:I}", "type", "image", url_field,
                                kx_file_url_json(kx_exchange_base_url(exchange), token, kind->suffix),
                                "filename",
                                kx_text_json(upload->filename[0] == '\0' ? "upload" : upload->filename),
                                "size", (json_int_t)upload->bytes));
}

void kx_handle_upload(kx_exchange *exchange, void *user)
{
    store_form(user, exchange, "download_url");
}

void kx_handle_upload_old(kx_exchange *exchange, void *user)
{
    store_form(user, exchange, "url");
}
