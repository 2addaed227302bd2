/* The noise levels of the sampler: sigma runs from 1 (noise) to 0 (picture).
 *
 * The rule is that of FlowMatchEulerDiscreteScheduler as the Kontext pipeline of diffusers calls it:
 *
 *     t_k     = linspace(1, 1/n, n), computed in double, rounded to f32
 *     dynamic : sigma_k = e^mu / (e^mu + (1/t_k - 1)),   mu = m L + b through (base_tokens, base_shift) and
 *               (max_tokens, max_shift)
 *     static  : sigma_k = shift t_k / (1 + (shift - 1) t_k)
 *     sigma_n = 0,   timestep_k = 1000 sigma_k
 *
 * e^mu is rounded to f32 and the rest is f32 arithmetic, as numpy does it. L counts the tokens of the target
 * picture alone: neither text nor references shift the schedule.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct kx_schedule {
    bool dynamic_shifting;
    double base_shift, max_shift; /* mu at base_tokens and at max_tokens */
    double base_tokens, max_tokens;
    double shift;           /* of the static rule; 1 = none */
    double train_timesteps; /* 1000 */
} kx_schedule;

/* FLUX.1 Kontext [dev]: dynamic, 0.5 at 256 tokens, 1.15 at 4096. */
kx_schedule kx_schedule_default(void);

/* mu for a target of `target_tokens` tokens. */
double kx_schedule_mu(const kx_schedule *schedule, size_t target_tokens);

/* -> sigmas (steps+1), sigmas[0] = 1, sigmas[steps] = 0. steps >= 1. */
void kx_schedule_sigmas(const kx_schedule *schedule, size_t steps, size_t target_tokens, float *sigmas);

/* sigmas (steps+1) -> timesteps (steps), in units of the training schedule (0-1000). */
void kx_schedule_timesteps(const kx_schedule *schedule, size_t steps, const float *sigmas, float *timesteps);
