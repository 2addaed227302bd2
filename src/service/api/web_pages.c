/* The playground: its files, embedded in the program or, while developing, read from settings.web. Only names
 * of the embedded table are ever looked up, so a path leads nowhere else. */
#include "base/file.h"
#include "service/api/api_state.h"
#include "service/api/handlers.h"
#include "service/api/web_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEB_FILE_BYTES_MAX = 16 << 20 };

static const kx_web_file *find_file(const char *path)
{
    for (size_t i = 0; i < kx_num_web_files; i++)
        if (strcmp(kx_web_files[i].path, path) == 0) return &kx_web_files[i];
    return NULL;
}

static void answer_from_disk(const kx_api *api, kx_exchange *exchange, const kx_web_file *file)
{
    char *path = kx_file_join(api->settings->web, file->path);
    kx_bytes out = {.cap = WEB_FILE_BYTES_MAX};
    kx_error err = {0};
    if (path == NULL)
        kx_answer_error(exchange, 503, "out of memory");
    else if (kx_file_read(path, &out, KX_ERR_INPUT, &err) != KX_OK)
        kx_answer_error(exchange, 404, "%s", err.message);
    else
        kx_answer_bytes(exchange, 200, file->content_type, out.data, out.size);
    kx_bytes_free(&out);
    free(path);
}

static void answer_embedded(kx_exchange *exchange, const kx_web_file *file)
{
    char tag[40];
    const char *known = kx_exchange_header(exchange, "If-None-Match");
    const char *accepted = kx_exchange_header(exchange, "Accept-Encoding");
    bool is_packed = file->packed != NULL && accepted != NULL && strstr(accepted, "gzip") != NULL;
    snprintf(tag, sizeof tag, "\"%s%s\"", file->tag, is_packed ? "z" : "");
    kx_answer_header(exchange, "ETag", tag);
    kx_answer_header(exchange, "Cache-Control", "no-cache");
    kx_answer_header(exchange, "Vary", "Accept-Encoding");
    if (known != NULL && strstr(known, tag) != NULL) {
        kx_answer_bytes(exchange, 304, file->content_type, "", 0);
        return;
    }
    if (is_packed) kx_answer_header(exchange, "Content-Encoding", "gzip");
    kx_answer_bytes(exchange, 200, file->content_type, is_packed ? file->packed : file->plain,
                    is_packed ? file->packed_bytes : file->plain_bytes);
}

static void answer_file(const kx_api *api, kx_exchange *exchange, const char *path)
{
    const kx_web_file *file = find_file(path);
    if (file == NULL) {
        kx_answer_error(exchange, 404, "there is no such file");
        return;
    }
    if (api->settings->web != NULL)
        answer_from_disk(api, exchange, file);
    else
        answer_embedded(exchange, file);
}

void kx_handle_front_page(kx_exchange *exchange, void *user)
{
    answer_file(user, exchange, "index.html");
}

void kx_handle_web(kx_exchange *exchange, void *user)
{
    const char *path = kx_exchange_parameter(exchange, "path");
    answer_file(user, exchange, path == NULL ? "" : path);
}
