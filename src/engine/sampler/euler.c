#include "engine/sampler/euler.h"

void kx_euler_step(float *x, const float *v, size_t count, float sigma, float sigma_next)
{
    float step = sigma_next - sigma;
    for (size_t i = 0; i < count; i++) x[i] += step * v[i];
}

void kx_euler_estimate(const float *x, const float *v, size_t count, float sigma, float *picture)
{
    for (size_t i = 0; i < count; i++) picture[i] = x[i] - sigma * v[i];
}
