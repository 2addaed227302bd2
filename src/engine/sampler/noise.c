#include "engine/sampler/noise.h"

#include "engine/tensor/dtype.h"

#include <assert.h>
#include <math.h>

enum { STATE_WORDS = 624, STATE_MIDDLE = 397, GROUP = 16, HALF = GROUP / 2 };

/* mt19937 (Matsumoto and Nishimura, 1998). */
typedef struct twister {
    uint32_t state[STATE_WORDS];
    size_t next;
} twister;

static void twister_seed(twister *t, uint32_t seed)
{
    t->state[0] = seed;
    for (uint32_t j = 1; j < STATE_WORDS; j++) {
        uint32_t before = t->state[j - 1];
        t->state[j] = 1812433253u * (before ^ (before >> 30)) + j;
    }
    t->next = STATE_WORDS;
}

static void twister_refill(twister *t)
{
    for (size_t i = 0; i < STATE_WORDS; i++) {
        uint32_t joined = (t->state[i] & 0x80000000u) | (t->state[(i + 1) % STATE_WORDS] & 0x7fffffffu);
        uint32_t twisted = (joined >> 1) ^ ((joined & 1u) ? 0x9908b0dfu : 0u);
        t->state[i] = t->state[(i + STATE_MIDDLE) % STATE_WORDS] ^ twisted;
    }
    t->next = 0;
}

static uint32_t twister_draw(twister *t)
{
    if (t->next == STATE_WORDS) twister_refill(t);
    uint32_t y = t->state[t->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static float round_to_bf16(float x)
{
    return kx_bf16_to_f32(kx_bf16_from_f32(x));
}

static float draw_24_bits(twister *t)
{
    return (float)(twister_draw(t) & 0xffffffu) * 0x1p-24f;
}

static float draw_8_bits(twister *t)
{
    return (float)(twister_draw(t) & 0xffu) * 0x1p-8f;
}

/* x (16) uniform -> x (16) normal, by Box and Muller: x[j] is the radius' uniform, x[j+8] the angle's.
 * Logarithm and cosine go through double so that the result does not hang on the C library's f32 variants.
 * The added zero turns -0 into 0, as torch's "* std + mean" does. */
static void make_normal_f32(float x[GROUP])
{
    const float two_pi = (float)(2.0 * M_PI);
    for (size_t j = 0; j < HALF; j++) {
        float radius = sqrtf(-2.0f * (float)log((double)(1.0f - x[j])));
        double angle = (double)(two_pi * x[j + HALF]);
        x[j] = radius * (float)cos(angle) + 0.0f;
        x[j + HALF] = radius * (float)sin(angle) + 0.0f;
    }
}

/* The same with every intermediate result rounded to bf16. */
static void make_normal_bf16(float x[GROUP])
{
    for (size_t j = 0; j < HALF; j++) {
        float logarithm = round_to_bf16((float)log((double)(1.0f - x[j])));
        float radius = round_to_bf16(sqrtf(round_to_bf16(-2.0f * logarithm)));
        double angle = (double)round_to_bf16((float)(2.0 * M_PI * (double)x[j + HALF]));
        x[j] = round_to_bf16(radius * round_to_bf16((float)cos(angle))) + 0.0f;
        x[j + HALF] = round_to_bf16(radius * round_to_bf16((float)sin(angle))) + 0.0f;
    }
}

void kx_noise_fill(kx_noise_stream stream, uint64_t seed, float *out, size_t count)
{
    assert(count >= GROUP);
    bool old = stream == KX_NOISE_TORCH_BF16_OLD;
    float (*draw)(twister *) = old ? draw_8_bits : draw_24_bits;
    void (*make_normal)(float *) = old ? make_normal_bf16 : make_normal_f32;
    twister generator;
    twister_seed(&generator, (uint32_t)seed);
    for (size_t i = 0; i < count; i++) out[i] = draw(&generator);
    for (size_t i = 0; i + GROUP <= count; i += GROUP) make_normal(out + i);
    if (count % GROUP != 0) {
        float *tail = out + count - GROUP;
        for (size_t i = 0; i < GROUP; i++) tail[i] = draw(&generator);
        make_normal(tail);
    }
    if (stream != KX_NOISE_TORCH_BF16) return;
    for (size_t i = 0; i < count; i++) out[i] = round_to_bf16(out[i]);
}
