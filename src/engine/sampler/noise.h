/* The start of the sampler: standard normal numbers as PyTorch's generator on the processor draws them, so
 * that a seed means the same picture here and there. Three streams, named by kx_noise_stream:
 *
 *   torch-f32       what torch.randn draws for float32 (ComfyUI; current diffusers up to bf16 rounding)
 *   torch-bf16      the same, each number rounded to bf16 (current PyTorch for bfloat16)
 *   torch-bf16-old  another stream, of 8-bit uniforms with every operation rounded to bf16: what PyTorch drew
 * for bfloat16 up to at least 2.7.1
 *
 * Only the low 32 bits of the seed matter; that is the generator's (mt19937) own rule.
 */
#pragma once

#include <kontext/kontext.h>

#include <stddef.h>
#include <stdint.h>

/* -> out (count) f32; count >= 16 (torch draws shorter arrays by another rule, and no latent is that short).
 * A latent is [16,h,w] in C order: count = 16 h w. The f32 stream is within 1e-6 of torch's, whose vector
 * logarithm and sine are not defined to the last bit; the old bf16 stream is exact. */
void kx_noise_fill(kx_noise_stream stream, uint64_t seed, float *out, size_t count);
