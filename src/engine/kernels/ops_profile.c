/* What each op tells the profiler of itself: its name, shape, arithmetic operations and bytes. Bytes are
 * those of operands and results, once each: what must pass through memory when nothing of it is in a cache.
 */
#include "engine/kernels/conv.h"

static bool is_asked(const kx_ops *ops)
{
    return ops->profiler != NULL && !ops->dry;
}

static const char *type_name(kx_dtype dtype)
{
    switch (dtype) {
    case KX_F32:
        return "f32";
    case KX_BF16:
        return "bf16";
    case KX_F16:
        return "f16";
    case KX_F8_E4M3:
    case KX_F8_E5M2:
        return "fp8";
    case KX_I8:
    case KX_U8:
        return "int8";
    default:
        return kx_dtype_name(dtype);
    }
}

static uint64_t tensor_bytes(const kx_tensor *tensor)
{
    return (uint64_t)tensor->rows * (uint64_t)tensor->cols * kx_dtype_bytes(tensor->dtype);
}

/* As the weight lies in the file. */
static uint64_t weight_bytes(const kx_weight *weight)
{
    uint64_t bytes = 0, cols = (uint64_t)kx_weight_cols(weight);
    for (int i = 0; i < weight->num_segments; i++)
        bytes += (uint64_t)weight->segments[i].rows * cols * kx_dtype_bytes(weight->segments[i].dtype);
    return bytes;
}

/* As it was packed for x, or as it lies in the file. */
static uint64_t linear_bytes(const kx_linear *linear, const kx_tensor *x)
{
    const kx_packed *packed = linear->packed;
    if (!kx_tensor_is_operand(x)) return weight_bytes(&linear->weight);
    return kx_packed_size(packed->dtype, packed->rows, packed->cols, packed->split).data;
}

/* The weights' type, where it is another than that of the arithmetic. */
static const char *other_type(const kx_weight *weight, const char *type)
{
    if (weight->num_segments == 0) return NULL;
    const char *name = type_name(weight->segments[0].dtype);
    return strcmp(name, type) == 0 ? NULL : name;
}

static const char *epilogue_name(kx_epilogue epilogue)
{
    switch (epilogue) {
    case KX_EPILOGUE_STORE:
        return NULL;
    case KX_EPILOGUE_GELU_TANH:
        return "gelu";
    case KX_EPILOGUE_QUICK_GELU:
        return "quick gelu";
    case KX_EPILOGUE_SILU:
        return "silu";
    case KX_EPILOGUE_ADD:
        return "add";
    case KX_EPILOGUE_GATED_ADD:
        return "gated add";
    case KX_EPILOGUE_MULTIPLY:
        return "multiply";
    }
    return NULL;
}

void kx_profile_linear(kx_ops *ops, const kx_tensor *x, const kx_linear *linear, kx_epilogue epilogue,
                       const kx_tensor *y)
{
    if (!is_asked(ops)) return;
    const char *type = type_name(x->dtype);
    uint64_t results = tensor_bytes(y) * (kx_epilogue_reads(epilogue) ? 2 : 1);
    kx_profiler_begin(ops->profiler,
                      &(kx_profiler_op){
                          .kind = "linear",
                          .type = type,
                          .detail = epilogue_name(epilogue),
                          .weights = kx_tensor_is_operand(x) ? NULL : other_type(&linear->weight, type),
                          .rank = 3,
                          .shape = {x->rows, x->cols, y->cols},
                          .flops = 2 * (uint64_t)x->rows * (uint64_t)x->cols * (uint64_t)y->cols,
                          .bytes = tensor_bytes(x) + linear_bytes(linear, x) + results,
                      });
}

void kx_profile_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q, const kx_tensor *k)
{
    if (!is_asked(ops)) return;
    kx_dtype dtype =
        kx_driver_attention_sums(ops, attention) ? KX_BF16 : kx_driver_attention_dtype(ops, attention);
    kx_profiler_begin(ops->profiler,
                      &(kx_profiler_op){
                          .kind = "attention",
                          .type = type_name(dtype),
                          .detail = attention->causal                  ? "causal"
                                    : attention->distance_bias != NULL ? "distance bias"
                                                                       : NULL,
                          .rank = 4,
                          .shape = {attention->heads, q->rows, k->rows, attention->head_dim},
                          .flops = 4 * (uint64_t)q->rows * (uint64_t)k->rows * (uint64_t)q->cols,
                          .bytes = 2 * (tensor_bytes(q) + tensor_bytes(k)),
                      });
}

static const char *mode_name(const kx_conv *conv, kx_conv_mode mode, bool add)
{
    if (conv->weight.rank < 4 || conv->weight.shape[2] == 1) return add ? "1x1 add" : "1x1";
    if (mode != KX_CONV_SAME) return mode == KX_CONV_DOWN ? "3x3 down" : "3x3 up";
    return add ? "3x3 add" : "3x3";
}

void kx_profile_conv(kx_ops *ops, const kx_tensor *x, const kx_conv *conv, kx_conv_mode mode, bool add,
                     const kx_tensor *y)
{
    if (!is_asked(ops)) return;
    const char *type = type_name(kx_packed_conv_fits(ops, conv) ? KX_BF16 : x->dtype);
    uint64_t depth = (uint64_t)kx_weight_cols(&conv->weight);
    kx_profiler_begin(ops->profiler, &(kx_profiler_op){
                                         .kind = "convolution",
                                         .type = type,
                                         .detail = mode_name(conv, mode, add),
                                         .weights = other_type(&conv->weight, type),
                                         .rank = 4,
                                         .shape = {y->height, y->width, x->cols, y->cols},
                                         .flops = 2 * (uint64_t)y->rows * depth * (uint64_t)y->cols,
                                         .bytes = tensor_bytes(x) + weight_bytes(&conv->weight) +
                                                  tensor_bytes(y) * (add ? 2 : 1),
                                     });
}

void kx_profile_rows(kx_ops *ops, const char *kind, const kx_tensor *x, const kx_tensor *y, int passes)
{
    if (!is_asked(ops)) return;
    uint64_t more = (uint64_t)passes - 1;
    kx_profiler_begin(ops->profiler, &(kx_profiler_op){
                                         .kind = kind,
                                         .type = "f32",
                                         .rank = 2,
                                         .shape = {y->rows, y->cols},
                                         .bytes = tensor_bytes(x != NULL ? x : y) + more * tensor_bytes(y),
                                     });
}

void kx_profile_end(kx_ops *ops)
{
    if (is_asked(ops)) kx_profiler_end(ops->profiler);
}

void kx_ops_enter(kx_ops *ops, const char *word, int64_t number)
{
    if (is_asked(ops)) kx_profiler_enter(ops->profiler, word, number);
}

void kx_ops_leave(kx_ops *ops)
{
    if (is_asked(ops)) kx_profiler_leave(ops->profiler);
}
