/* What the ways to compute a convolution share (ops_conv.c: as the formula says; ops_winograd.c;
 * ops_conv_packed.c: in bf16). */
#pragma once

#include "engine/kernels/driver.h"

/* Where a convolution reads: x with `input` applied, each pixel `grow` times in both directions. */
typedef struct kx_conv_source {
    const kx_kernels *kernels;
    const kx_tensor *x;
    const kx_conv_input *input; /* may be NULL */
    int64_t grow;               /* 1 or 2 */
} kx_conv_source;

/* Pixel (y, x) of x as it is (C); NULL outside of the picture. */
const float *kx_conv_pixel(const kx_conv_source *source, int64_t y, int64_t x);
/* Pixel (y, x) of the source -> to (C); zeros outside of the picture. */
void kx_conv_copy_pixel(const kx_conv_source *source, int64_t y, int64_t x, float *to);

/* Whether Winograd's way is taken: when the precision allows its error, and there is something to gain. */
bool kx_winograd_fits(const kx_ops *ops, const kx_conv *conv, kx_conv_mode mode);
/* kx_op_conv for such convolutions. */
void kx_winograd_conv(kx_ops *ops, const kx_tensor *x, const kx_conv_input *input, const kx_conv *conv,
                      kx_conv_mode mode, bool add, kx_tensor *y);
/* By packed products of bf16: when the precision allows it and the set is made for it. */
bool kx_packed_conv_fits(const kx_ops *ops, const kx_conv *conv);
void kx_packed_conv(kx_ops *ops, const kx_tensor *x, const kx_conv_input *input, const kx_conv *conv,
                    kx_conv_mode mode, bool add, kx_tensor *y, kx_channel_stats *stats);
