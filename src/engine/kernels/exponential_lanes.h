/* The exponential for all widths of vectors. Include lanes_SET.h first. */
#pragma once

/* e^x, within 2e-7 of the value. x = n ln 2 + r with |r| <= ln 2 / 2; e^r by a polynomial (the coefficients
 * are a minimax fit of (e^r - 1 - r) / r^2, degree 5). 0 from -104 down, infinity from 88.73 up, a NaN stays
 * one. */
static inline lanes exponential(lanes x)
{
    x = lanes_min(lanes_set(89.0f), lanes_max(lanes_set(-105.0f), x));
    lanes n = lanes_round(lanes_mul(x, lanes_set(1.44269504088896341f)));
    lanes r = lanes_fnma(n, lanes_set(0.693145751953125f), x);
    r = lanes_fnma(n, lanes_set(1.42860682030941723e-6f), r);
    lanes p = lanes_fma(lanes_set(1.9875691500e-4f), r, lanes_set(1.3981999507e-3f));
    p = lanes_fma(p, r, lanes_set(8.3334519073e-3f));
    p = lanes_fma(p, r, lanes_set(4.1665795894e-2f));
    p = lanes_fma(p, r, lanes_set(1.6666665459e-1f));
    p = lanes_fma(p, r, lanes_set(5.0000001201e-1f));
    p = lanes_fma(lanes_mul(p, r), r, r);
    return lanes_times_power(lanes_add(p, lanes_set(1.0f)), n);
}
