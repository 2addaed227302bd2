/* The softmax of packed attention; see soften_lanes.h. */
#include "engine/kernels/x86/soften_avx512.h"

#include "engine/kernels/soften_lanes.h"
#include "engine/kernels/x86/x86.h"

void kx_soften_avx512(int64_t rows, int64_t n, const float *s, int64_t s_stride, const kx_soften_rows *state,
                      uint16_t *p, int64_t p_plane)
{
    soften_rows(rows, n, s, s_stride, state, p, p_plane);
}

void kx_soften_i8_avx512(int64_t rows, int64_t n, const float *s, int64_t s_stride,
                         const kx_soften_rows *state, uint8_t *p, int64_t p_plane)
{
    soften_rows_i8(rows, n, s, s_stride, state, p, p_plane);
}
