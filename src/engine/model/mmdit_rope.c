/* The two tables of sines: rotations of positions, and the embedding of times. */
#include "engine/model/mmdit_parts.h"

#include <math.h>

/* model-spec 2.8: axis a of d_a dimensions turns d_a/2 pairs by position x theta^(-2j/d_a). The pairs of the
 * three axes follow each other. Angles in double: positions reach hundreds, and sines of such angles lose
 * digits in f32. */
void kx_mmdit_fill_rotations(const kx_mmdit_config *config, kx_ops *ops, const float *positions,
                             kx_tensor *cosines, kx_tensor *sines)
{
    if (kx_ops_idle(ops)) return;
    int64_t pair = 0;
    for (int a = 0; a < KX_MMDIT_AXES; a++) {
        for (int64_t j = 0; j < config->axes[a] / 2; j++, pair++) {
            double frequency = 1.0 / pow(config->theta, (double)(2 * j) / (double)config->axes[a]);
            for (int64_t s = 0; s < cosines->rows; s++) {
                double angle = (double)positions[s * KX_MMDIT_AXES + a] * frequency;
                kx_tensor_f32(cosines)[s * cosines->stride + pair] = (float)cos(angle);
                kx_tensor_f32(sines)[s * sines->stride + pair] = (float)sin(angle);
            }
        }
    }
}

/* model-spec 2.2: frequencies and arguments are rounded to f32, as in training; in double the embedding would
 * differ by up to 1e-4. The sines themselves are those of the rounded argument. */
void kx_mmdit_fill_sinusoid(float value, int64_t frequencies, float *out)
{
    int64_t half = frequencies / 2;
    float scaled = 1000.0f * value;
    for (int64_t i = 0; i < half; i++) {
        float exponent = (float)-log(10000.0) * (float)i / (float)half;
        float argument = scaled * (float)exp((double)exponent);
        out[i] = (float)cos((double)argument);
        out[half + i] = (float)sin((double)argument);
    }
}
