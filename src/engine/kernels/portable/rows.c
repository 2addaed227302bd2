#include "engine/kernels/portable/portable.h"

#include <math.h>

/* 0.5 r (1 + tanh(u)) = r sigmoid(2 u), u = sqrt(2/pi) (r + 0.044715 r^3); this form has no cancellation. */
static float gelu_tanh(float r)
{
    float u2 = 1.5957691216057308f * (r + 0.044715f * r * r * r);
    return r / (1.0f + expf(-u2));
}

static float sigmoid_product(float r, float slope)
{
    return r / (1.0f + expf(-slope * r));
}

void kx_epilogue_portable(kx_epilogue epilogue, int64_t n, const float *r, const float *bias,
                          const float *gate, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float value = bias == NULL ? r[i] : r[i] + bias[i];
        switch (epilogue) {
        case KX_EPILOGUE_STORE:
            y[i] = value;
            break;
        case KX_EPILOGUE_GELU_TANH:
            y[i] = gelu_tanh(value);
            break;
        case KX_EPILOGUE_QUICK_GELU:
            y[i] = sigmoid_product(value, 1.702f);
            break;
        case KX_EPILOGUE_SILU:
            y[i] = sigmoid_product(value, 1.0f);
            break;
        case KX_EPILOGUE_ADD:
            y[i] += value;
            break;
        case KX_EPILOGUE_GATED_ADD:
            y[i] += gate[i] * value;
            break;
        case KX_EPILOGUE_MULTIPLY:
            y[i] *= value;
            break;
        }
    }
}

void kx_scale_portable(int64_t n, const float *x, float factor, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = factor * x[i];
}

void kx_blend_portable(int64_t n, const float *x, float share, float factor, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = factor * y[i] + share * x[i];
}

void kx_affine_portable(int64_t n, const float *x, const float *scale, const float *shift, bool silu,
                        float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float value = scale == NULL ? x[i] : scale[i] * x[i] + shift[i];
        y[i] = silu ? sigmoid_product(value, 1.0f) : value;
    }
}

void kx_layer_norm_portable(int64_t n, const float *x, float eps, const float *mul, float mul_offset,
                            const float *add, float *y)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    float inverse = (float)(1.0 / sqrt(squares / (double)n + (double)eps)), middle = (float)mean;
    for (int64_t i = 0; i < n; i++) y[i] = (mul[i] + mul_offset) * ((x[i] - middle) * inverse) + add[i];
}

static float inverse_rms(int64_t n, const float *x, float eps)
{
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    return (float)(1.0 / sqrt(squares / (double)n + (double)eps));
}

void kx_rms_norm_portable(int64_t n, const float *x, float eps, const float *weight, float *y)
{
    float inverse = inverse_rms(n, x, eps);
    for (int64_t i = 0; i < n; i++) y[i] = weight[i] * (x[i] * inverse);
}

void kx_head_norm_rope_portable(int64_t n, float *x, float eps, const float *scale, const float *cosines,
                                const float *sines)
{
    float inverse = inverse_rms(n, x, eps);
    for (int64_t i = 0; i < n; i += 2) {
        float a = scale[i] * (x[i] * inverse), b = scale[i + 1] * (x[i + 1] * inverse);
        x[i] = a * cosines[i / 2] - b * sines[i / 2];
        x[i + 1] = a * sines[i / 2] + b * cosines[i / 2];
    }
}

float kx_softmax_portable(int64_t n, float *s, float *max, float *sum)
{
    float before = *max, top = before, total = 0;
    for (int64_t i = 0; i < n; i++) top = s[i] > top ? s[i] : top;
    for (int64_t i = 0; i < n; i++) {
        s[i] = expf(s[i] - top);
        total += s[i];
    }
    float factor = expf(before - top);
    *max = top;
    *sum = *sum * factor + total;
    return factor;
}

void kx_column_sums_portable(int64_t rows, int64_t n, const float *x, int64_t x_stride, const double *mean,
                             double *sums)
{
    for (int64_t r = 0; r < rows; r++, x += x_stride) {
        if (mean == NULL) {
            for (int64_t i = 0; i < n; i++) sums[i] += (double)x[i];
        } else {
            for (int64_t i = 0; i < n; i++) sums[i] += ((double)x[i] - mean[i]) * ((double)x[i] - mean[i]);
        }
    }
}

bool kx_all_finite_portable(int64_t n, const float *x)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++) finite = finite && isfinite(x[i]);
    return finite;
}
