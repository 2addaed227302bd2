/* Writes a safetensors file as a stream: the tensors are declared first, then their bytes are appended in the
 * order of the declarations, in pieces of any size. The file appears complete at commit, or not at all.
 *
 *     kx_safetensors_writer writer = {0};
 *     KX_TRY(kx_safetensors_writer_declare(&writer, "noise", KX_F32, 3, (int64_t[]){16, h, w}, err));
 *     KX_TRY(kx_safetensors_writer_open(&writer, path, err));
 *     KX_TRY(kx_safetensors_writer_append(&writer, noise, bytes, err));
 *     KX_TRY(kx_safetensors_writer_commit(&writer, err));
 * out:
 *     kx_safetensors_writer_discard(&writer);      // harmless after commit
 *
 * Errors: KX_ERR_OUTPUT, KX_ERR_MEMORY; KX_ERR_INTERNAL when the bytes appended are not those declared.
 */
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "engine/formats/checksum.h"
#include "engine/tensor/dtype.h"

typedef struct kx_safetensors_writer {
    size_t alignment;  /* of the first data byte within the file; 0 is 8. Set before open */
    bool checksums;    /* commit adds those of all tensors, see checksum.h. Set before the first declare */
    kx_bytes metadata; /* JSON members, without the braces around them */
    kx_bytes tensors;
    uint64_t data_bytes; /* declared */
    uint64_t appended;
    bool open;
    kx_file_write file;
    kx_bytes ends;   /* uint64_t: where each declared tensor ends; with checksums */
    kx_bytes values; /* uint64_t: the checksums of the whole ones */
    kx_checksum sum; /* of the tensor that is being appended */
} kx_safetensors_writer;

/* Adds to __metadata__. Keys must differ. Before open. */
kx_status kx_safetensors_writer_metadata(kx_safetensors_writer *writer, const char *key, const char *value,
                                         kx_error *err);
/* Names must differ. Before open. */
kx_status kx_safetensors_writer_declare(kx_safetensors_writer *writer, const char *name, kx_dtype dtype,
                                        int rank, const int64_t *shape, kx_error *err);
/* Creates the file and writes the header; data begins at a multiple of the alignment. */
kx_status kx_safetensors_writer_open(kx_safetensors_writer *writer, const char *path, kx_error *err);
kx_status kx_safetensors_writer_append(kx_safetensors_writer *writer, const void *data, size_t bytes,
                                       kx_error *err);
kx_status kx_safetensors_writer_commit(kx_safetensors_writer *writer, kx_error *err);
void kx_safetensors_writer_discard(kx_safetensors_writer *writer);
