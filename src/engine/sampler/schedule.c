#include "engine/sampler/schedule.h"

#include <assert.h>
#include <math.h>

kx_schedule kx_schedule_default(void)
{
    return (kx_schedule){.dynamic_shifting = true,
                         .base_shift = 0.5,
                         .max_shift = 1.15,
                         .base_tokens = 256,
                         .max_tokens = 4096,
                         .shift = 3.0,
                         .train_timesteps = 1000};
}

double kx_schedule_mu(const kx_schedule *schedule, size_t target_tokens)
{
    double slope =
        (schedule->max_shift - schedule->base_shift) / (schedule->max_tokens - schedule->base_tokens);
    double start = schedule->base_shift - slope * schedule->base_tokens;
    return (double)target_tokens * slope + start;
}

/* Entry k of numpy's linspace(1, 1/n, n): the last one is the end itself, not start + (n-1) steps. */
static float linspace_entry(size_t k, size_t n)
{
    double end = 1.0 / (double)n;
    if (k == 0) return 1.0f;
    if (k == n - 1) return (float)end;
    double step = (end - 1.0) / (double)(n - 1);
    return (float)((double)k * step + 1.0);
}

void kx_schedule_sigmas(const kx_schedule *schedule, size_t steps, size_t target_tokens, float *sigmas)
{
    assert(steps >= 1);
    float e_mu = (float)exp(kx_schedule_mu(schedule, target_tokens));
    float shift = (float)schedule->shift, shift_less_one = (float)(schedule->shift - 1.0);
    for (size_t k = 0; k < steps; k++) {
        float t = linspace_entry(k, steps);
        sigmas[k] = schedule->dynamic_shifting ? e_mu / (e_mu + (1.0f / t - 1.0f))
                                               : shift * t / (1.0f + shift_less_one * t);
    }
    sigmas[steps] = 0.0f;
}

void kx_schedule_timesteps(const kx_schedule *schedule, size_t steps, const float *sigmas, float *timesteps)
{
    for (size_t k = 0; k < steps; k++) timesteps[k] = sigmas[k] * (float)schedule->train_timesteps;
}
