/* Bodies that go to the blob store as they arrive: raw ones and the file parts of forms. All of this runs on
 * handler threads. */
#include "service/http/http_internal.h"

#include "service/http/http_multipart.h"

#include <stdlib.h>
#include <string.h>

struct kx_sink {
    kx_exchange *exchange;
    kx_multipart *form;     /* NULL: a raw body */
    kx_blob_writer *writer; /* of the part at hand; NULL: a field, or between parts */
    const char *field;      /* name of the field at hand; NULL: a file */
    kx_bytes value;
    size_t value_bytes; /* of all fields */
    kx_error err;       /* of the blob store */
    kx_refusal refusal;
};

static bool no_memory(kx_sink *sink)
{
    sink->refusal = (kx_refusal){503, "out of memory"};
    return false;
}

static bool begin_file(kx_sink *sink, const char *field, const char *filename, const char *type)
{
    kx_exchange *exchange = sink->exchange;
    kx_error err = {0};
    char *copies[3] = {NULL};
    const char *const texts[3] = {field, filename, type};
    if (exchange->num_uploads == KX_HTTP_UPLOADS_MAX) {
        sink->refusal = (kx_refusal){400, "the form has more than 16 files"};
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (kx_arena_copy_text(&exchange->arena, texts[i], strlen(texts[i]), &copies[i], &err) != KX_OK)
            return no_memory(sink);
    }
    kx_upload *upload = &exchange->uploads[exchange->num_uploads];
    *upload = (kx_upload){.field = copies[0], .filename = copies[1], .content_type = copies[2]};
    uint64_t cap = exchange->http->parts.settings->max_upload_bytes;
    return kx_blob_writer_open(&sink->writer, exchange->http->parts.blobs, cap, &sink->err) == KX_OK;
}

static bool add_to_file(kx_sink *sink, const uint8_t *bytes, size_t size)
{
    kx_upload *upload = &sink->exchange->uploads[sink->exchange->num_uploads];
    uint64_t cap = sink->exchange->http->parts.settings->max_upload_bytes;
    if (size > cap - upload->bytes) {
        sink->refusal = (kx_refusal){413, "the file is larger than an upload may be"};
        return false;
    }
    size_t room = upload->bytes < sizeof upload->head ? sizeof upload->head - (size_t)upload->bytes : 0;
    if (room > 0) memcpy(upload->head + upload->bytes, bytes, size < room ? size : room);
    upload->bytes += size;
    return kx_blob_writer_add(sink->writer, bytes, size, &sink->err) == KX_OK;
}

static bool end_file(kx_sink *sink)
{
    kx_exchange *exchange = sink->exchange;
    kx_status status =
        kx_blob_writer_commit(sink->writer, exchange->uploads[exchange->num_uploads].blob, &sink->err);
    kx_blob_writer_discard(sink->writer);
    sink->writer = NULL;
    if (status == KX_OK) exchange->num_uploads++;
    return status == KX_OK;
}

static bool begin_part(void *user, const kx_part *part)
{
    kx_sink *sink = user;
    kx_error err = {0};
    char *name = NULL;
    sink->field = NULL;
    if (part->is_file) return begin_file(sink, part->name, part->filename, part->content_type);
    if (kx_arena_copy_text(&sink->exchange->arena, part->name, strlen(part->name), &name, &err) != KX_OK)
        return no_memory(sink);
    sink->field = name;
    sink->value.size = 0;
    return true;
}

static bool add_to_part(void *user, const uint8_t *bytes, size_t size)
{
    kx_sink *sink = user;
    kx_error err = {0};
    if (sink->field == NULL) return add_to_file(sink, bytes, size);
    sink->value_bytes += size;
    if (sink->value_bytes > KX_HTTP_SMALL_BODY_BYTES) {
        sink->refusal = (kx_refusal){413, "the fields of the form are over 64 KiB"};
        return false;
    }
    return kx_bytes_append(&sink->value, bytes, size, &err) == KX_OK || no_memory(sink);
}

static bool end_part(void *user)
{
    kx_sink *sink = user;
    kx_exchange *exchange = sink->exchange;
    kx_error err = {0};
    char *value = NULL;
    if (sink->field == NULL) return end_file(sink);
    if (exchange->num_fields == KX_HTTP_QUERIES_MAX) return true; /* the form has no more parts than this */
    const char *text = sink->value.size == 0 ? "" : (const char *)sink->value.data;
    if (memchr(text, '\0', sink->value.size) != NULL) {
        sink->refusal = (kx_refusal){400, "a field of the form holds a NUL byte"};
        return false;
    }
    if (kx_arena_copy_text(&exchange->arena, text, sink->value.size, &value, &err) != KX_OK)
        return no_memory(sink);
    exchange->fields[exchange->num_fields++] = (kx_http_pair){sink->field, value};
    return true;
}

bool kx_sink_open(kx_exchange *exchange, kx_refusal *refusal)
{
    kx_sink *sink = calloc(1, sizeof *sink);
    if (sink == NULL) {
        *refusal = (kx_refusal){503, "out of memory"};
        return false;
    }
    sink->exchange = exchange;
    sink->value.cap = KX_HTTP_SMALL_BODY_BYTES;
    exchange->sink = sink;
    if (exchange->match.route->body == KX_BODY_RAW) return true;
    kx_multipart_calls calls = {.begin = begin_part, .data = add_to_part, .end = end_part, .user = sink};
    sink->form = kx_multipart_open(kx_head_find(&exchange->head, "Content-Type"), &calls, refusal);
    return sink->form != NULL;
}

void kx_sink_close(kx_sink *sink)
{
    if (sink == NULL) return;
    kx_blob_writer_discard(sink->writer);
    kx_multipart_close(sink->form);
    kx_bytes_free(&sink->value);
    free(sink);
}

static bool take_raw(kx_sink *sink)
{
    kx_exchange *exchange = sink->exchange;
    const char *type = kx_head_find(&exchange->head, "Content-Type");
    bool is_begun = sink->writer != NULL || begin_file(sink, "", "", type == NULL ? "" : type);
    if (!is_begun || !add_to_file(sink, exchange->body.data, exchange->body.size)) return false;
    return !exchange->body_is_whole || end_file(sink);
}

static bool take_form(kx_sink *sink)
{
    kx_exchange *exchange = sink->exchange;
    kx_refusal broken = {0};
    if (!kx_multipart_take(sink->form, exchange->body.data, exchange->body.size, &broken)) {
        if (broken.status != 0) sink->refusal = broken; /* otherwise a part's function has said why */
        return false;
    }
    if (!exchange->body_is_whole || kx_multipart_is_whole(sink->form)) return true;
    sink->refusal = (kx_refusal){400, "the form ends before its last boundary"};
    return false;
}

void kx_sink_job(kx_exchange *exchange)
{
    kx_sink *sink = exchange->sink;
    bool good = sink->form == NULL ? take_raw(sink) : take_form(sink);
    exchange->body.size = 0;
    if (good && exchange->body_is_whole) {
        kx_sink_close(sink);
        exchange->sink = NULL;
        kx_request_handle(exchange);
    } else if (!good && sink->err.status != KX_OK) {
        kx_answer_failure(exchange, &sink->err);
    } else if (!good) {
        kx_answer_refusal(exchange, &sink->refusal);
    }
}
