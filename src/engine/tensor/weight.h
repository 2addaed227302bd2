/* A parameter of the model as it lies in the mapped files.
 *
 * Checkpoints of different layouts cut the same matrix differently: one has a fused `qkv` of 3h rows, another three
 * matrices of h rows. A kx_weight is therefore a list of row ranges, each with its own element type and scale, that
 * together form one matrix. Element (r, c) is scale x file value. Later axes (convolutions: in, ky, kx) count as
 * columns. The canonical names and shapes are those of the original (BFL) files for the transformer and the VAE and
 * those of the Hugging Face files for CLIP and T5, without prefixes; see formats/names.h.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "engine/tensor/dtype.h"
#include "engine/tensor/packed.h"

enum { KX_WEIGHT_MAX_SEGMENTS = 6, KX_WEIGHT_MAX_RANK = 4 };

typedef struct kx_weight_segment {
    const void *data; /* rows x cols elements, row-major; the address may be unaligned */
    int64_t rows;
    kx_dtype dtype;
    float scale; /* 1 unless the file is scaled fp8 */
} kx_weight_segment;

typedef struct kx_weight {
    int rank;
    int64_t shape[KX_WEIGHT_MAX_RANK];
    int num_segments; /* 0: only the shape is known, the numbers are in packed matrices (packed.h) */
    kx_weight_segment segments[KX_WEIGHT_MAX_SEGMENTS];
} kx_weight;

/* Where models find their parameters. Implemented by formats/ over mapped files, and by tests over memory. */
typedef struct kx_weight_source {
    /* Finds a parameter by canonical name, such as "double_blocks.0.img_attn.qkv.weight". `found` false (and KX_OK)
     * when there is none. Errors: KX_ERR_MODEL when it exists but is broken. */
    kx_status (*find)(void *context, const char *name, kx_weight *weight, bool *found, kx_error *err);
    /* Finds a packed matrix by the name that products know it by, such as "double_blocks.0.img_attn.qkv". NULL: there
     * are none. Errors: KX_ERR_MODEL. */
    kx_status (*find_packed)(void *context, const char *name, kx_packed *packed, bool *found, kx_error *err);
    void *context;
    const char *what; /* "transformer", "vae", ... for sentences */
} kx_weight_source;

int64_t kx_weight_rows(const kx_weight *weight);  /* shape[0], or 1 for a scalar */
int64_t kx_weight_cols(const kx_weight *weight);  /* product of the other axes */
/* Of one of its segments: rows x columns elements from its address on. */
size_t kx_weight_segment_bytes(const kx_weight *weight, const kx_weight_segment *segment);
/* Lets the pages of its files leave memory; they are read again when touched. */
void kx_weight_drop(const kx_weight *weight);
/* Rows first .. first+count-1, as a weight of the same columns. */
kx_weight kx_weight_slice(const kx_weight *weight, int64_t first, int64_t count);
/* The rows of `a`, then those of `b` (equal columns; segments must fit). */
kx_weight kx_weight_stack(const kx_weight *a, const kx_weight *b);
/* Address, type and scale of one row. */
const void *kx_weight_row(const kx_weight *weight, int64_t row, kx_dtype *dtype, float *scale);
/* All elements as f32 into `out` (rows x cols, contiguous). */
void kx_weight_read_f32(const kx_weight *weight, float *out);

/* A required parameter: found, of this rank and shape (an extent of -1 accepts anything), or KX_ERR_MODEL with a
 * sentence that names it: "transformer: tensor img_in.weight has shape [3072,128], [3072,64] is expected". */
kx_status kx_weight_need(const kx_weight_source *source, const char *name, int rank, const int64_t *shape,
                         kx_weight *weight, kx_error *err);
/* The same for a vector (biases, norm scales), read into the arena as f32. */
kx_status kx_weight_need_vector(const kx_weight_source *source, const char *name, int64_t length, kx_arena *arena,
                                float **values, kx_error *err);
