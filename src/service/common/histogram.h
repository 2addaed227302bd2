/* Counts of durations at or below fixed bounds, as Prometheus wants them. Not locked: each belongs to
 * somebody who is. */
#pragma once

#include <stdint.h>

#define KX_HISTOGRAM_BOUNDS 12

/* Ascending, in seconds. */
extern const double kx_histogram_of_jobs[KX_HISTOGRAM_BOUNDS];    /* 0.1 s to 4 hours */
extern const double kx_histogram_of_answers[KX_HISTOGRAM_BOUNDS]; /* 0.5 ms to 10 s */

typedef struct kx_histogram {
    const double *bounds; /* one of the above */
    uint64_t counts[KX_HISTOGRAM_BOUNDS];
    uint64_t total;
    double sum;
} kx_histogram;

void kx_histogram_add(kx_histogram *histogram, double seconds);
