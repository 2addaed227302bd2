#include "engine/sampler/step_cache.h"

#include <math.h>

/* Highest power first. */
static const double kontext_coefficients[] = {-1046.55119, 312.563399, -16.9500694, 0.410995971,
                                              0.0374537863};

static const double default_first_block = 0.08;
static const double default_teacache = 0.15;

double kx_step_cache_default_threshold(kx_cache_kind kind)
{
    switch (kind) {
    case KX_CACHE_FIRST_BLOCK:
        return default_first_block;
    case KX_CACHE_TEACACHE:
        return default_teacache;
    default:
        return 0;
    }
}

kx_step_cache kx_step_cache_start(kx_cache_kind kind, double threshold)
{
    return (kx_step_cache){
        .kind = kind,
        .threshold = threshold < 0 ? kx_step_cache_default_threshold(kind) : threshold,
    };
}

static double polynomial(double d)
{
    double sum = 0;
    for (size_t i = 0; i < sizeof kontext_coefficients / sizeof kontext_coefficients[0]; i++)
        sum = sum * d + kontext_coefficients[i];
    return sum;
}

bool kx_step_cache_decide(kx_step_cache *cache, double change)
{
    if (cache->kind == KX_CACHE_FIRST_BLOCK) return change < cache->threshold;
    if (cache->kind != KX_CACHE_TEACACHE) return false;
    cache->accumulated += fabs(polynomial(change));
    bool reuse = cache->accumulated < cache->threshold;
    if (!reuse) cache->accumulated = 0;
    return reuse;
}
