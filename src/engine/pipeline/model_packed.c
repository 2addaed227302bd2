#include "engine/pipeline/model_packed.h"

static kx_precision precision_of(const kx_part *part)
{
    if (part->packed == NULL) return KX_PRECISION_F32;
    return kx_precision_of(part->packed->dtype);
}

static kx_status check_alike(const kx_model_files *files, const kx_part *encoder, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part *transformer = &files->parts[KX_PART_TRANSFORMER];
    kx_precision packed = precision_of(transformer), other = precision_of(encoder);
    KX_FAIL_IF(packed != other, err, KX_ERR_MODEL,
               "%s: the transformer is %s for %s, %s is %s for %s; convert the whole model", files->path,
               transformer->packed != NULL ? "packed" : "stored", kx_precision_name(packed),
               encoder->source.what, encoder->packed != NULL ? "packed" : "stored", kx_precision_name(other));
out:
    return status;
}

kx_status kx_model_packed_precision(const kx_model_files *files, kx_precision asked, kx_precision *precision,
                                    kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part *transformer = &files->parts[KX_PART_TRANSFORMER];
    kx_precision packed = precision_of(transformer);
    *precision = asked == KX_PRECISION_AUTO ? packed : asked;
    KX_TRY(check_alike(files, &files->parts[KX_PART_T5], err));
    if (files->parts[KX_PART_CLIP].packed != NULL)
        KX_TRY(check_alike(files, &files->parts[KX_PART_CLIP], err));
    KX_FAIL_IF(transformer->packed != NULL && *precision != packed, err, KX_ERR_INPUT,
               "%s: is packed for %s, not for %s; ask for auto or %s, or convert from the original",
               files->path, kx_precision_name(packed), kx_precision_name(*precision),
               kx_precision_name(packed));
out:
    return status;
}

typedef struct attaching {
    const kx_part *part;
    kx_arena *arena;
    uint64_t elements; /* of all matrices so far */
} attaching;

static kx_status attach(void *context, const char *name, kx_linear *linear, kx_error *err)
{
    kx_status status = KX_OK;
    attaching *work = context;
    const kx_part *part = work->part;
    int64_t rows = kx_weight_rows(&linear->weight), cols = kx_weight_cols(&linear->weight);
    kx_packed *packed;
    bool found;
    KX_TRY(KX_ARENA_ARRAY(work->arena, 1, &packed, err));
    KX_TRY(part->source.find_packed(part->source.context, name, packed, &found, err));
    KX_FAIL_IF(!found || linear->weight.num_segments > 0, err, KX_ERR_MODEL,
               "%s: matrix %s is not packed, others of the file are", part->source.what, name);
    KX_FAIL_IF(packed->rows != rows || packed->cols != cols || packed->split != linear->split, err,
               KX_ERR_MODEL,
               "%s: matrix %s is packed as %lld x %lld split at %lld, %lld x %lld split at %lld is expected",
               part->source.what, name, (long long)packed->rows, (long long)packed->cols,
               (long long)packed->split, (long long)rows, (long long)cols, (long long)linear->split);
    linear->packed = packed;
    work->elements += (uint64_t)rows * (uint64_t)cols;
out:
    return status;
}

/* A parameter of which only the shape is known must be in a matrix. All numbers of the matrices come from
 * such parameters (attach), so it is enough to count. */
static kx_status check_elements(const attaching *work, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_packed_index *index = work->part->packed;
    uint64_t elements = 0;
    for (size_t i = 0; i < index->num_parameters; i++)
        elements += (uint64_t)index->parameters[i].rows * (uint64_t)index->parameters[i].cols;
    KX_FAIL_IF(elements != work->elements, err, KX_ERR_MODEL,
               "%s: %s lists parameters of %llu elements as packed, the matrices have %llu",
               work->part->source.what, work->part->files[0]->path, (unsigned long long)elements,
               (unsigned long long)work->elements);
out:
    return status;
}

kx_status kx_model_packed_attach(kx_model *model, kx_error *err)
{
    kx_status status = KX_OK;
    kx_arena *arena = &model->files->arena;
    const kx_part *parts = model->files->parts;
    attaching clip = {.part = &parts[KX_PART_CLIP], .arena = arena};
    attaching t5 = {.part = &parts[KX_PART_T5], .arena = arena};
    attaching transformer = {.part = &parts[KX_PART_TRANSFORMER], .arena = arena};
    if (clip.part->packed != NULL) {
        KX_TRY(kx_clip_each_linear(model->clip, attach, &clip, err));
        KX_TRY(check_elements(&clip, err));
    }
    if (t5.part->packed != NULL) {
        KX_TRY(kx_t5_each_linear(model->t5, attach, &t5, err));
        KX_TRY(check_elements(&t5, err));
    }
    if (transformer.part->packed != NULL) {
        KX_TRY(kx_mmdit_each_linear(model->mmdit, attach, &transformer, err));
        KX_TRY(check_elements(&transformer, err));
    }
out:
    return status;
}
