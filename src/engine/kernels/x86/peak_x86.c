/* Peak loops of x86. Compiled plainly: each function names the instructions that it may use. */
#include "engine/kernels/bench.h"
#include "engine/kernels/x86/x86.h"

#include <immintrin.h>

/* The sums start apart: equal ones a compiler computes once.
 * Sums in flight: latency 4 times 2 units and some more; with the two operands they fit 16 registers. */
enum { SUMS = 12 };

#define EACH_SUM(step)                                                                                       \
    step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)

static double run_f32_sse2(int64_t iterations)
{
    __m128 sums[SUMS], a = _mm_set1_ps(0.999f), b = _mm_set1_ps(1e-3f);
    for (int n = 0; n < SUMS; n++) sums[n] = _mm_set1_ps((float)n);
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n) sums[n] = _mm_add_ps(_mm_mul_ps(sums[n], a), b);
        EACH_SUM(STEP)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = _mm_add_ps(sums[0], sums[n]);
    return (double)_mm_cvtss_f32(sums[0]);
}

__attribute__((target("avx2,fma"))) static double run_f32_avx2(int64_t iterations)
{
    __m256 sums[SUMS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    for (int n = 0; n < SUMS; n++) sums[n] = _mm256_set1_ps((float)n);
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n) sums[n] = _mm256_fmadd_ps(sums[n], a, b);
        EACH_SUM(STEP)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = _mm256_add_ps(sums[0], sums[n]);
    return (double)_mm256_cvtss_f32(sums[0]);
}

/* u8 x s8 pairs to 16 bits, pairs of those to 32, added: what there is without VNNI. The products do not wait
 * for the sums; the empty statement keeps the compiler from taking them out of the loop. */
__attribute__((target("avx2"))) static double run_int8_avx2(int64_t iterations)
{
    __m256i sums[SUMS], one = _mm256_set1_epi16(1), a = _mm256_set1_epi8(2), b = _mm256_set1_epi8(3);
    for (int n = 0; n < SUMS; n++) sums[n] = _mm256_set1_epi32(n);
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n)                                                                                              \
    __asm__ volatile("" : "+x"(a));                                                                          \
    sums[n] = _mm256_add_epi32(sums[n], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one));
        EACH_SUM(STEP)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = _mm256_add_epi32(sums[0], sums[n]);
    return (double)_mm256_extract_epi32(sums[0], 0);
}

__attribute__((target("avx2,avxvnni"))) static double run_int8_avxvnni(int64_t iterations)
{
    __m256i sums[SUMS], a = _mm256_set1_epi32(0x01020304), b = _mm256_set1_epi32(0x04030201);
    for (int n = 0; n < SUMS; n++) sums[n] = _mm256_set1_epi32(n);
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n) sums[n] = _mm256_dpbusd_avx_epi32(sums[n], a, b);
        EACH_SUM(STEP)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = _mm256_add_epi32(sums[0], sums[n]);
    return (double)_mm256_extract_epi32(sums[0], 0);
}

__attribute__((target("avx512f"))) static double run_f32_avx512(int64_t iterations)
{
    __m512 sums[SUMS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    for (int n = 0; n < SUMS; n++) sums[n] = _mm512_set1_ps((float)n);
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n) sums[n] = _mm512_fmadd_ps(sums[n], a, b);
        EACH_SUM(STEP)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = _mm512_add_ps(sums[0], sums[n]);
    return (double)_mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512bw,avx512bf16"))) static double run_bf16_avx512bf16(int64_t iterations)
{
    __m512 sums[SUMS];
    __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f)), b = a;
    for (int n = 0; n < SUMS; n++) sums[n] = _mm512_set1_ps((float)n);
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n) sums[n] = _mm512_dpbf16_ps(sums[n], a, b);
        EACH_SUM(STEP)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = _mm512_add_ps(sums[0], sums[n]);
    return (double)_mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512vnni"))) static double run_int8_avx512vnni(int64_t iterations)
{
    __m512i sums[SUMS], a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x04030201);
    for (int n = 0; n < SUMS; n++) sums[n] = _mm512_set1_epi32(n);
    for (int64_t i = 0; i < iterations; i++) {
#define STEP(n) sums[n] = _mm512_dpbusd_epi32(sums[n], a, b);
        EACH_SUM(STEP)
#undef STEP
    }
    for (int n = 1; n < SUMS; n++) sums[0] = _mm512_add_epi32(sums[0], sums[n]);
    return (double)_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
}

/* Values of either sign, none of them 0, as bf16 of 0.5 to 2 or as bytes: a processor may multiply zeros at a
 * higher clock than anything else. */
static void fill_tile(uint8_t part[1024])
{
    for (int i = 0; i < 1024; i++)
        part[i] = (uint8_t)(i % 2 == 0 ? 37 * i / 2 | 1 : i % 3 == 0 ? 0xbf : 0x3f);
}

/* Six tiles of sums and two operands. */
#define AMX_TARGET __attribute__((target("avx512f,amx-tile,amx-int8,amx-bf16")))
#define RUN_AMX(name, dot)                                                                                   \
    AMX_TARGET static double name(int64_t iterations)                                                        \
    {                                                                                                        \
        uint8_t part[1024];                                                                                  \
        int32_t sums[256];                                                                                   \
        fill_tile(part);                                                                                     \
        kx_enter_tiles_amx();                                                                                \
        _tile_zero(0);                                                                                       \
        _tile_zero(1);                                                                                       \
        _tile_zero(2);                                                                                       \
        _tile_zero(3);                                                                                       \
        _tile_zero(4);                                                                                       \
        _tile_zero(5);                                                                                       \
        _tile_loadd(6, part, 64);                                                                            \
        _tile_loadd(7, part, 64);                                                                            \
        for (int64_t i = 0; i < iterations; i++) {                                                           \
            dot(0, 6, 7);                                                                                    \
            dot(1, 6, 7);                                                                                    \
            dot(2, 6, 7);                                                                                    \
            dot(3, 6, 7);                                                                                    \
            dot(4, 6, 7);                                                                                    \
            dot(5, 6, 7);                                                                                    \
        }                                                                                                    \
        _tile_stored(0, sums, 64);                                                                           \
        kx_leave_tiles_amx();                                                                                \
        return (double)sums[0];                                                                              \
    }
enum { AMX_SUMS = 6 };

RUN_AMX(run_int8_amx, _tile_dpbusd)
RUN_AMX(run_bf16_amx, _tile_dpbf16ps)

const kx_peak_loop kx_peak_loops[] = {
    {KX_PRECISION_F32, "portable", "mulps and addps, 128 bits", run_f32_sse2, SUMS * 2 * 4},
    {KX_PRECISION_F32, "avx2", "vfmadd, 256 bits", run_f32_avx2, SUMS * 2 * 8},
    {KX_PRECISION_F32, "avx512", "vfmadd, 512 bits", run_f32_avx512, SUMS * 2 * 16},
    {KX_PRECISION_BF16, "avx512bf16", "vdpbf16ps, 512 bits", run_bf16_avx512bf16, SUMS * 2 * 32},
    {KX_PRECISION_BF16, "amx", "tdpbf16ps, 16 x 16 x 32", run_bf16_amx, AMX_SUMS * 2 * 256 * 32},
    {KX_PRECISION_INT8, "avx2", "vpmaddubsw, 256 bits", run_int8_avx2, SUMS * 2 * 32},
    {KX_PRECISION_INT8, "avxvnni", "vpdpbusd, 256 bits", run_int8_avxvnni, SUMS * 2 * 32},
    {KX_PRECISION_INT8, "avx512vnni", "vpdpbusd, 512 bits", run_int8_avx512vnni, SUMS * 2 * 64},
    {KX_PRECISION_INT8, "amx", "tdpbusd, 16 x 16 x 64", run_int8_amx, AMX_SUMS * 2 * 256 * 64},
};
const size_t kx_peak_loop_count = sizeof kx_peak_loops / sizeof kx_peak_loops[0];
