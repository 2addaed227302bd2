/* The numbers of the synthetic models: they follow from the seed, the tensor's name and the place in it. */
#pragma once

#include "engine/formats/synth_shapes.h"

/* Elements first .. first+count-1 of `tensor` as bf16. first is a multiple of 4. */
void kx_synth_fill(uint16_t *values, size_t count, const kx_synth_tensor *tensor, uint64_t seed,
                   uint64_t first);
