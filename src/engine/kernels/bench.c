/* kx_bench_run: the main ops, timed at the sizes that an edit of one megapixel has (S = 2560: 512 text tokens
 * and half a megapixel of target and reference each; 8704: one megapixel each).
 *
 * A case is written once, as a function over kx_ops that takes its operands from the scratch: run dry it
 * tells how much memory to open, run for real it fills them with random values and times the op. */
#include "engine/kernels/driver.h"

#include <stdio.h>
#include <time.h>

enum { ROUNDS_LEAST = 3, ROUNDS_MOST = 200 };
static const double seconds_wanted = 2.0; /* of one case, if that gives fewer than ROUNDS_MOST */

typedef struct bench_case bench_case;
typedef void bench_call(kx_ops *ops, const bench_case *what, void *operands);

struct bench_case {
    const char *name;
    void (*run)(kx_ops *ops, const bench_case *what, kx_bench_row *row);
    int64_t T, K, N; /* linear: x (T,K), W (N,K); attention: T tokens; conv: T x T pixels, K -> N channels */
    kx_dtype dtype;  /* of weights */
    kx_epilogue epilogue;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Best of the rounds; the first one, which touches fresh pages, does not count. */
static void time_rounds(kx_ops *ops, const bench_case *what, bench_call *call, void *operands,
                        kx_bench_row *row)
{
    double began = now();
    for (int round = -1; round < ROUNDS_MOST; round++) {
        uint64_t flops_before = ops->flops;
        double start = now();
        call(ops, what, operands);
        double seconds = now() - start;
        if (ops->dry || ops->error.status != KX_OK) return;
        if (round < 0) {
            began = now();
            continue;
        }
        if (round == 0 || seconds < row->seconds) row->seconds = seconds;
        row->gflops = 1e-9 * (double)(ops->flops - flops_before) / row->seconds;
        if (round + 1 >= ROUNDS_LEAST && now() - began > seconds_wanted) return;
    }
}

static uint32_t next_bits(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 9;
}

static kx_tensor take_random(kx_ops *ops, const char *name, int64_t rows, int64_t cols)
{
    kx_tensor tensor = kx_ops_take(ops, name, rows, cols);
    if (ops->dry || ops->error.status != KX_OK) return tensor;
    uint32_t state = (uint32_t)(rows + cols);
    for (int64_t i = 0; i < rows * cols; i++)
        kx_tensor_f32(&tensor)[i] = (float)next_bits(&state) / 4194304.0f - 1.0f;
    return tensor;
}

static kx_tensor take_map(kx_ops *ops, const char *name, int64_t side, int64_t channels)
{
    kx_tensor tensor = take_random(ops, name, side * side, channels);
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
        float value = (float)next_bits(&state) / 67108864.0f - 0.0625f;
        uint16_t half = kx_bf16_from_f32(value);
        if (dtype == KX_BF16)
            memcpy(data + i * size, &half, sizeof half);
        else
            memcpy(data + i * size, &value, sizeof value);
    }
    return weight;
}

typedef struct bench_operands {
    kx_tensor x, y, k, v;
    kx_linear linear;
    kx_conv conv;
    const float *gate, *shift, *scale;
} bench_operands;

static void call_linear(kx_ops *ops, const bench_case *what, void *operands)
{
    bench_operands *o = operands;
    kx_op_linear(ops, &o->x, &o->linear, what->epilogue, o->gate, &o->y);
}

static void run_linear(kx_ops *ops, const bench_case *what, kx_bench_row *row)
{
    bench_operands o = {.x = take_random(ops, "x", what->T, what->K),
                        .y = take_random(ops, "y", what->T, what->N)};
    kx_tensor bias = take_random(ops, "bias", 1, what->N), gate = take_random(ops, "gate", 1, what->N);
    o.linear =
        (kx_linear){.weight = take_weight(ops, what->N, what->K, what->dtype), .bias = kx_tensor_f32(&bias)};
    o.gate = kx_tensor_f32(&gate);
    time_rounds(ops, what, call_linear, &o, row);
}

static void call_attention(kx_ops *ops, const bench_case *what, void *operands)
{
    bench_operands *o = operands;
    kx_attention attention = {.heads = what->N, .head_dim = what->K, .scale = 0.088388348f};
    kx_op_attention(ops, &attention, &o->x, &o->k, &o->v, &o->y);
}

static void run_attention(kx_ops *ops, const bench_case *what, kx_bench_row *row)
{
    int64_t cols = what->K * what->N;
    bench_operands o = {.x = take_random(ops, "q", what->T, cols),
                        .k = take_random(ops, "k", what->T, cols),
                        .v = take_random(ops, "v", what->T, cols),
                        .y = take_random(ops, "out", what->T, cols)};
    time_rounds(ops, what, call_attention, &o, row);
}

static void call_conv(kx_ops *ops, const bench_case *what, void *operands)
{
    (void)what;
    bench_operands *o = operands;
    kx_op_conv(ops, &o->x, NULL, &o->conv, KX_CONV_SAME, false, &o->y);
}

static void run_conv(kx_ops *ops, const bench_case *what, kx_bench_row *row)
{
    bench_operands o = {.x = take_map(ops, "x", what->T, what->K), .y = take_map(ops, "y", what->T, what->N)};
    o.conv.weight = take_weight(ops, what->N, 9 * what->K, what->dtype);
    o.conv.weight.rank = 4;
    o.conv.weight.shape[1] = what->K;
    o.conv.weight.shape[2] = o.conv.weight.shape[3] = 3;
    time_rounds(ops, what, call_conv, &o, row);
}

static void call_norm(kx_ops *ops, const bench_case *what, void *operands)
{
    (void)what;
    bench_operands *o = operands;
    kx_op_norm_modulate(ops, &o->x, o->shift, o->scale, 1e-6f, &o->y);
}

static void run_norm(kx_ops *ops, const bench_case *what, kx_bench_row *row)
{
    bench_operands o = {.x = take_random(ops, "x", what->T, what->N),
                        .y = take_random(ops, "y", what->T, what->N)};
    kx_tensor shift = take_random(ops, "shift", 1, what->N), scale = take_random(ops, "scale", 1, what->N);
    o.shift = kx_tensor_f32(&shift);
    o.scale = kx_tensor_f32(&scale);
    time_rounds(ops, what, call_norm, &o, row);
}

static const bench_case cases[] = {
    {.name = "matmul 2560x3072x12288 f32", .run = run_linear, .T = 2560, .K = 3072, .N = 12288},
    {.name = "matmul 2560x3072x12288 bf16 weights",
     .run = run_linear,
     .T = 2560,
     .K = 3072,
     .N = 12288,
     .dtype = KX_BF16},
    {.name = "matmul 2560x3072x12288 f32, gelu",
     .run = run_linear,
     .T = 2560,
     .K = 3072,
     .N = 12288,
     .epilogue = KX_EPILOGUE_GELU_TANH},
    {.name = "matmul 2560x12288x3072 f32, gated add",
     .run = run_linear,
     .T = 2560,
     .K = 12288,
     .N = 3072,
     .epilogue = KX_EPILOGUE_GATED_ADD},
    {.name = "matmul 512x4096x4096 f32", .run = run_linear, .T = 512, .K = 4096, .N = 4096},
    {.name = "attention 24x128, 2560 tokens", .run = run_attention, .T = 2560, .K = 128, .N = 24},
    {.name = "attention 24x128, 8704 tokens", .run = run_attention, .T = 8704, .K = 128, .N = 24},
    {.name = "attention 1x512, 4096 tokens", .run = run_attention, .T = 4096, .K = 512, .N = 1},
    {.name = "conv 3x3 512->512, 128x128", .run = run_conv, .T = 128, .K = 512, .N = 512},
    {.name = "conv 3x3 128->128, 512x512", .run = run_conv, .T = 512, .K = 128, .N = 128},
    {.name = "gemv 3072x18432 f32", .run = run_linear, .T = 1, .K = 3072, .N = 18432},
    {.name = "gemv 3072x18432 bf16 weights",
     .run = run_linear,
     .T = 1,
     .K = 3072,
     .N = 18432,
     .dtype = KX_BF16},
    {.name = "norm and modulate 2560x3072", .run = run_norm, .T = 2560, .N = 3072},
};

static kx_status run_case(const bench_case *what, const kx_kernels *kernels, kx_pool *pool,
                          const kx_callbacks *callbacks, kx_bench_row *row, kx_error *err)
{
    kx_status status = KX_OK;
    kx_scratch measure, scratch = {0};
    kx_scratch_measure(&measure);
    kx_ops dry = {.kernels = kernels, .pool = pool, .scratch = &measure, .dry = true};
    what->run(&dry, what, row);
    KX_TRY(kx_ops_status(&dry, err));
    KX_TRY(kx_scratch_open(&scratch, measure.peak, err));
    kx_ops ops = {.kernels = kernels, .pool = pool, .scratch = &scratch};
    if (callbacks != NULL) {
        ops.cancelled = callbacks->cancelled;
        ops.cancelled_user = callbacks->user;
    }
    what->run(&ops, what, row);
    KX_TRY(kx_ops_status(&ops, err));
out:
    kx_scratch_close(&scratch);
    return status;
}

kx_status kx_bench_run(const char *suite, const char *cpu, unsigned threads,
                       void (*row)(void *user, const kx_bench_row *row), void *user,
                       const kx_callbacks *callbacks, kx_error *error)
{
    kx_status status = KX_OK;
    kx_error own = {0}, *err = error == NULL ? &own : error;
    const kx_kernels *kernels = NULL;
    kx_pool *pool = NULL;
    KX_TRY(kx_kernels_choose(cpu, &kernels, err));
    KX_TRY(kx_pool_create(&pool, threads, err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (suite != NULL && strstr(cases[i].name, suite) == NULL) continue;
        kx_bench_row result = {.name = cases[i].name};
        KX_TRY(run_case(&cases[i], kernels, pool, callbacks, &result, err));
        row(user, &result);
    }
out:
    kx_pool_destroy(pool);
    return status;
}
