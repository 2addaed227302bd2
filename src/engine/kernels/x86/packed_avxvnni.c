/* int8 products by AVX-VNNI: the byte dot product on registers of 256 bits. */
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>
#include <string.h>

enum { STEP_LEFT_BYTES = 1 };

typedef __m256i step_state;
typedef __m256i step_right_value;

static inline step_state step_zero(void)
{
    return _mm256_setzero_si256();
}

static inline __m256i step_left(const uint8_t *a)
{
    int32_t quad;
    memcpy(&quad, a, sizeof quad);
    return _mm256_set1_epi32(quad);
}

static inline step_right_value step_right(const int8_t *b)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)b);
}

static inline step_state step_add(step_state s, __m256i left, step_right_value right)
{
    return _mm256_dpbusd_avx_epi32(s, left, right);
}

static inline __m256i step_sums(step_state s)
{
    return s;
}

#include "engine/kernels/x86/packed_avx2.h"

void kx_tile_i8_avxvnni(int64_t rows, int64_t blocks, int64_t planes, const uint8_t *a, int64_t a_plane,
                        const int8_t *b, int64_t b_block, const float *a_scale, const float *b_scale,
                        const int32_t *b_sum, bool add, float *c, int64_t c_stride)
{
    for (int64_t r = 0; r < rows; r += ROWS)
        for (int64_t j = 0; j < blocks; j++)
            tile_i8(rows - r < ROWS ? rows - r : ROWS, planes, a + r * KX_PLANE_BYTES, a_plane,
                    b + j * b_block, a_scale + r, b_scale + j * KX_PACKED_COLUMNS,
                    b_sum + j * KX_PACKED_COLUMNS, add, c + r * c_stride + j * KX_PACKED_COLUMNS, c_stride);
}
