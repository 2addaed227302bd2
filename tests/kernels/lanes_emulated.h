/* The words that attend_tiles.h wants of lanes, for 16 lanes in plain C. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };
typedef struct lanes {
    float at[LANES];
} lanes;

#define EACH_LANE(value)                                                                                     \
    lanes result;                                                                                            \
    for (int i = 0; i < LANES; i++) result.at[i] = (value);                                                  \
    return result

static inline lanes lanes_set(float x)
{
    EACH_LANE(x);
}

static inline lanes lanes_load(const float *p)
{
    EACH_LANE(p[i]);
}

static inline lanes lanes_load_some(const float *p, int64_t n, float rest)
{
    EACH_LANE(i < n ? p[i] : rest);
}

static inline lanes lanes_first(lanes v, int64_t n)
{
    EACH_LANE(i < n ? v.at[i] : 0);
}

static inline void lanes_store(float *p, lanes v)
{
    memcpy(p, &v, sizeof v);
}

static inline void lanes_store_some(float *p, int64_t n, lanes v)
{
    for (int64_t i = 0; i < n; i++) p[i] = v.at[i];
}

static inline lanes lanes_add(lanes a, lanes b)
{
    EACH_LANE(a.at[i] + b.at[i]);
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    EACH_LANE(a.at[i] - b.at[i]);
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    EACH_LANE(a.at[i] * b.at[i]);
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
    EACH_LANE(fmaf(a.at[i], b.at[i], c.at[i]));
}

static inline lanes lanes_fnma(lanes a, lanes b, lanes c)
{
    EACH_LANE(fmaf(-a.at[i], b.at[i], c.at[i]));
}

static inline lanes lanes_max(lanes a, lanes b)
{
    EACH_LANE(a.at[i] > b.at[i] ? a.at[i] : b.at[i]);
}

static inline lanes lanes_min(lanes a, lanes b)
{
    EACH_LANE(a.at[i] < b.at[i] ? a.at[i] : b.at[i]);
}

static inline lanes lanes_round(lanes v)
{
    EACH_LANE(nearbyintf(v.at[i]));
}

static inline lanes lanes_times_power(lanes v, lanes n)
{
    EACH_LANE(v.at[i] * exp2f(n.at[i]));
}

static inline lanes lanes_raised(lanes p, lanes t)
{
    return lanes_times_power(p, lanes_sub(t, lanes_set(12582912.0f)));
}

static inline float lanes_sum(lanes v)
{
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += v.at[i];
    return sum;
}

static inline float lanes_top(lanes v)
{
    float top = v.at[0];
    for (int i = 1; i < LANES; i++) top = v.at[i] > top ? v.at[i] : top;
    return top;
}

static inline void lanes_store_bf16(uint16_t *to, lanes low, lanes high)
{
    for (int i = 0; i < 2 * LANES; i++) {
        float value = i < LANES ? low.at[i] : high.at[i - LANES];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        to[i] = (uint16_t)((bits + 0x8000) >> 16);
    }
}

static inline void lanes_store_weights(uint8_t *to, const lanes v[4])
{
    for (int i = 0; i < 4 * LANES; i++) to[i] = (uint8_t)(nearbyintf(v[i / LANES].at[i % LANES]) + 1);
}

static inline int64_t lanes_sum_bytes(int64_t planes, const uint8_t *p, int64_t plane)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < planes * 4 * LANES; i++) sum += p[i / (4 * LANES) * plane + i % (4 * LANES)];
    return sum;
}
