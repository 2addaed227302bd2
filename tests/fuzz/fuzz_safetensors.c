/* Any bytes as a safetensors file: an error or a file in which every tensor can be read, and every part that
 * is recognised in it can be opened and asked for parameters. */
#include "engine/formats/part.h"
#include "engine/formats/verify.h"

#include <stdlib.h>
#include <string.h>

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
    if (weight->num_segments == 0) return; /* packed: the shape alone */
    if (rows <= 0 || cols <= 0 || rows > 4096 || cols > 4096) return;
    float *values = malloc((size_t)rows * (size_t)cols * sizeof *values);
    if (values == NULL) return;
    kx_weight_read_f32(weight, values);
    free(values);
}

static volatile uint8_t sum; /* so that what is read is not left out */

/* Whatever a packed part hands out can be read to its last byte. */
static void touch_packed(const kx_part *part)
{
    for (size_t i = 0; i < part->packed->num_matrices; i++) {
        kx_packed packed;
        kx_error err = {0};
        bool found = false;
        const char *name = part->packed->matrices[i].name;
        if (part->source.find_packed(part->source.context, name, &packed, &found, &err) != KX_OK) continue;
        if (!found) abort();
        kx_packed_bytes bytes = kx_packed_size(packed.dtype, packed.rows, packed.cols, packed.split);
        for (size_t k = 0; k < bytes.data; k++) sum ^= ((const uint8_t *)packed.data)[k];
        for (size_t k = 0; k < bytes.scales / 4; k++) sum ^= packed.scales[k] != packed.scales[k];
        for (size_t k = 0; k < bytes.sums / 4; k++) sum ^= (uint8_t)packed.sums[k];
    }
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
        if (part.packed != NULL) touch_packed(&part);
        err = (kx_error){0};
        (void)kx_part_check_extra(&part, &err);
    }
    kx_arena_free(&arena);
}

static int try_file(const uint8_t *data, size_t size)
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

/* At an address like that of a map: packed tensors must be aligned. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *aligned;
    if (posix_memalign(&aligned, KX_PACKED_ALIGN, size > 0 ? size : 1) != 0) return 0;
    if (size > 0) memcpy(aligned, data, size);
    int result = try_file(aligned, size);
    free(aligned);
    return result;
}
