/* One part of a model (transformer, VAE, CLIP, T5) in its open files: the kx_weight_source that its network
 * is built from.
 *
 * A canonical name becomes a kx_weight whose segments point into the mapped files: split matrices are
 * stacked, halves swapped, 1x1 convolutions of the VAE's attention given as matrices (rank 2), fp8 scales
 * attached to their segments. Nothing is copied. Every tensor that was asked for is marked; what remains
 * after the network was built is foreign (kx_part_check_extra), which catches a file of another model that
 * happens to have all the right names.
 *
 * fp8: `L.weight` in F8 with a scalar `L.scale_weight` (older ComfyUI) or `L.weight_scale` (newer). Other
 * quantised formats of `L.comfy_quant` and `_quantization_metadata` are refused by name (specification 5.9).
 *
 * A part may be packed (packed_index.h): one file under canonical names, whose matrices are found ready for
 * use, and whose original parameters are known by their shapes.
 *
 * Borrows the files. `find` marks tensors: one thread at a time.
 */
#pragma once

#include "base/arena.h"
#include "engine/formats/names.h"
#include "engine/formats/packed_index.h"
#include "engine/formats/safetensors.h"
#include "engine/tensor/weight.h"

struct kx_ticker;

typedef struct kx_part_entry {
    const char *name; /* without the prefix */
    const kx_safetensors_tensor *tensor;
    const kx_safetensors *file;
    bool used;
    bool foreign; /* outside every part's prefix; never found */
} kx_part_entry;

typedef struct kx_part {
    kx_part_kind kind;
    kx_dialect dialect;
    const char *prefix;
    int vae_levels;
    kx_packed_index *packed; /* NULL: as the model was published */
    const kx_safetensors *const *files;
    size_t num_files;
    kx_part_entry *entries; /* sorted by name; the foreign ones behind */
    size_t num_entries;
    size_t num_foreign;
    /* Parameters only: without fp8 scales, markers and what is ignored. */
    uint64_t num_tensors, num_parameters, num_bytes;
    uint64_t dtype_tensors[KX_DTYPE_COUNT];
    kx_weight_source source;
} kx_part;

/* Takes from `files` the tensors of the part `kind`, as `signs` (kx_names_recognise over the same files)
 * tell. Tensors that belong to no part are counted to the first part present. `part` must not move
 * afterwards: its source points to it. `files` and its array must outlive it; names live in `arena`. Errors:
 * KX_ERR_MODEL, KX_ERR_MEMORY. */
kx_status kx_part_open(kx_part *part, kx_part_kind kind, const kx_part_sign signs[KX_PART_COUNT],
                       const kx_safetensors *const *files, size_t num_files, kx_arena *arena, kx_error *err);

/* Lower precisions have packed forms of its matrices: all but the VAE. */
bool kx_part_can_be_packed(kx_part_kind kind);

/* KX_ERR_MODEL when the files hold a tensor that nobody found and that is not known to be superfluous. */
kx_status kx_part_check_extra(const kx_part *part, kx_error *err);

/* Writes the part's tensors as they are, without a prefix, into a file of their own with checksums
 * (checksum.h). Counts kx_part_copy_bytes in the ticker. Errors: KX_ERR_OUTPUT, KX_ERR_CANCELLED,
 * KX_ERR_MEMORY. */
uint64_t kx_part_copy_bytes(const kx_part *part);
kx_status kx_part_copy(const kx_part *part, const char *path, struct kx_ticker *ticker, kx_error *err);
