/* A part whose matrices are packed (tensor/packed.h): what its file says of them.
 *
 * The file is a safetensors file. Its metadata "kontext.packed" is a JSON text:
 *
 *     {"version": 2, "precision": "int8", "group": 512,
 *      "matrices":   {"single_blocks.0.linear2": [3072, 15360, 3072], ...},      rows, columns, split
 *      "parameters": {"single_blocks.0.linear2.weight": [3072, 15360], ...}}     rows, columns
 *
 * A matrix M is what products use, and is stored ready for use, at addresses that are multiples of 64:
 *
 *     M.packed          I8 [blocks, planes, 1024] or BF16 [blocks, planes, 512]
 *     M.packed_scales   F32 [groups, padded rows]        int8 alone
 *     M.packed_sums     I32 [groups, padded rows]        int8 alone
 *
 * A parameter is a matrix of the original model, by canonical name, whose numbers are in packed matrices (not
 * always one to one: q, k and v of T5 and CLIP are one matrix, linear1 of a single block is three). Of it
 * only the shape is known. All other parameters are plain tensors under their canonical names.
 */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "engine/formats/safetensors.h"
#include "engine/tensor/packed.h"

#define KX_PACKED_METADATA "kontext.packed"
#define KX_PACKED_DATA     ".packed"
#define KX_PACKED_SCALES   ".packed_scales"
#define KX_PACKED_SUMS     ".packed_sums"

/* KX_PACKED_MAX_EXTENT bounds rows, columns and split. It is some fifty times the most that FLUX.1 has
 * (21,504 rows), and rows x columns of all the KX_LIMIT_TENSORS matrices that a file can list are 2^56
 * together, so that sums of elements and of bytes fit 63 bits. */
enum { KX_PACKED_VERSION = 2, KX_PACKED_MAX_EXTENT = 1 << 20, KX_PACKED_ALIGN = 64 };

typedef struct kx_packed_entry {
    const char *name;
    int64_t rows, cols;
    int64_t split; /* of a matrix */
} kx_packed_entry;

typedef struct kx_packed_index {
    kx_dtype dtype;            /* KX_I8 or KX_BF16 */
    kx_packed_entry *matrices; /* sorted by name */
    size_t num_matrices;
    kx_packed_entry *parameters; /* sorted by name */
    size_t num_parameters;
} kx_packed_index;

/* *out is NULL for a file that is not packed. Errors: KX_ERR_MODEL (a text that is not understood),
 * KX_ERR_MEMORY. */
kx_status kx_packed_index_read(kx_packed_index **out, const kx_safetensors *file, kx_arena *arena,
                               kx_error *err);

/* NULL when there is none of that name. */
const kx_packed_entry *kx_packed_index_parameter(const kx_packed_index *index, const char *name);
/* The matrix of that name, in place. Errors:
 * KX_ERR_MODEL when its tensors are missing or not as its shape demands. */
kx_status kx_packed_index_matrix(const kx_packed_index *index, const kx_safetensors *file, const char *name,
                                 kx_packed *packed, bool *found, kx_error *err);

/* ---- Writing ---- */

/* The shapes of the three tensors of a matrix; the second and third are those of int8 alone. */
typedef struct kx_packed_shapes {
    int64_t data[3];
    int64_t entries[2];
} kx_packed_shapes;
kx_packed_shapes kx_packed_shapes_of(kx_dtype dtype, int64_t rows, int64_t cols, int64_t split);

/* The metadata text of an index, terminated. Errors: KX_ERR_MODEL when a matrix is larger than can be read.
 */
kx_status kx_packed_index_text(const kx_packed_index *index, kx_bytes *text, kx_error *err);

const char *kx_packed_precision(kx_dtype dtype); /* "int8", "bf16" */
