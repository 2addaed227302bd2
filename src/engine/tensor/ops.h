/* The op set: the words that CLIP, T5, the VAE and the transformer are written in. Each op is one fused pass
 * over tensors; its shapes stand beside it. Where the numbers are computed, and in which precision, is
 * decided below (kernels/), never in a model.
 *
 * Ops do not return a status. A kx_ops that has failed, was cancelled or only measures (dry) does nothing
 * more: each op returns at once. So model code reads as formulas, and its caller asks kx_ops_status once at
 * the end:
 *
 *     kx_op_norm_modulate(ops, &x, shift, scale, 1e-6f, &y);
 *     kx_op_linear(ops, &y, &block->up, KX_EPILOGUE_GELU_TANH, NULL, &hidden);
 *     kx_op_linear(ops, &hidden, &block->down, KX_EPILOGUE_GATED_ADD, gate, &x); // x += gate (W hidden + b)
 *
 * Every op gives the same bytes for any number of threads.
 */
#pragma once

#include "base/pool.h"
#include "engine/tensor/packed.h"
#include "engine/tensor/profiler.h"
#include "engine/tensor/scratch.h"
#include "engine/tensor/tensor.h"
#include "engine/tensor/weight.h"

struct kx_kernels; /* kernels/kernels.h */

typedef struct kx_ops {
    const struct kx_kernels *kernels;
    kx_precision precision; /* what ops may do to be faster; AUTO and F32: nothing */
    kx_pool *pool;
    kx_scratch *scratch;
    bool dry;       /* measure memory and count operations, compute nothing */
    uint64_t flops; /* floating point operations asked for so far (multiply and add count as two) */
    int (*cancelled)(void *user); /* polled by every op; may be NULL */
    void *cancelled_user;
    /* Told about named intermediate tensors, for dumps and tests; may be NULL. Never called when dry. */
    void (*trace)(void *user, const char *name, const kx_tensor *tensor);
    void *trace_user;
    kx_profiler *profiler; /* told of every op that computes; NULL: nobody asks */
    /* Told of weights that this run does not read again, so that their pages may leave memory, or NULL. */
    void (*forget)(const kx_weight *weight);
    kx_error error; /* the first failure; status KX_OK while all is well */
} kx_ops;

/* True when nothing should be computed: dry, failed or cancelled (polls `cancelled`). */
bool kx_ops_idle(kx_ops *ops);
/* KX_OK, or the failure, copied into *err. */
kx_status kx_ops_status(const kx_ops *ops, kx_error *err);
/* Reports "double.0.img" (printf-style) when someone listens. */
__attribute__((format(printf, 3, 4))) void kx_ops_trace(kx_ops *ops, const kx_tensor *tensor,
                                                        const char *format, ...);

/* Tells the profiler that what follows belongs to a part of the model, "double" 5, until it is left. */
void kx_ops_enter(kx_ops *ops, const char *word, int64_t number);
void kx_ops_leave(kx_ops *ops);

/* The weight was read for the last time in this run. */
void kx_ops_forget(kx_ops *ops, const kx_weight *weight);

/* Uninitialised activations from the scratch. */
kx_tensor kx_ops_take(kx_ops *ops, const char *name, int64_t rows, int64_t cols);
/* Activations in the form that a packed product takes in this precision: quantised to int8 (KX_U8 with
 * scales), rounded to bf16, or plain f32. split: columns of the first part, when the matrix has two; else 0.
 */
kx_tensor kx_ops_take_operand(kx_ops *ops, const char *name, int64_t rows, int64_t cols, int64_t split);
/* x (T,K) f32 in that form: x itself in f32 precision, else an operand from the scratch. */
kx_tensor kx_ops_as_operand(kx_ops *ops, const char *name, const kx_tensor *x);
/* True when operands are something else than plain f32. */
bool kx_ops_narrow(const kx_ops *ops);
kx_tensor kx_ops_take_map(kx_ops *ops, const char *name, int64_t height, int64_t width, int64_t channels);
kx_scratch_mark kx_ops_mark(const kx_ops *ops);
void kx_ops_release(kx_ops *ops, kx_scratch_mark mark);

/* y = W x + b. W (N,K); b (N) or NULL. `packed` is W prepared for the precision, for products whose x is an
 * operand; NULL when W is used as it lies in the file. A packed model has no `weight` there but its shape. */
typedef struct kx_linear {
    kx_weight weight;
    const float *bias;
    const kx_packed *packed;
    int64_t split; /* columns of the first part of W, see packed.h; 0: W is one part */
} kx_linear;

/* Told of one matrix that a lower precision packs, by name ("double_blocks.0.img_attn.qkv"). */
typedef kx_status kx_linear_visit(void *context, const char *name, kx_linear *linear, kx_error *err);

/* W (N,C,k,k), k 1 or 3; b (N) or NULL. A rank 2 weight (N,C) is a 1x1 convolution. */
typedef struct kx_conv {
    kx_weight weight;
    const float *bias;
    bool rounded; /* below f32 operands may be rounded to bf16; else results stay near those of f32 */
} kx_conv;

typedef enum kx_epilogue {
    KX_EPILOGUE_STORE = 0,  /* y = r              (r = W x + b) */
    KX_EPILOGUE_GELU_TANH,  /* y = gelu_tanh(r)   0.5 r (1 + tanh(sqrt(2/pi) (r + 0.044715 r^3))) */
    KX_EPILOGUE_QUICK_GELU, /* y = r sigmoid(1.702 r) */
    KX_EPILOGUE_SILU,       /* y = r sigmoid(r) */
    KX_EPILOGUE_ADD,        /* y += r */
    KX_EPILOGUE_GATED_ADD,  /* y += gate * r      gate (N) */
    KX_EPILOGUE_MULTIPLY,   /* y *= r */
} kx_epilogue;

/* Whether the epilogue reads y before it writes it. */
static inline bool kx_epilogue_reads(kx_epilogue epilogue)
{
    return epilogue == KX_EPILOGUE_ADD || epilogue == KX_EPILOGUE_GATED_ADD ||
           epilogue == KX_EPILOGUE_MULTIPLY;
}

/* x (T,K), W (N,K) -> y (T,N). x and y must not overlap. The sum over K has a fixed order.
 * An operand x needs linear->packed. y may be an operand (one part) where the epilogue does not read it. */
void kx_op_linear(kx_ops *ops, const kx_tensor *x, const kx_linear *linear, kx_epilogue epilogue,
                  const float *gate, kx_tensor *y);

/* y = x as an operand: x (T,K) f32 -> y (T,K). Of int8: y = round(x / scale) + 128, scale = max |x| / 127
 * over a row's group. */
void kx_op_quantise(kx_ops *ops, const kx_tensor *x, kx_tensor *y);

/* y may be an operand in these three norms.
 * y = (1 + scale) * LN(x) + shift.  x (T,h), shift, scale (h) -> y (T,h); LN without affine parameters,
 * biased variance. */
void kx_op_norm_modulate(kx_ops *ops, const kx_tensor *x, const float *shift, const float *scale, float eps,
                         kx_tensor *y);
/* y = weight * LN(x) + bias.  weight, bias (h). y may be x. */
void kx_op_layer_norm(kx_ops *ops, const kx_tensor *x, const float *weight, const float *bias, float eps,
                      kx_tensor *y);
/* y = weight * x / sqrt(mean(x^2) + eps).  weight (h). y may be x. */
void kx_op_rms_norm(kx_ops *ops, const kx_tensor *x, const float *weight, float eps, kx_tensor *y);

/* In place, for each row and head: RMS norm over head_dim with scale (head_dim), then rotation of adjacent
 * pairs: (a,b) -> (a cos - b sin, a sin + b cos).  x (T, heads*head_dim); cos, sin (T, head_dim/2) f32. */
void kx_op_head_norm_rope(kx_ops *ops, kx_tensor *x, int64_t head_dim, const float *scale, float eps,
                          const kx_tensor *cosines, const kx_tensor *sines);

typedef struct kx_attention {
    int64_t heads;
    int64_t head_dim;
    float scale;  /* of Q K^T */
    bool causal;  /* query i sees keys 0..i (query and key rows start at the same position) */
    bool exact;   /* near f32 in every precision, as a kx_conv is */
    bool rounded; /* operands of an exact one may be rounded to bf16 below f32 */
    /* [heads][2*keys-1], added to the scaled score: entry k - q + keys - 1; or NULL */
    const float *distance_bias;
} kx_attention;

/* softmax(scale Q K^T + bias) V for each head, streaming: no (queries x keys) matrix is ever held.
 * q (Tq, heads*head_dim), k and v (Tk, heads*head_dim) -> out (Tq, heads*head_dim). out may be q itself (same
 * view), or an operand. */
void kx_op_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q, const kx_tensor *k,
                     const kx_tensor *v, kx_tensor *out);

/* y row t = table row ids[t].  table (V,h), ids (T) each in [0,V) -> y (T,h). */
void kx_op_embed(kx_ops *ops, const kx_weight *table, const int32_t *ids, kx_tensor *y);
/* y += x.  Same shapes. */
void kx_op_add(kx_ops *ops, const kx_tensor *x, kx_tensor *y);
/* y = x - y.  Same shapes. */
void kx_op_subtract_from(kx_ops *ops, const kx_tensor *x, kx_tensor *y);
/* How far `now` is from `earlier`, all (T,N): sums[0] += sum |now - base - earlier|, sums[1] += sum
 * |earlier|, in double. base NULL is 0. */
void kx_op_sum_change(kx_ops *ops, const kx_tensor *now, const kx_tensor *base, const kx_tensor *earlier,
                      double sums[2]);
/* y = silu(x). y may be x. */
void kx_op_silu(kx_ops *ops, const kx_tensor *x, kx_tensor *y);
/* y = x. Same shapes, any strides. */
void kx_op_copy(kx_ops *ops, const kx_tensor *x, kx_tensor *y);

/* Of each channel of a map the mean, and the sum of the squared distances from it: what an op that writes the
 * map may tell the group norm that reads it next. */
typedef struct kx_channel_stats {
    double *mean, *squares; /* (C) */
    bool known;             /* false: nobody has counted */
} kx_channel_stats;

/* Room for those of a map of at most so many channels, from the scratch. */
kx_channel_stats kx_ops_take_stats(kx_ops *ops, const char *name, int64_t channels);

/* Group norm as an affine map per channel, so that whoever reads x next can apply it on the fly.
 * x (H,W,C), weight, bias (C) -> scale, shift (C): GN(x)[.,c] = scale[c] x[.,c] + shift[c]. stats: those of
 * x, or NULL or not known; then they are taken here, in two passes with double sums (near-black pictures need
 * it). scale and shift: C floats each, from kx_ops_take. */
void kx_op_group_norm_affine(kx_ops *ops, const kx_tensor *x, const kx_channel_stats *stats, int64_t groups,
                             float eps, const float *weight, const float *bias, kx_tensor *scale,
                             kx_tensor *shift);
/* y = scale x + shift per channel. y may be x. */
void kx_op_affine(kx_ops *ops, const kx_tensor *x, const kx_tensor *scale, const kx_tensor *shift,
                  kx_tensor *y);

typedef enum kx_conv_mode {
    KX_CONV_SAME = 0, /* stride 1, k/2 zeros around: (H,W) -> (H,W) */
    KX_CONV_DOWN,     /* stride 2, one zero right and below: (H,W) -> (H/2,W/2), k = 3, H and W even */
    KX_CONV_UP,       /* nearest x2 first, then SAME: (H,W) -> (2H,2W) */
} kx_conv_mode;

/* What is applied to x on its way into a convolution; zero padding comes after it. */
typedef struct kx_conv_input {
    const kx_tensor *scale, *shift; /* per channel (C), or NULL, NULL */
    bool silu;
} kx_conv_input;

/* Convolution, channels last, as an implicit matrix product. x (H,W,C) -> y (H',W',N); add: y += result.
 * input may be NULL. x and y must not overlap. stats: NULL, or told of y, where that costs little; else they
 * are not known. */
void kx_op_conv(kx_ops *ops, const kx_tensor *x, const kx_conv_input *input, const kx_conv *conv,
                kx_conv_mode mode, bool add, kx_tensor *y, kx_channel_stats *stats);

/* Fails (KX_ERR_MODEL) when x holds a NaN or an infinity: "denoise, step 3: the velocity is not finite". */
void kx_op_check_finite(kx_ops *ops, const kx_tensor *x, const char *what);

/* The matrix W (N,K) packed: fills packed->data and, for int8, scales and sums (memory of kx_packed_size,
 * which the caller owns and may write). Same bytes for any number of threads and on every kernel set. */
void kx_op_pack(kx_ops *ops, const kx_weight *weight, const kx_packed *packed);
