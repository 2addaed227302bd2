/* Along one axis, n_in -> n_out, with scale = n_in / n_out, f = max(scale, 1):
 *
 *     c_i = (i + 0.5) * scale                                   centre of output i in the input
 *     j from max(0, trunc(c_i - 3f + 0.5)) to min(n_in, trunc(c_i + 3f + 0.5)), end excluded
 *     w_ij = L((j - c_i + 0.5) * (1/f)) / sum over j,  L(x) = sinc(x) sinc(x/3) on [-3, 3)
 *     k_ij = w_ij * 2^22, rounded half away from zero
 *     out_i = clip((2^21 + sum of k_ij * in_j) >> 22)
 *
 * The horizontal pass comes first and its result is rounded to 8 bits; then the vertical pass. A pass whose
 * size does not change is left out. To agree with Pillow to the byte, the weights are multiplied by 1/f (not
 * divided by f) and summed in order. The sums fit 32 bits: the |k| of an output add up to less than 1.6 *
 * 2^22.
 */
#include "engine/images/resize.h"

#include "base/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FRACTION_BITS 22
#define BLOCK         96 /* samples of a row that the vertical pass sums at a time */

/* Weights of one axis. */
typedef struct axis {
    int n_in, n_out;
    int taps_max;
    int *first;      /* [n_out] */
    int *taps;       /* [n_out] */
    int32_t *kernel; /* [n_out, taps_max] */
} axis;

static double sinc(double x)
{
    x *= 3.14159265358979323846;
    return x == 0.0 ? 1.0 : sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

/* weights: scratch of taps_max. */
static void fill_output(axis *made, int i, double scale, double stretch, double *weights)
{
    double support = 3.0 * stretch, centre = (i + 0.5) * scale, inverse = 1.0 / stretch, sum = 0.0;
    int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    if (first < 0) first = 0;
    if (end > made->n_in) end = made->n_in;
    for (int j = first; j < end; j++) {
        weights[j - first] = lanczos((j - centre + 0.5) * inverse);
        sum += weights[j - first];
    }
    int32_t *kernel = made->kernel + (size_t)i * (size_t)made->taps_max;
    for (int j = 0; j < end - first; j++) {
        double weight = sum != 0.0 ? weights[j] / sum : weights[j];
        kernel[j] = (int32_t)(weight * (1 << FRACTION_BITS) + (weight < 0 ? -0.5 : 0.5));
    }
    made->first[i] = first;
    made->taps[i] = end - first;
}

static kx_status make_axis(axis *made, int n_in, int n_out, kx_error *err)
{
    kx_status status = KX_OK;
    double scale = (double)n_in / n_out, stretch = scale < 1.0 ? 1.0 : scale;
    double *weights = NULL;
    *made = (axis){.n_in = n_in, .n_out = n_out, .taps_max = (int)ceil(3.0 * stretch) * 2 + 1};
    size_t count = (size_t)n_out, taps = (size_t)made->taps_max;
    made->first = malloc(count * sizeof *made->first);
    made->taps = malloc(count * sizeof *made->taps);
    made->kernel = calloc(count * taps, sizeof *made->kernel);
    weights = malloc(taps * sizeof *weights);
    KX_FAIL_IF(made->first == NULL || made->taps == NULL || made->kernel == NULL || weights == NULL, err,
               KX_ERR_MEMORY, "out of memory: %zu weights to resize a picture", count * taps);
    for (int i = 0; i < n_out; i++) fill_output(made, i, scale, stretch, weights);
out:
    free(weights);
    return status;
}

static void free_axis(axis *made)
{
    free(made->first);
    free(made->taps);
    free(made->kernel);
}

static uint8_t clip(int32_t sum)
{
    int32_t value = sum >> FRACTION_BITS; /* arithmetic: rounds down, below zero too */
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

/* in (rows, n_in, 3) -> out (rows, n_out, 3) */
static void resize_rows(const axis *weights, const uint8_t *in, uint8_t *out, size_t rows)
{
    for (size_t y = 0; y < rows; y++) {
        const uint8_t *row = in + y * (size_t)weights->n_in * 3;
        for (int i = 0; i < weights->n_out; i++) {
            const uint8_t *from = row + 3 * (size_t)weights->first[i];
            const int32_t *kernel = weights->kernel + (size_t)i * (size_t)weights->taps_max;
            int32_t red = 1 << (FRACTION_BITS - 1), green = red, blue = red;
            for (int j = 0; j < weights->taps[i]; j++) {
                red += kernel[j] * from[3 * j];
                green += kernel[j] * from[3 * j + 1];
                blue += kernel[j] * from[3 * j + 2];
            }
            *out++ = clip(red);
            *out++ = clip(green);
            *out++ = clip(blue);
        }
    }
}

/* `count` <= BLOCK samples of one output row from `taps` input rows that lie `stride` apart. */
static void sum_block(const int32_t *kernel, int taps, const uint8_t *in, size_t stride, uint8_t *out,
                      size_t count)
{
    int32_t sums[BLOCK];
    for (size_t x = 0; x < BLOCK; x++) sums[x] = 1 << (FRACTION_BITS - 1);
    for (int j = 0; j < taps; j++) {
        const uint8_t *row = in + (size_t)j * stride;
        if (count == BLOCK)
            for (size_t x = 0; x < BLOCK; x++)
                sums[x] += kernel[j] * row[x]; /* a constant count makes vectors */
        else
            for (size_t x = 0; x < count; x++) sums[x] += kernel[j] * row[x];
    }
    for (size_t x = 0; x < count; x++) out[x] = clip(sums[x]);
}

/* in (n_in, stride) -> out (n_out, stride) */
static void resize_columns(const axis *weights, const uint8_t *in, uint8_t *out, size_t stride)
{
    for (int i = 0; i < weights->n_out; i++) {
        const int32_t *kernel = weights->kernel + (size_t)i * (size_t)weights->taps_max;
        const uint8_t *from = in + (size_t)weights->first[i] * stride;
        uint8_t *row = out + (size_t)i * stride;
        for (size_t x = 0; x < stride; x += BLOCK) {
            size_t count = stride - x < BLOCK ? stride - x : BLOCK;
            sum_block(kernel, weights->taps[i], from + x, stride, row + x, count);
        }
    }
}

static kx_status check_sizes(const kx_picture *in, int width_px, int height_px, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(in->rgb == NULL || in->width_px < 1 || in->height_px < 1, err, KX_ERR_INPUT,
               "a picture of %dx%d has no pixels to resize", in->width_px, in->height_px);
    KX_FAIL_IF(width_px < 1 || height_px < 1 || width_px > KX_LIMIT_PICTURE_SIDE_PX ||
                   height_px > KX_LIMIT_PICTURE_SIDE_PX ||
                   (uint64_t)width_px * (uint64_t)height_px > KX_LIMIT_PICTURE_PIXELS,
               err, KX_ERR_INPUT,
               "a picture cannot be resized to %dx%d: sides are 1 to %d, at most %u pixels", width_px,
               height_px, KX_LIMIT_PICTURE_SIDE_PX, KX_LIMIT_PICTURE_PIXELS);
out:
    return status;
}

kx_status kx_resize_lanczos(const kx_picture *in, int width_px, int height_px, kx_picture *out, kx_error *err)
{
    kx_status status = KX_OK;
    axis across = {0}, down = {0};
    uint8_t *between = NULL, *rgb = NULL;
    *out = (kx_picture){0};
    KX_TRY(check_sizes(in, width_px, height_px, err));
    bool wider = width_px != in->width_px, taller = height_px != in->height_px;
    size_t rows = (size_t)in->height_px, stride = (size_t)width_px * 3;
    const uint8_t *pixels = in->rgb;
    if (wider) {
        KX_TRY(make_axis(&across, in->width_px, width_px, err));
        between = malloc(rows * stride);
        KX_FAIL_IF(between == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes to resize a picture",
                   rows * stride);
        resize_rows(&across, in->rgb, between, rows);
        pixels = between;
    }
    rgb = malloc((size_t)height_px * stride);
    KX_FAIL_IF(rgb == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes to resize a picture",
               (size_t)height_px * stride);
    if (taller) {
        KX_TRY(make_axis(&down, in->height_px, height_px, err));
        resize_columns(&down, pixels, rgb, stride);
    } else {
        memcpy(rgb, pixels, (size_t)height_px * stride);
    }
    *out = (kx_picture){.width_px = width_px, .height_px = height_px, .rgb = rgb};
    rgb = NULL;
out:
    free(rgb);
    free(between);
    free_axis(&across);
    free_axis(&down);
    return status;
}
