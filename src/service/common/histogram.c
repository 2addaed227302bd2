#include "service/common/histogram.h"

const double kx_histogram_of_jobs[KX_HISTOGRAM_BOUNDS] = {0.1, 0.5, 1,   5,   15,   30,
                                                          60,  120, 300, 900, 3600, 14400};
const double kx_histogram_of_answers[KX_HISTOGRAM_BOUNDS] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02,
                                                             0.05,   0.1,   0.25,  1,     2.5,  10};

void kx_histogram_add(kx_histogram *histogram, double seconds)
{
    for (unsigned i = 0; i < KX_HISTOGRAM_BOUNDS; i++)
        if (seconds <= histogram->bounds[i]) histogram->counts[i]++;
    histogram->total++;
    histogram->sum += seconds;
}
