/* /files/TOKEN.SUFFIX: outputs and uploads, to whoever has the URL. The token finds the file; the suffix is
 * for the reader's eye. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"

#include <stdio.h>
#include <string.h>

static void send_file(kx_api *api, kx_exchange *exchange, const kx_stored_file *file, int64_t left_s)
{
    kx_error err = {0};
    char cache[64];
    kx_file_answer answer = {.fd = -1,
                             .content_type = file->content_type,
                             .etag = file->blob,
                             .cache_control = cache,
                             .filename =
                                 file->filename == NULL || file->filename[0] == '\0' ? NULL : file->filename};
    snprintf(cache, sizeof cache, "public, max-age=%lld, immutable", (long long)left_s);
    kx_status status = kx_blobs_open_file(api->blobs, file->blob, &answer.fd, &answer.bytes, &err);
    if (status == KX_OK)
        kx_answer_file(exchange, &answer);
    else if (status == KX_ERR_INPUT)
        kx_answer_error(exchange, 404, "there is no such file");
    else
        kx_answer_failure(exchange, &err);
}

void kx_handle_file(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    const char *name = kx_exchange_parameter(exchange, "name");
    char token[33] = "";
    kx_stored_file file = {0};
    kx_error err = {0};
    bool found = false;
    size_t digits = name == NULL ? 0 : strspn(name, "0123456789abcdef");
    if (digits == 32 && (name[32] == '.' || name[32] == '\0')) memcpy(token, name, 32);
    if (token[0] != '\0' &&
        kx_store_file_get(api->store, token, kx_exchange_arena(exchange), &file, &found, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    int64_t left_s = found ? kx_api_file_seconds_left(api, &file) : 0;
    if (left_s > 0)
        send_file(api, exchange, &file, left_s);
    else
        kx_answer_error(exchange, 404, "there is no such file");
}
