#include "engine/tensor/expect.h"

#include "base/file.h"

void kx_expect_linear(kx_ops *ops, const kx_linear *linear)
{
    const kx_packed *packed = linear->packed;
    if (kx_ops_idle(ops)) return;
    if (packed != NULL) {
        kx_packed_bytes bytes = kx_packed_size(packed->dtype, packed->rows, packed->cols, packed->split);
        kx_file_expect_range(packed->data, bytes.data);
        if (packed->scales != NULL) kx_file_expect_range(packed->scales, bytes.scales);
        if (packed->sums != NULL) kx_file_expect_range(packed->sums, bytes.sums);
        return;
    }
    for (int i = 0; i < linear->weight.num_segments; i++) {
        const kx_weight_segment *segment = &linear->weight.segments[i];
        kx_file_expect_range(segment->data, kx_weight_segment_bytes(&linear->weight, segment));
    }
}
