#include "engine/formats/part.h"
#include "engine/formats/safetensors_writer.h"
#include "engine/formats/ticker.h"

#include <string.h>

enum { PIECE_BYTES = 8 << 20 };

static bool is_copied(const kx_part_entry *entry)
{
    return entry->tensor->bytes > 0 && strcmp(entry->name, KX_CHECKSUM_TENSOR) != 0;
}

uint64_t kx_part_copy_bytes(const kx_part *part)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < part->num_entries; i++)
        if (is_copied(&part->entries[i])) bytes += part->entries[i].tensor->bytes;
    return bytes;
}

static kx_status copy_tensor(kx_safetensors_writer *writer, const kx_safetensors_tensor *tensor,
                             kx_ticker *ticker, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t from = 0; from < tensor->bytes; from += PIECE_BYTES) {
        size_t bytes = tensor->bytes - from < PIECE_BYTES ? tensor->bytes - from : PIECE_BYTES;
        KX_TRY(kx_safetensors_writer_append(writer, tensor->data + from, bytes, err));
        KX_TRY(kx_ticker_advance(ticker, bytes, err));
        kx_file_drop_range(tensor->data + from, bytes);
    }
out:
    return status;
}

kx_status kx_part_copy(const kx_part *part, const char *path, kx_ticker *ticker, kx_error *err)
{
    kx_status status = KX_OK;
    kx_safetensors_writer writer = {.checksums = true};
    KX_TRY(kx_safetensors_writer_metadata(&writer, "format", "pt", err));
    for (size_t i = 0; i < part->num_entries; i++) {
        const kx_safetensors_tensor *tensor = part->entries[i].tensor;
        if (is_copied(&part->entries[i]))
            KX_TRY(kx_safetensors_writer_declare(&writer, part->entries[i].name, tensor->dtype, tensor->rank,
                                                 tensor->shape, err));
    }
    KX_TRY(kx_safetensors_writer_open(&writer, path, err));
    for (size_t i = 0; i < part->num_entries; i++)
        if (is_copied(&part->entries[i])) KX_TRY(copy_tensor(&writer, part->entries[i].tensor, ticker, err));
    KX_TRY(kx_safetensors_writer_commit(&writer, err));
out:
    kx_safetensors_writer_discard(&writer);
    return status;
}
