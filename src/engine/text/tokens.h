/* What tokenizers hand out: ids into a bounded array, and counts. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct kx_token_count {
    size_t used; /* with the special tokens, before padding */
    size_t cut;  /* tokens of the prompt that did not fit */
} kx_token_count;

/* Keeps the first `room` tokens and counts them all. */
typedef struct kx_token_sink {
    int32_t *ids;
    size_t room;
    size_t total;
} kx_token_sink;

static inline void kx_token_sink_put(kx_token_sink *sink, int32_t id)
{
    if (sink->total < sink->room) sink->ids[sink->total] = id;
    sink->total++;
}
