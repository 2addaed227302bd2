/* The words that winograd_lanes.h is written in, for four lanes of the compiler's vector type (see
 * product.c). Products and sums are rounded one by one. */
#pragma once

#include <stdint.h>
#include <string.h>

enum { LANES = 4 };
typedef float lanes __attribute__((vector_size(16)));

static inline lanes lanes_set(float x)
{
    return (lanes){x, x, x, x};
}

static inline lanes lanes_load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The first n < LANES values of p; the other lanes are `rest`. */
static inline lanes lanes_load_some(const float *p, int64_t n, float rest)
{
    lanes v = lanes_set(rest);
    for (int64_t i = 0; i < n; i++) v[i] = p[i];
    return v;
}

static inline void lanes_store(float *p, lanes v)
{
    memcpy(p, &v, sizeof v);
}

static inline void lanes_store_some(float *p, int64_t n, lanes v)
{
    for (int64_t i = 0; i < n; i++) p[i] = v[i];
}

static inline lanes lanes_add(lanes a, lanes b)
{
    return a + b;
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    return a - b;
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    return a * b;
}

/* a b + c */
static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return a * b + c;
}
