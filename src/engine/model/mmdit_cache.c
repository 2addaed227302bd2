/* Reusing the last whole step: what is compared, and what is kept of it (docs/internals/caches.md).
 *
 * Only target rows count. The metric leaves the references out, whose inputs are the same in every step and
 * would dilute it the more of them there are. The residual leaves them out because what follows the blocks
 * reads target rows alone. So a cache is two buffers of (L,h), however many references there are. Where a
 * quantity would need a third one, it is made again for a few rows at a time. */
#include "engine/model/mmdit_parts.h"

enum { ROWS_AT_A_TIME = 256 };
static const float norm_eps = 1e-6f;

void kx_mmdit_take_cache(const kx_mmdit *model, kx_ops *ops, kx_mmdit_run *run, kx_mmdit_cache *cache)
{
    cache->earlier = kx_ops_take(ops, "step cache: compared", run->target, model->config.hidden);
    cache->residual = kx_ops_take(ops, "step cache: residual", run->target, model->config.hidden);
    cache->filled = false;
    run->cache = cache;
}

/* The decision on the sums of kx_op_sum_change. Without anything to compare with, the step is computed. */
static bool decide(kx_mmdit_cache *cache, kx_ops *ops, const double sums[2])
{
    if (kx_ops_idle(ops) || !cache->filled || !(sums[1] > 0)) return false;
    return cache->reuse(cache->user, sums[0] / sums[1]);
}

/* ---- First block --------------------------------------------------------------------------------------- */

/* after (L,h): the target behind the first block; tokens (L,in). The change of r = after - W_in tokens. */
static void compare_first_block(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_cache *cache,
                                const kx_tensor *tokens, const kx_tensor *after, double sums[2])
{
    for (int64_t first = 0; first < after->rows; first += ROWS_AT_A_TIME) {
        int64_t left = after->rows - first, count = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME;
        kx_scratch_mark mark = kx_ops_mark(ops);
        kx_tensor some = kx_tensor_rows(tokens, first, count), now = kx_tensor_rows(after, first, count);
        kx_tensor earlier = kx_tensor_rows(&cache->earlier, first, count);
        kx_tensor before = kx_ops_take(ops, "step cache: input", count, after->cols);
        kx_op_linear(ops, &some, &model->image_in, KX_EPILOGUE_STORE, NULL, &before);
        kx_op_sum_change(ops, &now, &before, &earlier, sums);
        kx_ops_release(ops, mark);
    }
}

bool kx_mmdit_reuse_after_block(const kx_mmdit *model, kx_ops *ops, kx_mmdit_cache *cache,
                                const kx_tensor *tokens, kx_tensor *x)
{
    double sums[2] = {0, 0};
    if (cache == NULL || cache->last || cache->probe != KX_MMDIT_PROBE_FIRST_BLOCK) return false;
    if (cache->filled || ops->dry) compare_first_block(model, ops, cache, tokens, x, sums);
    if (decide(cache, ops, sums)) {
        kx_op_add(ops, &cache->residual, x);
        return cache->reused = true;
    }
    kx_op_linear(ops, tokens, &model->image_in, KX_EPILOGUE_STORE, NULL, &cache->earlier);
    kx_op_subtract_from(ops, x, &cache->earlier);
    kx_op_copy(ops, x, &cache->residual);
    return false;
}

/* ---- Modulated input ----------------------------------------------------------------------------------- */

/* m (L,h) = mod1(x) of the first double block: compared with the last step's and put in its place. */
static void compare_input(const kx_mmdit *model, kx_ops *ops, const kx_mmdit_cache *cache,
                          const float *modulation, const kx_tensor *x, double sums[2])
{
    int64_t h = model->config.hidden,
            first_of_image = kx_mmdit_modulation_of_double(&model->config, 0) + 6 * h;
    const float *shift = modulation == NULL ? NULL : modulation + first_of_image;
    const float *scale = shift == NULL ? NULL : shift + h;
    for (int64_t first = 0; first < x->rows; first += ROWS_AT_A_TIME) {
        int64_t left = x->rows - first, count = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME;
        kx_scratch_mark mark = kx_ops_mark(ops);
        kx_tensor some = kx_tensor_rows(x, first, count);
        kx_tensor earlier = kx_tensor_rows(&cache->earlier, first, count);
        kx_tensor now = kx_ops_take(ops, "step cache: input", count, h);
        kx_op_norm_modulate(ops, &some, shift, scale, norm_eps, &now);
        if (cache->filled || ops->dry) kx_op_sum_change(ops, &now, NULL, &earlier, sums);
        kx_op_copy(ops, &now, &earlier);
        kx_ops_release(ops, mark);
    }
}

bool kx_mmdit_reuse_before_blocks(const kx_mmdit *model, kx_ops *ops, kx_mmdit_cache *cache,
                                  const float *modulation, kx_tensor *x)
{
    double sums[2] = {0, 0};
    if (cache == NULL || cache->last || cache->probe != KX_MMDIT_PROBE_INPUT) return false;
    compare_input(model, ops, cache, modulation, x, sums);
    if (decide(cache, ops, sums)) {
        kx_op_add(ops, &cache->residual, x);
        return cache->reused = true;
    }
    kx_op_copy(ops, x, &cache->residual);
    return false;
}

void kx_mmdit_keep_residual(kx_ops *ops, kx_mmdit_cache *cache, const kx_tensor *x)
{
    if (cache == NULL || cache->last) return;
    kx_op_subtract_from(ops, x, &cache->residual);
    cache->filled = true;
}
