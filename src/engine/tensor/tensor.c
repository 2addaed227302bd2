#include "engine/tensor/tensor.h"

#include "engine/tensor/packed.h"

static void *element(const kx_tensor *t, int64_t index)
{
    if (t->data == NULL) return NULL;
    return (uint8_t *)t->data + (size_t)index * kx_dtype_bytes(t->dtype);
}

static kx_tensor operand_rows(const kx_tensor *t, int64_t first, int64_t count)
{
    kx_tensor view = *t;
    if (t->data != NULL) view.data = (uint8_t *)t->data + first * KX_PLANE_BYTES;
    if (t->scales != NULL) view.scales = t->scales + first;
    view.rows = count;
    return view;
}

static kx_tensor operand_cols(const kx_tensor *t, int64_t first, int64_t count)
{
    kx_tensor view = *t;
    if (t->data != NULL) view.data = (uint8_t *)t->data + kx_planes_of(t->dtype, first) * t->plane_bytes;
    if (t->scales != NULL) view.scales = t->scales + kx_groups_of(t->dtype, first) * t->scale_stride;
    view.cols = count;
    return view;
}

kx_tensor kx_tensor_rows(const kx_tensor *t, int64_t first, int64_t count)
{
    if (kx_tensor_is_operand(t)) return operand_rows(t, first, count);
    kx_tensor view = *t;
    view.data = element(t, first * t->stride);
    view.rows = count;
    view.height = view.width = 0;
    return view;
}

kx_tensor kx_tensor_cols(const kx_tensor *t, int64_t first, int64_t count)
{
    if (kx_tensor_is_operand(t)) return operand_cols(t, first, count);
    kx_tensor view = *t;
    view.data = element(t, first);
    view.cols = count;
    return view;
}

kx_tensor kx_tensor_of(float *data, int64_t rows, int64_t cols)
{
    return (kx_tensor){.data = data, .dtype = KX_F32, .rows = rows, .cols = cols, .stride = cols};
}

kx_tensor kx_tensor_map_of(float *data, int64_t height, int64_t width, int64_t channels)
{
    kx_tensor t = kx_tensor_of(data, height * width, channels);
    t.height = height;
    t.width = width;
    return t;
}
