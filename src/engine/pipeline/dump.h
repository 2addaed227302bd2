/* --dump: every stage's tensors in one safetensors file, for comparison with a reference.
 *
 * Tensors are added as they come to be. Their bytes go to an unlinked spool beside the output; the file
 * itself is written in one go at the end, so that an edit that fails leaves nothing. All functions do nothing
 * when the dump is not open, so the edit need not ask. Names: docs/architecture.md 4.2.
 */
#pragma once

#include "base/error.h"
#include "engine/tensor/tensor.h"

typedef struct kx_dump kx_dump;

/* path NULL: *dump stays NULL, which all functions accept. Errors: KX_ERR_OUTPUT, KX_ERR_MEMORY. */
kx_status kx_dump_open(kx_dump **dump, const char *path, kx_error *err);
kx_status kx_dump_add(kx_dump *dump, const char *name, kx_dtype dtype, int rank, const int64_t *shape,
                      const void *data, kx_error *err);
/* A tensor (T,D), or a channels-last map (H,W,C) as [C,H,W]. */
kx_status kx_dump_add_tensor(kx_dump *dump, const char *name, const kx_tensor *tensor, kx_error *err);
/* Writes the file. */
kx_status kx_dump_commit(kx_dump *dump, kx_error *err);
void kx_dump_close(kx_dump *dump);
