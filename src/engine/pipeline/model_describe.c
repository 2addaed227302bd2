#include "engine/pipeline/model.h"

#include <jansson.h>

static json_t *describe_part(const kx_model *model, const kx_part *part)
{
    json_t *files = json_array(), *types = json_object();
    for (size_t i = 0; i < part->num_files; i++)
        json_array_append_new(files, json_string(part->files[i]->path));
    for (int i = 0; i < KX_DTYPE_COUNT; i++)
        if (part->dtype_tensors[i] > 0)
            json_object_set_new(types, kx_dtype_name((kx_dtype)i),
                                json_integer((json_int_t)part->dtype_tensors[i]));
    (void)model;
    const char *packed = part->packed != NULL ? kx_packed_precision(part->packed->dtype) : NULL;
    return json_pack("{s:s, s:s, s:s?, s:o, s:I, s:I, s:I, s:o}", "part", kx_part_kind_name(part->kind), "layout",
                     kx_dialect_name(part->dialect), "packed_for", packed, "files", files, "tensors", (json_int_t)part->num_tensors,
                     "parameters", (json_int_t)part->num_parameters, "bytes", (json_int_t)part->num_bytes,
                     "dtypes", types);
}

static json_t *describe_sizes(const kx_model *model)
{
    const kx_mmdit_config *mmdit = kx_mmdit_config_of(model->mmdit);
    const kx_t5_config *t5 = kx_t5_config_of(model->t5);
    const kx_clip_config *clip = kx_clip_config_of(model->clip);
    const kx_vae_config *vae = kx_vae_config_of(model->vae);
    return json_pack("{s:{s:I, s:I, s:I, s:i, s:i, s:[i,i,i]}, s:{s:I, s:I, s:i, s:I}, s:{s:I, s:I, s:i, "
                     "s:I}, s:{s:i, s:I, s:f, s:f}}",
                     "transformer", "width", (json_int_t)mmdit->hidden, "heads", (json_int_t)mmdit->heads,
                     "head_dim", (json_int_t)mmdit->head_dim, "double_blocks", mmdit->double_blocks,
                     "single_blocks", mmdit->single_blocks, "rope_axes", (int)mmdit->axes[0],
                     (int)mmdit->axes[1], (int)mmdit->axes[2], //
                     "t5", "width", (json_int_t)t5->width, "heads", (json_int_t)t5->heads, "blocks",
                     t5->blocks, "vocabulary",
                     (json_int_t)t5->vocabulary, //
                     "clip", "width", (json_int_t)clip->width, "heads", (json_int_t)clip->heads, "layers",
                     clip->layers, "vocabulary", (json_int_t)clip->vocabulary, //
                     "vae", "levels", vae->levels, "widest", (json_int_t)vae->widest, "scaling",
                     (double)vae->scaling, "shift", (double)vae->shift);
}

static json_t *describe_limits(const kx_model *model)
{
    json_t *sizes = json_array();
    for (size_t i = 0; i < model->rules.num_preferred_sizes; i++)
        json_array_append_new(sizes, json_pack("[i,i]", model->rules.preferred_sizes[i].width_px,
                                               model->rules.preferred_sizes[i].height_px));
    return json_pack("{s:I, s:o, s:i, s:i, s:I, s:i, s:f, s:i}", "native_area",
                     (json_int_t)model->rules.native_area_px, "preferred_sizes", sizes, "min_side",
                     model->rules.min_side_px, "max_side", model->rules.max_side_px, "max_text_tokens",
                     (json_int_t)model->max_text_tokens, "default_steps", model->default_steps,
                     "default_guidance", model->default_guidance, "max_references", KX_MAX_REFERENCES);
}

kx_status kx_model_describe(kx_model *model, char **text, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0};
    kx_error *err = caller_err != NULL ? caller_err : &own_err;
    const kx_kontext_json *kontext = &model->files->configs.kontext;
    const char *licence = kontext->licence != NULL ? kontext->licence : KX_MODEL_LICENCE_UNKNOWN;
    json_t *parts = json_array();
    for (int i = 0; i < KX_PART_COUNT; i++)
        json_array_append_new(parts, describe_part(model, &model->files->parts[i]));
    json_t *root =
        json_pack("{s:s?, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:{s:s, s:s}}", "name", kontext->name,
                  "path", model->files->path, "licence", licence, "precision",
                  kx_precision_name(model->precision), "kernels",
                  model->kernels->name, "threads", (json_int_t)kx_pool_threads(model->pool), "parts", parts,
                  "sizes", describe_sizes(model), "limits", describe_limits(model), "tokenizers", "clip",
                  model->files->clip_tokenizer, "t5", model->files->t5_tokenizer);
    KX_FAIL_IF(root == NULL, err, KX_ERR_MEMORY, "out of memory");
    *text = json_dumps(root, JSON_INDENT(2));
    KX_FAIL_IF(*text == NULL, err, KX_ERR_MEMORY, "out of memory");
out:
    json_decref(root);
    return status;
}
