/* The words that rows_lanes.h is written in, for 4 lanes of NEON. */
#pragma once

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>

enum { LANES = 4 };
typedef float32x4_t lanes;

static inline lanes lanes_load(const float *p)
{
    return vld1q_f32(p);
}

/* The first n < LANES values of p; the other lanes are `rest`. */
static inline lanes lanes_load_some(const float *p, int64_t n, float rest)
{
    float values[LANES] = {rest, rest, rest, rest};
    for (int64_t i = 0; i < n && i < LANES; i++) values[i] = p[i];
    return vld1q_f32(values);
}

static inline void lanes_store(float *p, lanes v)
{
    vst1q_f32(p, v);
}

static inline void lanes_store_some(float *p, int64_t n, lanes v)
{
    float values[LANES];
    vst1q_f32(values, v);
    for (int64_t i = 0; i < n && i < LANES; i++) p[i] = values[i];
}

static inline lanes lanes_set(float x)
{
    return vdupq_n_f32(x);
}

static inline lanes lanes_add(lanes a, lanes b)
{
    return vaddq_f32(a, b);
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    return vsubq_f32(a, b);
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    return vmulq_f32(a, b);
}

static inline lanes lanes_div(lanes a, lanes b)
{
    return vdivq_f32(a, b);
}

/* a b + c */
static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return vfmaq_f32(c, a, b);
}

/* c - a b */
static inline lanes lanes_fnma(lanes a, lanes b, lanes c)
{
    return vfmsq_f32(c, a, b);
}

/* Where either is a NaN: b. The instruction of that name gives the NaN. */
static inline lanes lanes_max(lanes a, lanes b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline lanes lanes_min(lanes a, lanes b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline lanes lanes_round(lanes v)
{
    return vrndnq_f32(v);
}

/* v 2^n for a whole n, |n| < 200. Two steps, because 2^n itself may be out of range. */
static inline lanes lanes_times_power(lanes v, lanes n)
{
    const int32x4_t bias = vdupq_n_s32(127);
    int32x4_t whole = vcvtq_s32_f32(n);
    int32x4_t half = vshrq_n_s32(whole, 1);
    int32x4_t other = vsubq_s32(whole, half);
    v = vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
    return vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(other, bias), 23)));
}

static inline float lanes_sum(lanes v)
{
    return vaddvq_f32(v);
}

static inline float lanes_top(lanes v)
{
    return vmaxvq_f32(v);
}

static inline bool lanes_are_finite(lanes v)
{
    lanes zero = vsubq_f32(v, v); /* NaN for a NaN and for an infinity */
    return vminvq_u32(vceqq_f32(zero, zero)) != 0;
}

/* Lanes i and i ^ step exchanged; step is 1 or 2. */
static inline lanes lanes_swapped(lanes v, int step)
{
    return step == 1 ? vrev64q_f32(v) : vextq_f32(v, v, 2);
}

/* LANES/2 values of p, each twice. */
static inline lanes lanes_load_pairs(const float *p)
{
    float32x2_t two = vld1_f32(p);
    return vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
}

/* Pairs (a,b) -> (a cos - b sin, b cos + a sin). */
static inline lanes lanes_rotate(lanes v, lanes cosines, lanes sines)
{
    const uint32x4_t first = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000u)); /* the sign of a pair's first */
    uint32x4_t crossed = vreinterpretq_u32_f32(vmulq_f32(vrev64q_f32(v), sines));
    return vfmaq_f32(vreinterpretq_f32_u32(veorq_u32(crossed, first)), v, cosines);
}
