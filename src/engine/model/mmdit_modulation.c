/* All modulation vectors of some steps: m = W silu(vec) + b for each block, beside each other in one row a
 * step. Their weights are 27 % of the model and wanted once for all these steps: their pages are let go at
 * once. */
#include "engine/model/mmdit_parts.h"

int64_t kx_mmdit_modulation_of_double(const kx_mmdit_config *config, int i)
{
    return 12 * config->hidden * i;
}

int64_t kx_mmdit_modulation_of_single(const kx_mmdit_config *config, int i)
{
    return kx_mmdit_modulation_of_double(config, config->double_blocks) + 3 * config->hidden * i;
}

int64_t kx_mmdit_modulation_of_final(const kx_mmdit_config *config)
{
    return kx_mmdit_modulation_of_single(config, config->single_blocks);
}

int64_t kx_mmdit_modulation_width(const kx_mmdit_config *config)
{
    return kx_mmdit_modulation_of_final(config) + 2 * config->hidden;
}

static void fill(kx_ops *ops, const kx_tensor *conditioning, const kx_linear *linear, int64_t first,
                 kx_tensor *modulation)
{
    kx_tensor part = kx_tensor_cols(modulation, first, kx_weight_rows(&linear->weight));
    kx_op_linear(ops, conditioning, linear, KX_EPILOGUE_STORE, NULL, &part);
    kx_ops_forget(ops, &linear->weight);
}

void kx_mmdit_modulate(const kx_mmdit *model, kx_ops *ops, const kx_tensor *conditioning,
                       kx_tensor *modulation)
{
    const kx_mmdit_config *config = &model->config;
    for (int i = 0; i < config->double_blocks; i++) {
        int64_t first = kx_mmdit_modulation_of_double(config, i);
        fill(ops, conditioning, &model->doubles[i].text.modulation, first, modulation);
        fill(ops, conditioning, &model->doubles[i].image.modulation, first + 6 * config->hidden, modulation);
    }
    for (int i = 0; i < config->single_blocks; i++)
        fill(ops, conditioning, &model->singles[i].modulation, kx_mmdit_modulation_of_single(config, i),
             modulation);
    fill(ops, conditioning, &model->final_modulation, kx_mmdit_modulation_of_final(config), modulation);
}
