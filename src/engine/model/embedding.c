#include "engine/model/embedding.h"

void kx_embedding_lookup(kx_ops *ops, const char *what, const kx_weight *table, const int32_t *ids,
                         kx_tensor *y)
{
    int64_t vocabulary = kx_weight_rows(table);
    bool idle = kx_ops_idle(ops);
    for (int64_t t = 0; !idle && t < y->rows; t++) {
        if (ids[t] >= 0 && ids[t] < vocabulary) continue;
        kx_error_set(
            &ops->error, KX_ERR_MODEL, __FILE__, __LINE__,
            "%s: token id %d is outside of the embedding table of %lld rows; the tokenizer belongs to "
            "another model",
            what, (int)ids[t], (long long)vocabulary);
        return;
    }
    kx_op_embed(ops, table, ids, y);
}
