/* What the contract needs to know of the loaded model, also while it is not loaded yet. */
#pragma once

#include "service/api/submit_parameters.h"
#include "service/queue/queue.h"

void kx_facts_limits(kx_queue *queue, kx_parameter_limits *limits);
/* Pure: FLUX.1 Kontext's own values stand in for what the facts do not hold. */
void kx_facts_to_limits(const kx_model_facts *facts, kx_parameter_limits *limits);
