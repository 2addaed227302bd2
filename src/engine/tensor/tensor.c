#include "engine/tensor/tensor.h"

static void *element(const kx_tensor *t, int64_t index)
{
    if (t->data == NULL) return NULL;
    return (uint8_t *)t->data + (size_t)index * kx_dtype_bytes(t->dtype);
}

kx_tensor kx_tensor_rows(const kx_tensor *t, int64_t first, int64_t count)
{
    kx_tensor view = *t;
    view.data = element(t, first * t->stride);
    view.rows = count;
    view.height = view.width = 0;
    return view;
}

kx_tensor kx_tensor_cols(const kx_tensor *t, int64_t first, int64_t count)
{
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
