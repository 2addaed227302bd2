/* One Euler step of the rectified flow: the model's velocity is v = noise - picture, and x moves along it
 * from noise level `sigma` to `sigma_next`. The state stays in f32 whatever the model computes in. */
#pragma once

#include <stddef.h>

/* x (count), v (count) -> x + (sigma_next - sigma) v, in place. */
void kx_euler_step(float *x, const float *v, size_t count, float sigma, float sigma_next);

/* x (count) at noise level sigma, v (count) of the step that led there -> picture (count) = x - sigma v:
 * where x would end if the velocity stayed as it is. */
void kx_euler_estimate(const float *x, const float *v, size_t count, float sigma, float *picture);
