#include "service/api/facts.h"

void kx_facts_to_limits(const kx_model_facts *facts, kx_parameter_limits *limits)
{
    *limits = (kx_parameter_limits){256, 1536, 28, 2.5};
    if (facts->min_side_px > 0) limits->min_side_px = facts->min_side_px;
    if (facts->max_side_px >= limits->min_side_px) limits->max_side_px = facts->max_side_px;
    if (facts->default_steps > 0) limits->default_steps = facts->default_steps;
    if (facts->default_guidance > 0) limits->default_guidance = facts->default_guidance;
}

void kx_facts_limits(kx_queue *queue, kx_parameter_limits *limits)
{
    kx_model_facts facts = {0};
    kx_queue_model_facts(queue, &facts);
    kx_facts_to_limits(&facts, limits);
}
