/* When a step may be answered from the last whole one (model-spec 6.1; docs/internals/caches.md).
 *
 * Both rules see one number for each step, the relative change of what is probed,
 * d = mean |now - earlier| / mean |earlier|:
 *
 * - first block (as in ParaAttention and diffusers): reuse while d < threshold. The probe is what the first
 * block adds, and `earlier` is that of the last whole step, so the changes of steps in a row add up by
 * themselves.
 * - TeaCache: reuse while the sum of |p(d)| since the last whole step is < threshold. The probe is the
 * modulated input, `earlier` that of the last step; p is fitted so that p(d) is the change of the output
 * (here the published coefficients for FLUX.1 Kontext).
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

typedef struct kx_step_cache {
    kx_cache_kind kind;
    double threshold;
    double accumulated; /* TeaCache: since the last whole step */
} kx_step_cache;

/* The threshold where none is asked for, chosen by measurement (docs/SPEED.md). */
double kx_step_cache_default_threshold(kx_cache_kind kind);
/* For a new picture: nothing is accumulated. A negative threshold is the default. */
kx_step_cache kx_step_cache_start(kx_cache_kind kind, double threshold);
/* Decides on a step: true is reuse. */
bool kx_step_cache_decide(kx_step_cache *cache, double change);
