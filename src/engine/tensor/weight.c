#include "engine/tensor/weight.h"

#include "base/file.h"

#include <assert.h>
#include <stdio.h>

int64_t kx_weight_rows(const kx_weight *weight)
{
    return weight->rank == 0 ? 1 : weight->shape[0];
}

int64_t kx_weight_cols(const kx_weight *weight)
{
    int64_t cols = 1;
    for (int i = 1; i < weight->rank; i++) cols *= weight->shape[i];
    return cols;
}

size_t kx_weight_segment_bytes(const kx_weight *weight, const kx_weight_segment *segment)
{
    return (size_t)segment->rows * (size_t)kx_weight_cols(weight) * kx_dtype_bytes(segment->dtype);
}

void kx_weight_drop(const kx_weight *weight)
{
    for (int i = 0; i < weight->num_segments; i++) {
        const kx_weight_segment *segment = &weight->segments[i];
        kx_file_drop_range(segment->data, kx_weight_segment_bytes(weight, segment));
    }
}

kx_weight kx_weight_slice(const kx_weight *weight, int64_t first, int64_t count)
{
    assert(first >= 0 && count >= 0 && first + count <= kx_weight_rows(weight));
    kx_weight slice = *weight;
    int64_t cols = kx_weight_cols(weight), before = 0;
    slice.num_segments = 0;
    slice.shape[0] = count;
    for (int i = 0; i < weight->num_segments; i++) {
        kx_weight_segment segment = weight->segments[i];
        int64_t from = first > before ? first : before;
        int64_t to = first + count < before + segment.rows ? first + count : before + segment.rows;
        if (from < to) {
            size_t skipped = (size_t)(from - before) * (size_t)cols * kx_dtype_bytes(segment.dtype);
            segment.data = (const uint8_t *)segment.data + skipped;
            segment.rows = to - from;
            slice.segments[slice.num_segments++] = segment;
        }
        before += weight->segments[i].rows;
    }
    return slice;
}

kx_weight kx_weight_stack(const kx_weight *a, const kx_weight *b)
{
    assert(kx_weight_cols(a) == kx_weight_cols(b));
    assert(a->num_segments + b->num_segments <= KX_WEIGHT_MAX_SEGMENTS);
    kx_weight stacked = *a;
    for (int i = 0; i < b->num_segments; i++) stacked.segments[stacked.num_segments++] = b->segments[i];
    stacked.shape[0] += b->shape[0];
    return stacked;
}

const void *kx_weight_row(const kx_weight *weight, int64_t row, kx_dtype *dtype, float *scale)
{
    const kx_weight_segment *segment = weight->segments;
    while (row >= segment->rows) row -= segment++->rows;
    *dtype = segment->dtype;
    *scale = segment->scale;
    return (const uint8_t *)segment->data + (size_t)(row * kx_weight_cols(weight)) * kx_dtype_bytes(segment->dtype);
}

void kx_weight_read_f32(const kx_weight *weight, float *out)
{
    size_t cols = (size_t)kx_weight_cols(weight);
    for (int i = 0; i < weight->num_segments; i++) {
        const kx_weight_segment *segment = &weight->segments[i];
        size_t count = (size_t)segment->rows * cols;
        for (size_t k = 0; k < count; k++) *out++ = segment->scale * kx_dtype_get(segment->dtype, segment->data, k);
    }
}

static void print_shape(char *out, size_t room, int rank, const int64_t *shape)
{
    size_t used = (size_t)snprintf(out, room, "[");
    for (int i = 0; i < rank && used < room; i++) {
        const char *comma = i > 0 ? "," : "";
        used += (size_t)(shape[i] < 0 ? snprintf(out + used, room - used, "%s*", comma)
                                      : snprintf(out + used, room - used, "%s%lld", comma, (long long)shape[i]));
    }
    if (used < room) snprintf(out + used, room - used, "]");
}

kx_status kx_weight_need(const kx_weight_source *source, const char *name, int rank, const int64_t *shape,
                         kx_weight *weight, kx_error *err)
{
    kx_status status = KX_OK;
    bool found = false;
    KX_TRY(source->find(source->context, name, weight, &found, err));
    KX_FAIL_IF(!found, err, KX_ERR_MODEL, "%s: tensor %s is missing", source->what, name);
    bool equal = weight->rank == rank;
    for (int i = 0; equal && i < rank; i++) equal = shape[i] < 0 || shape[i] == weight->shape[i];
    if (!equal) {
        char expected[96], actual[96];
        print_shape(expected, sizeof expected, rank, shape);
        print_shape(actual, sizeof actual, weight->rank, weight->shape);
        KX_FAIL(err, KX_ERR_MODEL, "%s: tensor %s has shape %s, %s is expected", source->what, name, actual,
                expected);
    }
out:
    return status;
}

kx_status kx_weight_need_vector(const kx_weight_source *source, const char *name, int64_t length, kx_arena *arena,
                                float **values, kx_error *err)
{
    kx_status status = KX_OK;
    kx_weight weight;
    KX_TRY(kx_weight_need(source, name, 1, &length, &weight, err));
    KX_TRY(KX_ARENA_ARRAY(arena, kx_weight_rows(&weight), values, err));
    kx_weight_read_f32(&weight, *values);
out:
    return status;
}
