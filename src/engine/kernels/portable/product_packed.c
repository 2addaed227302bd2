#include "engine/kernels/portable/portable.h"

#include <math.h>
#include <string.h>

/* One block of 16 columns: four values of K for each column lie together. */
static void block_i8(int64_t planes, const uint8_t *a, int64_t a_plane, const int8_t *b, int32_t *sums)
{
    memset(sums, 0, KX_PACKED_COLUMNS * sizeof sums[0]);
    for (int64_t p = 0; p < planes; p++)
        for (int64_t quad = 0; quad < 16; quad++, b += KX_PLANE_BYTES) {
            const uint8_t *left = a + p * a_plane + 4 * quad;
            for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++)
                sums[n] += left[0] * b[4 * n] + left[1] * b[4 * n + 1] + left[2] * b[4 * n + 2] +
                           left[3] * b[4 * n + 3];
        }
}

void kx_tile_i8_portable(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                         const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                         const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < blocks; j++) {
            int32_t sums[KX_PACKED_COLUMNS];
            block_i8(planes, a + r * KX_PLANE_BYTES, a_plane, b + j * b_block, sums);
            for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
                int64_t column = KX_PACKED_COLUMNS * j + n;
                /* A file may hold any b_sum: unsigned, since a signed sum must not overflow. */
                int32_t sum = (int32_t)((uint32_t)sums[n] + (uint32_t)b_sum[column]);
                float value = (float)sum * b_scale[column] * a_scale[r];
                float *to = c + r * c_stride + column;
                *to = add ? *to + value : value;
            }
        }
}

static float widened(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* sums (16) += even x right[.][0] + odd x right[.][1], the later one first, as the processors' dot product
 * does. The right values are widened beforehand: gcc 12 vectorises the direct loop wrongly. */
static void add_pair(float even, float odd, const uint16_t *right, float *sums)
{
    float wide[2 * KX_PACKED_COLUMNS];
    for (int64_t n = 0; n < 2 * KX_PACKED_COLUMNS; n++) wide[n] = widened(right[n]);
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) sums[n] += odd * wide[2 * n + 1];
    for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) sums[n] += even * wide[2 * n];
}

void kx_tile_bf16_portable(int64_t rows, int64_t blocks, int64_t planes, const uint16_t *a, int64_t a_plane,
                           const uint16_t *b, int64_t b_block, bool add, float *c, int64_t c_stride)
{
    enum { PAIRS = KX_PLANE_BYTES / 4 };
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < blocks; j++) {
            float sums[KX_PACKED_COLUMNS] = {0};
            const uint16_t *right = (const uint16_t *)(const void *)((const uint8_t *)b + j * b_block);
            for (int64_t p = 0; p < planes; p++) {
                const uint16_t *left =
                    (const uint16_t *)(const void *)((const uint8_t *)a + p * a_plane + r * KX_PLANE_BYTES);
                for (int64_t pair = 0; pair < PAIRS; pair++, right += 2 * KX_PACKED_COLUMNS)
                    add_pair(widened(left[2 * pair]), widened(left[2 * pair + 1]), right, sums);
            }
            for (int64_t n = 0; n < KX_PACKED_COLUMNS; n++) {
                float *to = c + r * c_stride + KX_PACKED_COLUMNS * j + n;
                *to = add ? *to + sums[n] : sums[n];
            }
        }
}

void kx_quantise_portable(int64_t n, const float *x, uint8_t *y, int64_t y_plane, float *scale)
{
    float most = 0;
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        finite = finite && isfinite(x[i]);
    }
    if (most < KX_QUANTISE_LEAST) most = 0;
    float factor = most > 0 && finite ? 127.0f / most : 0;
    for (int64_t i = 0; i < (n + KX_PLANE_BYTES - 1) / KX_PLANE_BYTES * KX_PLANE_BYTES; i++) {
        long value = i < n && finite ? lrintf(x[i] * factor) : 0;
        y[i / KX_PLANE_BYTES * y_plane + i % KX_PLANE_BYTES] = (uint8_t)(value + KX_OPERAND_OFFSET);
    }
    *scale = finite ? most / 127.0f : NAN;
}

void kx_narrow_portable(int64_t n, const float *x, uint16_t *y, int64_t y_plane)
{
    enum { VALUES = KX_PLANE_BYTES / 2 };
    for (int64_t i = 0; i < (n + VALUES - 1) / VALUES * VALUES; i++) {
        uint16_t *plane = (uint16_t *)(void *)((uint8_t *)y + i / VALUES * y_plane);
        plane[i % VALUES] = i < n ? kx_bf16_from_f32(x[i]) : 0;
    }
}

void kx_affine_bf16_portable(int64_t n, const float *x, const float *scale, const float *shift, bool silu,
                             uint16_t *y, uint16_t *rest, int64_t y_plane)
{
    enum { VALUES = KX_PLANE_BYTES / 2 };
    for (int64_t i = 0; i < (n + VALUES - 1) / VALUES * VALUES; i++) {
        float value = i < n ? x[i] : 0;
        if (scale != NULL) value = i < n ? scale[i] * value + shift[i] : 0;
        if (silu) value /= 1 + expf(-value);
        int64_t at = i / VALUES * y_plane / (int64_t)sizeof *y + i % VALUES;
        y[at] = kx_bf16_from_f32(value);
        if (rest != NULL) rest[at] = kx_bf16_from_f32(value - kx_bf16_to_f32(y[at]));
    }
}

void kx_store_pixels_portable(const kx_store_pixels *call)
{
    for (int64_t c = 0; c < call->n; c++) {
        float middle = call->middle == NULL ? 0 : call->middle[c], sum = 0, square = 0;
        for (int64_t i = 0; i < call->pixels; i++) {
            float *y = call->y + i * call->y_stride + c;
            float value = call->r[i * call->r_stride + c] + (call->bias == NULL ? 0 : call->bias[c]);
            *y = call->add ? *y + value : value;
            sum += *y - middle;
            square += (*y - middle) * (*y - middle);
        }
        if (call->middle == NULL) continue;
        call->sums[c] += (double)sum;
        call->squares[c] += (double)square;
    }
}

/* A row of soften. */
static void soften_row(int64_t n, const float *s, const kx_soften_rows *state, int64_t row, uint16_t *p,
                       int64_t p_plane)
{
    enum { VALUES = KX_PLANE_BYTES / 2 };
    float before = state->max[row], top = before, total = 0;
    for (int64_t i = 0; i < n; i++) top = s[i] > top ? s[i] : top;
    for (int64_t i = 0; i < (n + VALUES - 1) / VALUES * VALUES; i++) {
        uint16_t *plane = (uint16_t *)(void *)((uint8_t *)p + i / VALUES * p_plane);
        float value = i < n ? expf(s[i] - top) : 0;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        plane[i % VALUES] = (uint16_t)((bits + 0x8000) >> 16);
        total += value;
    }
    float factor = expf(before - top);
    state->max[row] = top;
    state->sum[row] = state->sum[row] * factor + total;
    state->factor[row] = factor;
}

void kx_soften_portable(int64_t rows, int64_t n, const float *s, int64_t s_stride,
                        const kx_soften_rows *state, uint16_t *p, int64_t p_plane)
{
    for (int64_t r = 0; r < rows; r++)
        soften_row(n, s + r * s_stride, state, r, p + r * (KX_PLANE_BYTES / 2), p_plane);
}

static void soften_row_i8(int64_t n, const float *s, const kx_soften_rows *state, int64_t row, uint8_t *p,
                          int64_t p_plane)
{
    const float most = 254.0f;
    float top = -INFINITY, total = 0, rounded = 0, before = state->max[row];
    for (int64_t i = 0; i < n; i++) top = s[i] > top ? s[i] : top;
    for (int64_t i = 0; i < (n + KX_PLANE_BYTES - 1) / KX_PLANE_BYTES * KX_PLANE_BYTES; i++) {
        float value = i < n ? most * expf(s[i] - top) : 0;
        float whole = value > 0 ? rintf(value) : 0; /* a NaN has no byte, but it is in the total */
        p[i / KX_PLANE_BYTES * p_plane + i % KX_PLANE_BYTES] = (uint8_t)(whole + 1);
        total += value;
        rounded += whole;
    }
    float m = top > before ? top : before, own = expf(top - m), factor = expf(before - m);
    state->max[row] = m;
    state->sum[row] = state->sum[row] * factor + own / most * total;
    state->factor[row] = factor;
    state->scale[row] = own / most;
    /* A byte less 128 is a weight less 127 of 254, and the missing half counts for every key. */
    state->share[row] = own * (0.5f + (total - rounded) / (most * (float)n));
}

void kx_soften_i8_portable(int64_t rows, int64_t n, const float *s, int64_t s_stride,
                           const kx_soften_rows *state, uint8_t *p, int64_t p_plane)
{
    for (int64_t r = 0; r < rows; r++)
        soften_row_i8(n, s + r * s_stride, state, r, p + r * KX_PLANE_BYTES, p_plane);
}
