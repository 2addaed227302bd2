/* Any bytes as a safetensors file: an error or a file in which every tensor can be read, and every part that
 * is recognised in it can be opened and asked for parameters. */
#include "engine/formats/part.h"
#include "engine/formats/verify.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const parameters[] = {
    "img_in.weight",
    "double_blocks.0.img_attn.qkv.weight",
    "double_blocks.0.img_attn.norm.key_norm.scale",
    "single_blocks.0.linear1.weight",
    "final_layer.adaLN_modulation.1.weight",
    "decoder.up.0.block.0.conv1.weight",
    "decoder.mid.attn_1.q.weight",
    "embeddings.token_embedding.weight",
    "shared.weight",
};

static void touch_weight(const kx_weight *weight)
{
    int64_t rows = kx_weight_rows(weight), cols = kx_weight_cols(weight);
    if (rows <= 0 || cols <= 0 || rows > 4096 || cols > 4096) return;
    float *values = malloc((size_t)rows * (size_t)cols * sizeof *values);
    if (values == NULL) return;
    kx_weight_read_f32(weight, values);
    free(values);
}

static void open_part(const kx_safetensors *file, const kx_part_sign *signs, kx_part_kind kind)
{
    kx_arena arena = {0};
    kx_part part;
    kx_error err = {0};
    const kx_safetensors *files[1] = {file};
    if (kx_part_open(&part, kind, signs, files, 1, &arena, &err) == KX_OK) {
        for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
            kx_weight weight;
            bool found = false;
            err = (kx_error){0};
            kx_status status = part.source.find(part.source.context, parameters[i], &weight, &found, &err);
            if (status == KX_OK && found) touch_weight(&weight);
        }
        err = (kx_error){0};
        (void)kx_part_check_extra(&part, &err);
    }
    kx_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kx_safetensors file;
    kx_error err = {0};
    kx_status status = kx_safetensors_open_memory(&file, data, size, "f", KX_ERR_INPUT, &err);
    if (status != KX_OK) {
        if (err.message[0] == '\0' || (status != KX_ERR_INPUT && status != KX_ERR_MEMORY)) abort();
        return 0;
    }
    for (size_t i = 0; i < file.num_tensors; i++) {
        size_t element;
        (void)kx_verify_tensor(&file.tensors[i], &element);
        if (kx_safetensors_find(&file, file.tensors[i].name) != &file.tensors[i]) abort();
    }
    kx_part_sign signs[KX_PART_COUNT];
    const kx_safetensors *files[1] = {&file};
    kx_names_recognise(files, 1, signs);
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        if (signs[kind].present) open_part(&file, signs, (kx_part_kind)kind);
    }
    kx_safetensors_close(&file);
    return 0;
}
