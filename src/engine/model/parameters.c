#include "engine/model/parameters.h"

#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 192 };

static kx_status need(const kx_parameters *p, const char *name, int rank, const int64_t *shape,
                      kx_weight *weight)
{
    kx_status status = KX_OK;
    KX_TRY(kx_weight_need(p->source, name, rank, shape, weight, p->err));
    for (int i = 0; i < rank; i++)
        KX_FAIL_IF(weight->shape[i] < 1, p->err, KX_ERR_MODEL, "%s: tensor %s is empty", p->source->what,
                   name);
out:
    return status;
}

static kx_status need_vector(const kx_parameters *p, const char *name, int64_t length, const float **values)
{
    float *read = NULL;
    kx_status status = kx_weight_need_vector(p->source, name, length, p->arena, &read, p->err);
    *values = read;
    return status;
}

kx_status kx_parameters_weight(const kx_parameters *p, kx_weight *weight, int rank, const int64_t *shape,
                               const char *format, ...)
{
    char name[NAME_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return need(p, name, rank, shape, weight);
}

kx_status kx_parameters_vector(const kx_parameters *p, const float **values, int64_t length,
                               const char *format, ...)
{
    char name[NAME_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return need_vector(p, name, length, values);
}

/* NAME.weight and NAME.bias; the length of the bias is the number of rows that the weight has. */
static kx_status need_pair(const kx_parameters *p, const char *name, int rank, const int64_t *shape,
                           kx_weight *weight, const float **bias)
{
    kx_status status = KX_OK;
    char full[NAME_ROOM + 8];
    snprintf(full, sizeof full, "%s.weight", name);
    KX_TRY(need(p, full, rank, shape, weight));
    snprintf(full, sizeof full, "%s.bias", name);
    KX_TRY(need_vector(p, full, weight->shape[0], bias));
out:
    return status;
}

kx_status kx_parameters_linear(const kx_parameters *p, kx_linear *linear, int64_t rows, int64_t cols,
                               const char *format, ...)
{
    char name[NAME_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return need_pair(p, name, 2, (int64_t[]){rows, cols}, &linear->weight, &linear->bias);
}

kx_status kx_parameters_norm(const kx_parameters *p, kx_norm *norm, int64_t length, const char *format, ...)
{
    char name[NAME_ROOM], full[NAME_ROOM + 8];
    kx_status status = KX_OK;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    snprintf(full, sizeof full, "%s.weight", name);
    KX_TRY(need_vector(p, full, length, &norm->weight));
    snprintf(full, sizeof full, "%s.bias", name);
    KX_TRY(need_vector(p, full, length, &norm->bias));
out:
    return status;
}

kx_status kx_parameters_conv(const kx_parameters *p, kx_conv *conv, int64_t out_channels, int64_t in_channels,
                             int64_t k, const char *format, ...)
{
    char name[NAME_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    conv->rounded = p->rounded;
    return need_pair(p, name, 4, (int64_t[]){out_channels, in_channels, k, k}, &conv->weight, &conv->bias);
}

kx_status kx_parameters_exists(const kx_parameters *p, bool *exists, const char *format, ...)
{
    char name[NAME_ROOM];
    kx_weight weight;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    *exists = false;
    return p->source->find(p->source->context, name, &weight, exists, p->err);
}

kx_status kx_parameters_count(const kx_parameters *p, const char *before, const char *after, int *count)
{
    kx_status status = KX_OK;
    bool exists = true;
    for (*count = 0; exists; *count += exists) {
        KX_FAIL_IF(*count == KX_PARAMETERS_MAX_BLOCKS, p->err, KX_ERR_MODEL, "%s: more than %d of %s*%s",
                   p->source->what, KX_PARAMETERS_MAX_BLOCKS, before, after);
        KX_TRY(kx_parameters_exists(p, &exists, "%s%d%s", before, *count, after));
    }
out:
    return status;
}

kx_status kx_parameters_join(const kx_parameters *p, const kx_linear *parts, int count, kx_linear *joined)
{
    kx_status status = KX_OK;
    float *bias = NULL;
    joined->weight = parts[0].weight;
    for (int i = 1; i < count; i++) {
        KX_FAIL_IF(joined->weight.num_segments + parts[i].weight.num_segments > KX_WEIGHT_MAX_SEGMENTS,
                   p->err, KX_ERR_MODEL, "%s: a matrix is in too many pieces", p->source->what);
        joined->weight = kx_weight_stack(&joined->weight, &parts[i].weight);
    }
    joined->bias = NULL;
    if (parts[0].bias == NULL) return KX_OK;
    KX_TRY(KX_ARENA_ARRAY(p->arena, kx_weight_rows(&joined->weight), &bias, p->err));
    joined->bias = bias;
    for (int i = 0; i < count; i++) {
        int64_t rows = kx_weight_rows(&parts[i].weight);
        memcpy(bias, parts[i].bias, (size_t)rows * sizeof *bias);
        bias += rows;
    }
out:
    return status;
}

kx_status kx_parameters_visit_block(const char *blocks, int number, const kx_block_linear *linears,
                                    size_t count, kx_linear_visit *visit, void *context, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t k = 0; k < count; k++) {
        char name[NAME_ROOM];
        snprintf(name, sizeof name, "%s.%d.%s", blocks, number, linears[k].name);
        KX_TRY(visit(context, name, linears[k].linear, err));
    }
out:
    return status;
}
