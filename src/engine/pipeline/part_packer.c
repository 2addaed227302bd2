#include "engine/pipeline/part_packer.h"

#include <string.h>

enum { MAX_PARAMETERS = 16384, MAX_MATRICES = 8192 };

/* ---- What the network reads ---------------------------------------------------------------------------- */

static kx_status note_parameter(kx_part_packer *packer, const char *name, const kx_weight *weight,
                                kx_error *err)
{
    kx_status status = KX_OK;
    char *copy;
    for (size_t i = 0; i < packer->num_parameters; i++)
        if (strcmp(packer->parameters[i].name, name) == 0) return KX_OK;
    KX_FAIL_IF(packer->num_parameters == MAX_PARAMETERS, err, KX_ERR_MODEL, "%s: more than %d parameters",
               packer->source.what, MAX_PARAMETERS);
    KX_TRY(kx_arena_copy_text(&packer->arena, name, strlen(name), &copy, err));
    packer->parameters[packer->num_parameters++] = (kx_packer_parameter){.name = copy, .weight = *weight};
out:
    return status;
}

static kx_status find_and_note(void *context, const char *name, kx_weight *weight, bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    kx_part_packer *packer = context;
    const kx_weight_source *inner = &packer->part->source;
    KX_TRY(inner->find(inner->context, name, weight, found, err));
    if (*found) KX_TRY(note_parameter(packer, name, weight, err));
out:
    return status;
}

static kx_status note_matrix(void *context, const char *name, kx_linear *linear, kx_error *err)
{
    kx_status status = KX_OK;
    kx_part_packer *packer = context;
    char *copy;
    KX_FAIL_IF(packer->num_matrices == MAX_MATRICES, err, KX_ERR_MODEL, "%s: more than %d matrices",
               packer->source.what, MAX_MATRICES);
    KX_TRY(kx_arena_copy_text(&packer->arena, name, strlen(name), &copy, err));
    packer->matrices[packer->num_matrices++] = (kx_packer_matrix){copy, linear};
out:
    return status;
}

static kx_status load_network(kx_part_packer *packer, const kx_mmdit_config *axes, kx_error *err)
{
    kx_status status = KX_OK;
    switch (packer->part->kind) {
    case KX_PART_TRANSFORMER:
        KX_TRY(kx_mmdit_load(&packer->mmdit, &packer->source, axes, err));
        KX_TRY(kx_mmdit_each_linear(packer->mmdit, note_matrix, packer, err));
        break;
    case KX_PART_T5:
        KX_TRY(kx_t5_load(&packer->t5, &packer->source, NULL, err));
        KX_TRY(kx_t5_each_linear(packer->t5, note_matrix, packer, err));
        break;
    case KX_PART_CLIP: /* of any number of heads: the matrices are the same */
        KX_TRY(kx_clip_load(&packer->clip, &packer->source, &(kx_clip_config){.heads = 1}, err));
        KX_TRY(kx_clip_each_linear(packer->clip, note_matrix, packer, err));
        break;
    default:
        KX_FAIL(err, KX_ERR_INTERNAL, "%s: is never packed", packer->source.what);
    }
out:
    return status;
}

/* ---- What becomes of it -------------------------------------------------------------------------------- */

static bool is_within(const kx_weight *weight, const void *data)
{
    for (int i = 0; i < weight->num_segments; i++) {
        const uint8_t *start = weight->segments[i].data, *at = data;
        if (at >= start && at < start + kx_weight_segment_bytes(weight, &weight->segments[i])) return true;
    }
    return false;
}

/* Each parameter is packed whole or not at all, and the matrices hold nothing else. */
static kx_status mark_packed(kx_part_packer *packer, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t in_matrices = 0, in_parameters = 0;
    for (size_t k = 0; k < packer->num_matrices; k++) {
        const kx_weight *weight = &packer->matrices[k].linear->weight;
        in_matrices += kx_weight_rows(weight) * kx_weight_cols(weight);
    }
    for (size_t i = 0; i < packer->num_parameters; i++) {
        kx_packer_parameter *parameter = &packer->parameters[i];
        for (size_t k = 0; k < packer->num_matrices && !parameter->packed; k++)
            parameter->packed =
                is_within(&packer->matrices[k].linear->weight, parameter->weight.segments[0].data);
        if (parameter->packed)
            in_parameters += kx_weight_rows(&parameter->weight) * kx_weight_cols(&parameter->weight);
    }
    KX_FAIL_IF(in_matrices != in_parameters, err, KX_ERR_INTERNAL,
               "%s: the matrices have %lld elements, the parameters that they are made of %lld",
               packer->source.what, (long long)in_matrices, (long long)in_parameters);
out:
    return status;
}

kx_plain_form kx_part_packer_form(const kx_weight *weight)
{
    kx_plain_form form = {weight->segments[0].dtype, weight->segments[0].scale};
    for (int i = 1; i < weight->num_segments; i++)
        if (weight->segments[i].dtype != form.dtype || weight->segments[i].scale != form.scale)
            return (kx_plain_form){KX_F32, 1};
    return form;
}

static size_t plain_bytes(const kx_weight *weight)
{
    kx_plain_form form = kx_part_packer_form(weight);
    size_t elements = (size_t)(kx_weight_rows(weight) * kx_weight_cols(weight));
    return elements * kx_dtype_bytes(form.dtype) + (form.scale == 1 ? 0 : sizeof form.scale);
}

static void count_bytes(kx_part_packer *packer)
{
    for (size_t k = 0; k < packer->num_matrices; k++) {
        const kx_linear *linear = packer->matrices[k].linear;
        kx_packed_bytes bytes = kx_packed_size(packer->dtype, kx_weight_rows(&linear->weight),
                                               kx_weight_cols(&linear->weight), linear->split);
        packer->bytes += bytes.data + bytes.scales + bytes.sums;
    }
    for (size_t i = 0; i < packer->num_parameters; i++) {
        const kx_weight *weight = &packer->parameters[i].weight;
        if (!packer->parameters[i].packed) packer->bytes += plain_bytes(weight);
    }
}

kx_status kx_part_packer_open(kx_part_packer *packer, const kx_mmdit_config *axes, kx_error *err)
{
    kx_status status = KX_OK;
    packer->source =
        (kx_weight_source){.find = find_and_note, .context = packer, .what = packer->part->source.what};
    KX_TRY(KX_ARENA_ARRAY(&packer->arena, MAX_PARAMETERS, &packer->parameters, err));
    KX_TRY(KX_ARENA_ARRAY(&packer->arena, MAX_MATRICES, &packer->matrices, err));
    KX_TRY(load_network(packer, axes, err));
    KX_TRY(mark_packed(packer, err));
    count_bytes(packer);
out:
    return status;
}

void kx_part_packer_close(kx_part_packer *packer)
{
    kx_mmdit_free(packer->mmdit);
    kx_t5_free(packer->t5);
    kx_clip_free(packer->clip);
    kx_arena_free(&packer->arena);
    *packer = (kx_part_packer){0};
}
