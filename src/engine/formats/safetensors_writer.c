#include "engine/formats/safetensors_writer.h"

#include "base/checked.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

static kx_status append_text(kx_bytes *out, const char *text, kx_error *err)
{
    out->cap = KX_LIMIT_HEADER_BYTES;
    return kx_bytes_append(out, text, strlen(text), err);
}

/* A JSON string: quotes, backslashes and control characters escaped, other bytes (UTF-8) as they are. */
static kx_status append_quoted(kx_bytes *out, const char *text, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(append_text(out, "\"", err));
    for (const char *at = text; *at != '\0'; at++) {
        char escaped[8] = {*at};
        if (*at == '"' || *at == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", *at);
        } else if ((unsigned char)*at < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*at);
        }
        KX_TRY(append_text(out, escaped, err));
    }
    KX_TRY(append_text(out, "\"", err));
out:
    return status;
}

kx_status kx_safetensors_writer_metadata(kx_safetensors_writer *writer, const char *key, const char *value,
                                         kx_error *err)
{
    kx_status status = KX_OK;
    if (writer->metadata.size > 0) KX_TRY(append_text(&writer->metadata, ",", err));
    KX_TRY(append_quoted(&writer->metadata, key, err));
    KX_TRY(append_text(&writer->metadata, ":", err));
    KX_TRY(append_quoted(&writer->metadata, value, err));
out:
    return status;
}

static kx_status append_value(kx_bytes *values, uint64_t value, kx_error *err)
{
    values->cap = (KX_LIMIT_TENSORS + 1) * sizeof value;
    return kx_bytes_append(values, &value, sizeof value, err);
}

static uint64_t value_at(const kx_bytes *values, size_t index)
{
    uint64_t value;
    memcpy(&value, values->data + index * sizeof value, sizeof value);
    return value;
}

kx_status kx_safetensors_writer_declare(kx_safetensors_writer *writer, const char *name, kx_dtype dtype,
                                        int rank, const int64_t *shape, kx_error *err)
{
    kx_status status = KX_OK;
    size_t bytes = kx_dtype_bytes(dtype), end;
    char number[64];
    KX_FAIL_IF(writer->open, err, KX_ERR_INTERNAL, "tensor %s is declared behind the header", name);
    if (writer->tensors.size > 0) KX_TRY(append_text(&writer->tensors, ",", err));
    KX_TRY(append_quoted(&writer->tensors, name, err));
    snprintf(number, sizeof number, ":{\"dtype\":\"%s\",\"shape\":[", kx_dtype_name(dtype));
    KX_TRY(append_text(&writer->tensors, number, err));
    for (int i = 0; i < rank; i++) {
        KX_FAIL_IF(shape[i] < 0 || !kx_checked_mul(bytes, (size_t)shape[i], &bytes), err, KX_ERR_INTERNAL,
                   "tensor %s is too large", name);
        snprintf(number, sizeof number, i > 0 ? ",%lld" : "%lld", (long long)shape[i]);
        KX_TRY(append_text(&writer->tensors, number, err));
    }
    KX_FAIL_IF(!kx_checked_add((size_t)writer->data_bytes, bytes, &end), err, KX_ERR_INTERNAL,
               "tensor %s is too large", name);
    snprintf(number, sizeof number, "],\"data_offsets\":[%llu,%zu]}", (unsigned long long)writer->data_bytes,
             end);
    KX_TRY(append_text(&writer->tensors, number, err));
    writer->data_bytes = end;
    if (writer->checksums) KX_TRY(append_value(&writer->ends, writer->data_bytes, err));
out:
    return status;
}

kx_status kx_safetensors_writer_open(kx_safetensors_writer *writer, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes header = {0};
    size_t alignment = writer->alignment > 0 ? writer->alignment : 8;
    if (writer->checksums) {
        int64_t tensors = (int64_t)(writer->ends.size / sizeof(uint64_t));
        KX_TRY(kx_safetensors_writer_declare(writer, KX_CHECKSUM_TENSOR, KX_U64, 1, &tensors, err));
        writer->sum = kx_checksum_start();
    }
    KX_TRY(append_text(&header, "{", err));
    if (writer->metadata.size > 0) {
        KX_TRY(append_text(&header, "\"__metadata__\":{", err));
        KX_TRY(kx_bytes_append(&header, writer->metadata.data, writer->metadata.size, err));
        KX_TRY(append_text(&header, writer->tensors.size > 0 ? "}," : "}", err));
    }
    if (writer->tensors.size > 0)
        KX_TRY(kx_bytes_append(&header, writer->tensors.data, writer->tensors.size, err));
    KX_TRY(append_text(&header, "}", err));
    while ((8 + header.size) % alignment != 0) KX_TRY(append_text(&header, " ", err));
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header.size >> (8 * i));
    KX_TRY(kx_file_write_open(&writer->file, path, err));
    writer->open = true;
    KX_TRY(kx_file_write_bytes(&writer->file, length, sizeof length, err));
    KX_TRY(kx_file_write_bytes(&writer->file, header.data, header.size, err));
out:
    kx_bytes_free(&header);
    return status;
}

/* Adds `bytes` that are written at `appended` to the checksums of the tensors that they belong to. The last
 * end is that of the checksums themselves. */
static kx_status add_to_checksums(kx_safetensors_writer *writer, const uint8_t *data, size_t bytes,
                                  kx_error *err)
{
    kx_status status = KX_OK;
    uint64_t at = writer->appended;
    size_t tensors = writer->ends.size / sizeof(uint64_t) - 1;
    while (bytes > 0) {
        size_t tensor = writer->values.size / sizeof(uint64_t);
        if (tensor == tensors) break;
        uint64_t left = value_at(&writer->ends, tensor) - at;
        size_t some = bytes < left ? bytes : (size_t)left;
        kx_checksum_add(&writer->sum, data, some);
        data += some;
        bytes -= some;
        at += some;
        if (some < left) break;
        KX_TRY(append_value(&writer->values, kx_checksum_end(&writer->sum), err));
        writer->sum = kx_checksum_start();
    }
out:
    return status;
}

kx_status kx_safetensors_writer_append(kx_safetensors_writer *writer, const void *data, size_t bytes,
                                       kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(bytes > writer->data_bytes - writer->appended, err, KX_ERR_INTERNAL,
               "%s: more data is written than was declared", writer->file.path);
    if (writer->checksums) KX_TRY(add_to_checksums(writer, data, bytes, err));
    KX_TRY(kx_file_write_bytes(&writer->file, data, bytes, err));
    writer->appended += bytes;
out:
    return status;
}

kx_status kx_safetensors_writer_commit(kx_safetensors_writer *writer, kx_error *err)
{
    kx_status status = KX_OK;
    if (writer->checksums) {
        writer->checksums = false; /* they have none themselves */
        KX_TRY(kx_safetensors_writer_append(writer, writer->values.data, writer->values.size, err));
    }
    KX_FAIL_IF(writer->appended != writer->data_bytes, err, KX_ERR_INTERNAL,
               "%s: %llu data bytes were declared, %llu written", writer->file.path,
               (unsigned long long)writer->data_bytes, (unsigned long long)writer->appended);
    KX_TRY(kx_file_write_commit(&writer->file, err));
out:
    kx_safetensors_writer_discard(writer);
    return status;
}

void kx_safetensors_writer_discard(kx_safetensors_writer *writer)
{
    if (writer->open) kx_file_write_discard(&writer->file);
    kx_bytes_free(&writer->metadata);
    kx_bytes_free(&writer->tensors);
    kx_bytes_free(&writer->ends);
    kx_bytes_free(&writer->values);
    *writer = (kx_safetensors_writer){0};
}
