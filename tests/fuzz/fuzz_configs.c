/* The first byte chooses one of the JSON files of a model folder, the rest is its text: an error that names
 * the file, or settings within their ranges. */
#include "base/json_file.h"
#include "base/limits.h"
#include "engine/formats/configs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ranges(const kx_configs *configs)
{
    const kx_kontext_json *kontext = &configs->kontext;
    if (kontext->num_preferred_sizes < 1 || kontext->num_preferred_sizes > KX_CONFIG_PREFERRED_MAX) abort();
    for (size_t i = 0; i < kontext->num_preferred_sizes; i++) {
        kx_size size = kontext->preferred_sizes[i];
        if (size.width_px < 16 || size.width_px > KX_LIMIT_SIDE_MAX_PX || size.width_px % 16 != 0) abort();
        if (size.height_px < 16 || size.height_px > KX_LIMIT_SIDE_MAX_PX || size.height_px % 16 != 0) abort();
    }
    if (kontext->min_side.value < KX_LIMIT_SIDE_MIN_PX || kontext->max_side.value < kontext->min_side.value)
        abort();
    if (kontext->default_steps.value < 1 || kontext->default_steps.value > KX_LIMIT_STEPS_MAX) abort();
    if (!isfinite(configs->scheduler.shift.value) || !isfinite(configs->vae.scaling_factor.value)) abort();
    if (configs->scheduler.base_image_seq_len.value >= configs->scheduler.max_image_seq_len.value) abort();
    if (configs->vae.norm_num_groups.value < 1) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kx_arena arena = {0};
    kx_configs configs;
    kx_error err = {0};
    json_t *root = NULL;
    if (size < 1 || size > KX_LIMIT_CONFIG_BYTES) return 0;
    kx_configs_default(&configs);
    kx_config_kind kind = (kx_config_kind)(data[0] % KX_CONFIG_KINDS);
    kx_status status =
        kx_json_text_load(&root, (const char *)data + 1, size - 1, "c.json", KX_ERR_MODEL, &err);
    if (status == KX_OK) status = kx_config_read(&configs, kind, root, "c.json", &arena, &err);
    if (status == KX_OK) check_ranges(&configs);
    if (status != KX_OK && strncmp(err.message, "c.json: ", 8) != 0) abort();
    json_decref(root);
    kx_arena_free(&arena);
    return 0;
}
