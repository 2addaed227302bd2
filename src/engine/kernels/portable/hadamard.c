#include "engine/kernels/portable/portable.h"

/* Golay's pairs: A(m+1) is A(m) B(m), and B(m+1) is A(m) -B(m). The A are the Rudin-Shapiro sequence. */
#define A1(s) s, s
#define B1(s) s, -(s)
#define A2(s) A1(s), B1(s)
#define B2(s) A1(s), B1(-(s))
#define A3(s) A2(s), B2(s)
#define B3(s) A2(s), B2(-(s))
#define A4(s) A3(s), B3(s)
#define B4(s) A3(s), B3(-(s))
#define A5(s) A4(s), B4(s)
#define B5(s) A4(s), B4(-(s))
#define A6(s) A5(s), B5(s)
#define B6(s) A5(s), B5(-(s))
#define A7(s) A6(s), B6(s)
#define B7(s) A6(s), B6(-(s))
#define A8(s) A7(s), B7(s)
#define B8(s) A7(s), B7(-(s))
#define A9(s) A8(s), B8(s)

const float kx_hadamard_signs[KX_HADAMARD_MAX] = {A9(1.0f)};

void kx_hadamard_portable(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * kx_hadamard_signs[i];
    for (int64_t step = 1; step < n; step *= 2)
        for (int64_t first = 0; first < n; first += 2 * step)
            for (int64_t i = first; i < first + step; i++) {
                float a = y[i], b = y[i + step];
                y[i] = a + b;
                y[i + step] = a - b;
            }
}
