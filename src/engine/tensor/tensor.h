/* A view of activations: `rows` vectors of `cols` elements, row-major, `stride` elements from one row to the
 * next. Tokens are rows. A picture or feature map is channels-last: rows = height x width, cols = channels.
 */
#pragma once

#include "engine/tensor/dtype.h"

typedef struct kx_tensor {
    void *data; /* NULL while a memory plan is being measured */
    kx_dtype dtype;
    int64_t rows;
    int64_t cols;
    int64_t stride;
    int64_t height, width; /* 0, 0 when the rows are not a picture */

    /* An operand of a packed product (dtype KX_U8 or KX_BF16, see packed.h) lies in planes: [plane][row][64
     * bytes]. plane_bytes is 0 for every other tensor, and `stride` has no meaning for an operand. */
    int64_t plane_bytes;
    float *scales; /* KX_U8: [group][row], groups scale_stride apart */
    int64_t scale_stride;
} kx_tensor;

static inline float *kx_tensor_f32(const kx_tensor *t)
{
    return (float *)t->data;
}

static inline bool kx_tensor_is_operand(const kx_tensor *t)
{
    return t->plane_bytes != 0;
}

/* Rows first .. first+count-1 of t. */
kx_tensor kx_tensor_rows(const kx_tensor *t, int64_t first, int64_t count);
/* Columns first .. first+count-1 of t. Of an operand: a part, or whole groups from its beginning. */
kx_tensor kx_tensor_cols(const kx_tensor *t, int64_t first, int64_t count);
/* A contiguous f32 view of memory that someone else owns. */
kx_tensor kx_tensor_of(float *data, int64_t rows, int64_t cols);
/* The same for a channels-last picture. */
kx_tensor kx_tensor_map_of(float *data, int64_t height, int64_t width, int64_t channels);
