/* Token ids -> rows of an embedding table, for CLIP and T5. */
#pragma once

#include "engine/tensor/ops.h"

/* table (V,h), ids (n) -> y (n,h). An id outside of [0,V) (a tokenizer of another model) is KX_ERR_MODEL in
 * `ops`, with `what` in front of the sentence. */
void kx_embedding_lookup(kx_ops *ops, const char *what, const kx_weight *table, const int32_t *ids,
                         kx_tensor *y);
