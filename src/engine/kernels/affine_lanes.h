/* An affine map with SiLU for all widths of vectors. Include lanes_SET.h first. */
#pragma once

#include "engine/kernels/exponential_lanes.h"

#include <stdbool.h>

/* r sigmoid(slope r), with minus_slope = -slope */
static inline lanes sigmoid_product(lanes r, lanes minus_slope_r)
{
    return lanes_div(r, lanes_add(lanes_set(1.0f), exponential(minus_slope_r)));
}

static inline lanes affine_value(lanes x, lanes scale, lanes shift, bool silu)
{
    lanes value = lanes_fma(scale, x, shift);
    return silu ? sigmoid_product(value, lanes_sub(lanes_set(0), value)) : value;
}
