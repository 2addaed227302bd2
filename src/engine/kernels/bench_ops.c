/* The main ops, timed at the sizes that an edit has (S = 2560: 512 text tokens, and 1024 each of a target and
 * a reference of 512x512; 8704: one megapixel each). */
#include "engine/kernels/bench.h"
#include "engine/kernels/driver.h"

typedef struct bench_case bench_case;

struct bench_case {
    const char *name;
    kx_bench_setup *run;
    int64_t T, K, N; /* linear: x (T,K), W (N,K); attention: T tokens; conv: T x T pixels, K -> N channels */
    kx_dtype dtype;  /* of weights */
    kx_epilogue epilogue;
    bool rounded;           /* of a convolution: as in the decoder, else as in the encoder */
    kx_precision precision; /* AUTO stands for f32 */
};

static kx_tensor take_map(kx_ops *ops, const char *name, int64_t side, int64_t channels)
{
    kx_tensor tensor = kx_bench_take_random(ops, name, side * side, channels);
    tensor.height = tensor.width = side;
    return tensor;
}

/* A weight of small random values, f32 or bf16. */
static kx_weight take_weight(kx_ops *ops, int64_t rows, int64_t cols, kx_dtype dtype)
{
    kx_weight weight = {.rank = 2, .shape = {rows, cols}, .num_segments = 1};
    int64_t size = (int64_t)kx_dtype_bytes(dtype);
    uint8_t *data = kx_driver_take(ops, "weights", rows * cols * size);
    weight.segments[0] = (kx_weight_segment){.data = data, .rows = rows, .dtype = dtype, .scale = 1};
    if (ops->dry || ops->error.status != KX_OK) return weight;
    uint32_t state = 7;
    for (int64_t i = 0; i < rows * cols; i++) {
        state = state * 1664525u + 1013904223u;
        float value = (float)(state >> 9) / 67108864.0f - 0.0625f;
        uint16_t half = kx_bf16_from_f32(value);
        if (dtype == KX_BF16)
            memcpy(data + i * size, &half, sizeof half);
        else
            memcpy(data + i * size, &value, sizeof value);
    }
    return weight;
}

typedef struct bench_operands {
    const bench_case *what;
    kx_tensor x, y, k, v;
    kx_linear linear;
    kx_packed packed;
    kx_conv conv;
    const float *gate, *shift, *scale;
} bench_operands;

static void call_linear(kx_ops *ops, void *operands)
{
    bench_operands *o = operands;
    kx_op_linear(ops, &o->x, &o->linear, o->what->epilogue, o->gate, &o->y);
}

/* The weights packed for the precision, and x as its operand. */
static void pack_operands(kx_ops *ops, const bench_case *what, bench_operands *o)
{
    kx_dtype dtype = kx_packed_dtype(what->precision);
    kx_packed_bytes bytes = kx_packed_size(dtype, what->N, what->K, 0);
    o->packed = (kx_packed){.dtype = dtype, .rows = what->N, .cols = what->K};
    o->packed.data = kx_driver_take(ops, "packed weights", (int64_t)bytes.data);
    if (bytes.scales > 0) o->packed.scales = kx_driver_take(ops, "scales", (int64_t)bytes.scales);
    if (bytes.sums > 0) o->packed.sums = kx_driver_take(ops, "sums", (int64_t)bytes.sums);
    kx_op_pack(ops, &o->linear.weight, &o->packed);
    kx_tensor x = o->x;
    o->x = kx_ops_take_operand(ops, "operand", what->T, what->K, 0);
    kx_op_quantise(ops, &x, &o->x);
    o->linear.packed = &o->packed;
}

static void run_linear(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    const bench_case *what = argument;
    bench_operands o = {.what = what,
                        .x = kx_bench_take_random(ops, "x", what->T, what->K),
                        .y = kx_bench_take_random(ops, "y", what->T, what->N)};
    kx_tensor bias = kx_bench_take_random(ops, "bias", 1, what->N),
              gate = kx_bench_take_random(ops, "gate", 1, what->N);
    o.linear =
        (kx_linear){.weight = take_weight(ops, what->N, what->K, what->dtype), .bias = kx_tensor_f32(&bias)};
    o.gate = kx_tensor_f32(&gate);
    if (kx_ops_narrow(ops)) pack_operands(ops, what, &o);
    kx_bench_rounds(ops, call_linear, &o, timer);
}

static void call_attention(kx_ops *ops, void *operands)
{
    bench_operands *o = operands;
    kx_attention attention = {.heads = o->what->N, .head_dim = o->what->K, .scale = 0.088388348f};
    kx_op_attention(ops, &attention, &o->x, &o->k, &o->v, &o->y);
}

static void run_attention(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    const bench_case *what = argument;
    int64_t cols = what->K * what->N;
    bench_operands o = {.what = what,
                        .x = kx_bench_take_random(ops, "q", what->T, cols),
                        .k = kx_bench_take_random(ops, "k", what->T, cols),
                        .v = kx_bench_take_random(ops, "v", what->T, cols),
                        .y = kx_bench_take_random(ops, "out", what->T, cols)};
    kx_bench_rounds(ops, call_attention, &o, timer);
}

static void call_conv(kx_ops *ops, void *operands)
{
    bench_operands *o = operands;
    kx_op_conv(ops, &o->x, NULL, &o->conv, KX_CONV_SAME, false, &o->y, NULL);
}

static void run_conv(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    const bench_case *what = argument;
    bench_operands o = {
        .what = what, .x = take_map(ops, "x", what->T, what->K), .y = take_map(ops, "y", what->T, what->N)};
    o.conv.weight = take_weight(ops, what->N, 9 * what->K, what->dtype);
    o.conv.rounded = what->rounded;
    o.conv.weight.rank = 4;
    o.conv.weight.shape[1] = what->K;
    o.conv.weight.shape[2] = o.conv.weight.shape[3] = 3;
    kx_bench_rounds(ops, call_conv, &o, timer);
}

static void call_norm(kx_ops *ops, void *operands)
{
    bench_operands *o = operands;
    kx_op_norm_modulate(ops, &o->x, o->shift, o->scale, 1e-6f, &o->y);
}

static void run_norm(kx_ops *ops, const void *argument, kx_bench_timer *timer)
{
    const bench_case *what = argument;
    bench_operands o = {.what = what,
                        .x = kx_bench_take_random(ops, "x", what->T, what->N),
                        .y = kx_bench_take_random(ops, "y", what->T, what->N)};
    kx_tensor shift = kx_bench_take_random(ops, "shift", 1, what->N),
              scale = kx_bench_take_random(ops, "scale", 1, what->N);
    o.shift = kx_tensor_f32(&shift);
    o.scale = kx_tensor_f32(&scale);
    kx_bench_rounds(ops, call_norm, &o, timer);
}

#define PRODUCT(t, k, n, type, of_weights, of_epilogue, in, more)                                            \
    {                                                                                                        \
        .name = "matmul " #t "x" #k "x" #n " " type more, .run = run_linear, .T = t, .K = k, .N = n,         \
        .dtype = of_weights, .epilogue = of_epilogue, .precision = in                                        \
    }
#define ATTENTION(heads, dim, tokens, type, in)                                                              \
    {                                                                                                        \
        .name = "attention " #heads "x" #dim ", " #tokens " tokens, " type, .run = run_attention,            \
        .T = tokens, .K = dim, .N = heads, .precision = in                                                   \
    }
#define CONV(channels, outputs, side, type, in, of_weights, is_rounded)                                      \
    {                                                                                                        \
        .name = "conv 3x3 " #channels "->" #outputs ", " #side "x" #side ", " type, .run = run_conv,         \
        .T = side, .K = channels, .N = outputs, .precision = in, .dtype = of_weights, .rounded = is_rounded  \
    }

static const bench_case cases[] = {
    PRODUCT(2560, 3072, 12288, "f32", KX_F32, KX_EPILOGUE_STORE, KX_PRECISION_F32, ""),
    PRODUCT(2560, 3072, 12288, "bf16", KX_BF16, KX_EPILOGUE_STORE, KX_PRECISION_BF16, ""),
    PRODUCT(2560, 3072, 12288, "int8", KX_BF16, KX_EPILOGUE_STORE, KX_PRECISION_INT8, ""),
    PRODUCT(2560, 3072, 12288, "f32", KX_BF16, KX_EPILOGUE_STORE, KX_PRECISION_F32, ", weights of bf16"),
    PRODUCT(2560, 3072, 12288, "f32", KX_F32, KX_EPILOGUE_GELU_TANH, KX_PRECISION_F32, ", gelu"),
    PRODUCT(2560, 3072, 12288, "bf16", KX_BF16, KX_EPILOGUE_GELU_TANH, KX_PRECISION_BF16, ", gelu"),
    PRODUCT(2560, 3072, 12288, "int8", KX_BF16, KX_EPILOGUE_GELU_TANH, KX_PRECISION_INT8, ", gelu"),
    PRODUCT(2560, 12288, 3072, "f32", KX_F32, KX_EPILOGUE_GATED_ADD, KX_PRECISION_F32, ", gated add"),
    PRODUCT(2560, 15360, 3072, "f32", KX_F32, KX_EPILOGUE_GATED_ADD, KX_PRECISION_F32, ", gated add"),
    PRODUCT(2560, 15360, 3072, "bf16", KX_BF16, KX_EPILOGUE_GATED_ADD, KX_PRECISION_BF16, ", gated add"),
    PRODUCT(2560, 15360, 3072, "int8", KX_BF16, KX_EPILOGUE_GATED_ADD, KX_PRECISION_INT8, ", gated add"),
    PRODUCT(512, 4096, 4096, "f32", KX_F32, KX_EPILOGUE_STORE, KX_PRECISION_F32, ""),
    PRODUCT(512, 4096, 4096, "int8", KX_BF16, KX_EPILOGUE_STORE, KX_PRECISION_INT8, ""),
    ATTENTION(24, 128, 2560, "f32", KX_PRECISION_F32),
    ATTENTION(24, 128, 2560, "bf16", KX_PRECISION_BF16),
    ATTENTION(24, 128, 2560, "int8", KX_PRECISION_INT8),
    ATTENTION(24, 128, 8704, "f32", KX_PRECISION_F32),
    ATTENTION(24, 128, 8704, "bf16", KX_PRECISION_BF16),
    ATTENTION(24, 128, 8704, "int8", KX_PRECISION_INT8),
    ATTENTION(1, 512, 4096, "f32", KX_PRECISION_F32),
    CONV(512, 512, 128, "f32", KX_PRECISION_F32, KX_F32, false),
    CONV(512, 512, 128, "bf16, decoder", KX_PRECISION_BF16, KX_BF16, true),
    CONV(512, 512, 128, "bf16, encoder", KX_PRECISION_BF16, KX_BF16, false),
    CONV(128, 128, 512, "f32", KX_PRECISION_F32, KX_F32, false),
    CONV(128, 128, 512, "bf16, decoder", KX_PRECISION_BF16, KX_BF16, true),
    CONV(128, 128, 512, "bf16, encoder", KX_PRECISION_BF16, KX_BF16, false),
    {.name = "gemv 3072x18432 f32", .run = run_linear, .T = 1, .K = 3072, .N = 18432},
    {.name = "gemv 3072x18432 f32, weights of bf16",
     .run = run_linear,
     .T = 1,
     .K = 3072,
     .N = 18432,
     .dtype = KX_BF16},
    {.name = "norm and modulate 2560x3072", .run = run_norm, .T = 2560, .N = 3072},
};

kx_status kx_bench_ops(const kx_bench *bench, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_precision precision = cases[i].precision, asked = bench->options->precision;
        if (precision == KX_PRECISION_AUTO) precision = KX_PRECISION_F32;
        if (asked != KX_PRECISION_AUTO && asked != precision) continue;
        if (!kx_bench_wants(bench, cases[i].name, false)) continue;
        KX_TRY(kx_bench_case(bench, cases[i].name, precision, cases[i].run, &cases[i], err));
    }
out:
    return status;
}
