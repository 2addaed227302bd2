/* safetensors files: a length, a JSON header, the tensors' bytes.
 *
 *     uint64 LE N | N bytes of JSON | data
 *     { "name": {"dtype": "BF16", "shape": [2,3], "data_offsets": [0,12]}, ..., "__metadata__": {"key":
 * "text"} }
 *
 * The file is mapped and never read whole. Everything that the header claims is checked before anything is
 * handed out: the tensors tile the data without holes or overlaps, end where the file ends, and are as long
 * as their shapes say; so a tensor's `data` and `bytes` can be trusted, and element counts fit int64_t. The
 * data may be unaligned. The header's own memory is bounded before it is parsed (base/limits.h). Format: the
 * safetensors repository's README.
 *
 *     kx_safetensors file = {0};
 *     KX_TRY(kx_safetensors_open(&file, path, KX_ERR_MODEL, err));
 *     const kx_safetensors_tensor *noise = kx_safetensors_find(&file, "noise");
 *     ...
 *     kx_safetensors_close(&file);
 *
 * `blame` is the status of a missing or broken file: KX_ERR_MODEL for models, KX_ERR_INPUT for what a user
 * hands in.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "engine/tensor/dtype.h"

typedef struct kx_safetensors_tensor {
    const char *name;
    kx_dtype dtype;
    int rank; /* 0: a scalar */
    int64_t shape[KX_LIMIT_TENSOR_RANK];
    size_t count; /* elements: the product of the shape */
    size_t bytes; /* count x kx_dtype_bytes */
    const uint8_t *data;
} kx_safetensors_tensor;

typedef struct kx_safetensors_text {
    const char *key;
    const char *value;
} kx_safetensors_text;

typedef struct kx_safetensors {
    const char *path;               /* for sentences */
    size_t bytes;                   /* of the whole file */
    kx_safetensors_tensor *tensors; /* sorted by name (strcmp) */
    size_t num_tensors;
    kx_safetensors_text *metadata; /* in the file's order */
    size_t num_metadata;
    kx_arena arena;
    kx_file_map map; /* empty when the bytes are the caller's */
} kx_safetensors;

/* Errors: `blame`, KX_ERR_MEMORY. After an error `file` is empty. */
kx_status kx_safetensors_open(kx_safetensors *file, const char *path, kx_status blame, kx_error *err);
/* The same over bytes in memory, which must outlive `file`. `what` stands in sentences in place of the path.
 */
kx_status kx_safetensors_open_memory(kx_safetensors *file, const void *data, size_t bytes, const char *what,
                                     kx_status blame, kx_error *err);
void kx_safetensors_close(kx_safetensors *file);

/* NULL when there is none of that name. */
const kx_safetensors_tensor *kx_safetensors_find(const kx_safetensors *file, const char *name);
const char *kx_safetensors_metadata(const kx_safetensors *file, const char *key);

/* "[2,3]" into `out`, cut to `room`. */
void kx_safetensors_shape_text(const kx_safetensors_tensor *tensor, char *out, size_t room);
