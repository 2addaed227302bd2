/* Matrices share one buffer: it is far larger than any cache, so a step streams its weights from memory as it
 * does with a true model, for a fraction of the memory. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "engine/pipeline/bench_weights.h"

#include "base/hash64.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Extents that a shape is written in: a table entry stands for its value in the model. */
typedef enum extent {
    NONE = 0,
    ONE_HEAD,
    H,
    H2,
    H3,
    H6,
    M,
    H3M,
    HM,
    IN,
    CTX,
    POOL,
    FREQ,
    TW,
    TH,
    TV,
    TB,
    TN
} extent;

static int64_t extent_of(extent e, bool tiny)
{
    int64_t head = tiny ? 32 : 128, h = head * (tiny ? 3 : 24), mlp = 4 * h, context = tiny ? 64 : 4096;
    switch (e) {
    case ONE_HEAD:
        return head;
    case H:
        return h;
    case H2:
        return 2 * h;
    case H3:
        return 3 * h;
    case H6:
        return 6 * h;
    case M:
        return mlp;
    case H3M:
        return 3 * h + mlp;
    case HM:
        return h + mlp;
    case IN:
        return 64;
    case POOL:
        return tiny ? 32 : 768;
    case FREQ:
        return 256;
    case CTX:
    case TW:
        return context;
    case TH:
        return tiny ? 128 : 10240;
    case TV:
        return 512; /* few rows: the table is only looked up */
    case TB:
        return 32;
    case TN:
        return tiny ? 4 : 64;
    case NONE:
        break;
    }
    return 1;
}

typedef struct pattern {
    const char *prefix; /* before the number, NULL: none */
    int count;
    const char *name;
    extent rows, cols; /* cols NONE: a vector */
} pattern;

#define STREAM(s)                                                                                            \
    {"double_blocks.", 2, s "_mod.lin.weight", H6, H}, {"double_blocks.", 2, s "_mod.lin.bias", H6, NONE},   \
        {"double_blocks.", 2, s "_attn.qkv.weight", H3, H},                                                  \
        {"double_blocks.", 2, s "_attn.qkv.bias", H3, NONE},                                                 \
        {"double_blocks.", 2, s "_attn.norm.query_norm.scale", ONE_HEAD, NONE},                              \
        {"double_blocks.", 2, s "_attn.norm.key_norm.scale", ONE_HEAD, NONE},                                \
        {"double_blocks.", 2, s "_attn.proj.weight", H, H},                                                  \
        {"double_blocks.", 2, s "_attn.proj.bias", H, NONE}, {"double_blocks.", 2, s "_mlp.0.weight", M, H}, \
        {"double_blocks.", 2, s "_mlp.0.bias", M, NONE}, {"double_blocks.", 2, s "_mlp.2.weight", H, M},     \
    {                                                                                                        \
        "double_blocks.", 2, s "_mlp.2.bias", H, NONE                                                        \
    }
#define EMBEDDER(e, from)                                                                                    \
    {NULL, 0, e ".in_layer.weight", H, from}, {NULL, 0, e ".in_layer.bias", H, NONE},                        \
        {NULL, 0, e ".out_layer.weight", H, H},                                                              \
    {                                                                                                        \
        NULL, 0, e ".out_layer.bias", H, NONE                                                                \
    }

static const pattern patterns[] = {
    {NULL, 0, "img_in.weight", H, IN},
    {NULL, 0, "img_in.bias", H, NONE},
    {NULL, 0, "txt_in.weight", H, CTX},
    {NULL, 0, "txt_in.bias", H, NONE},
    EMBEDDER("time_in", FREQ),
    EMBEDDER("guidance_in", FREQ),
    EMBEDDER("vector_in", POOL),
    STREAM("img"),
    STREAM("txt"),
    {"single_blocks.", 4, "modulation.lin.weight", H3, H},
    {"single_blocks.", 4, "modulation.lin.bias", H3, NONE},
    {"single_blocks.", 4, "linear1.weight", H3M, H},
    {"single_blocks.", 4, "linear1.bias", H3M, NONE},
    {"single_blocks.", 4, "linear2.weight", H, HM},
    {"single_blocks.", 4, "linear2.bias", H, NONE},
    {"single_blocks.", 4, "norm.query_norm.scale", ONE_HEAD, NONE},
    {"single_blocks.", 4, "norm.key_norm.scale", ONE_HEAD, NONE},
    {NULL, 0, "final_layer.adaLN_modulation.1.weight", H2, H},
    {NULL, 0, "final_layer.adaLN_modulation.1.bias", H2, NONE},
    {NULL, 0, "final_layer.linear.weight", IN, H},
    {NULL, 0, "final_layer.linear.bias", IN, NONE},
    {NULL, 0, "shared.weight", TV, TW},
    {NULL, 0, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", TB, TN},
    {NULL, 0, "encoder.final_layer_norm.weight", TW, NONE},
    {"encoder.block.", 2, "layer.0.layer_norm.weight", TW, NONE},
    {"encoder.block.", 2, "layer.1.layer_norm.weight", TW, NONE},
    {"encoder.block.", 2, "layer.0.SelfAttention.q.weight", TW, TW},
    {"encoder.block.", 2, "layer.0.SelfAttention.k.weight", TW, TW},
    {"encoder.block.", 2, "layer.0.SelfAttention.v.weight", TW, TW},
    {"encoder.block.", 2, "layer.0.SelfAttention.o.weight", TW, TW},
    {"encoder.block.", 2, "layer.1.DenseReluDense.wi_0.weight", TH, TW},
    {"encoder.block.", 2, "layer.1.DenseReluDense.wi_1.weight", TH, TW},
    {"encoder.block.", 2, "layer.1.DenseReluDense.wo.weight", TW, TH},
};

/* "double_blocks.1.img_mod.lin.weight" is row {"double_blocks.", 2, "img_mod.lin.weight"}. */
static bool matches(const pattern *row, const char *name)
{
    if (row->prefix == NULL) return strcmp(row->name, name) == 0;
    size_t length = strlen(row->prefix);
    if (strncmp(name, row->prefix, length) != 0) return false;
    char *end;
    long number = strtol(name + length, &end, 10);
    return end != name + length && *end == '.' && number >= 0 && number < row->count &&
           strcmp(end + 1, row->name) == 0;
}

static kx_status find(void *context, const char *name, kx_weight *weight, bool *found, kx_error *err)
{
    (void)err;
    const kx_bench_weights *weights = context;
    *found = false;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0] && !*found; i++) {
        const pattern *row = &patterns[i];
        if (!matches(row, name)) continue;
        int64_t rows = extent_of(row->rows, weights->tiny), cols = extent_of(row->cols, weights->tiny);
        size_t room = weights->bytes - (size_t)(rows * cols) * sizeof(uint16_t);
        size_t offset = kx_hash64_add_text(KX_HASH64_START, name) % (room + 1) / 64 * 64;
        *weight = (kx_weight){.rank = row->cols == NONE ? 1 : 2, .shape = {rows, cols}, .num_segments = 1};
        weight->segments[0] = (kx_weight_segment){
            .data = (const char *)weights->data + offset,
            .rows = rows,
            .dtype = KX_BF16,
            .scale = 1,
        };
        *found = true;
    }
    return KX_OK;
}

kx_weight_source kx_bench_weights_source(kx_bench_weights *weights)
{
    return (kx_weight_source){.find = find, .context = weights, .what = "bench"};
}

kx_status kx_bench_weights_open(kx_bench_weights *weights, bool tiny, kx_error *err)
{
    kx_status status = KX_OK;
    weights->tiny = tiny;
    weights->bytes = (size_t)(tiny ? 1 : 192) << 20;
    /* Shared, so that packing may let pages go without losing what they hold. */
    void *data = mmap(NULL, weights->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    KX_FAIL_IF(data == MAP_FAILED, err, KX_ERR_MEMORY, "bench: out of memory for %zu MiB of weights",
               weights->bytes >> 20);
    weights->data = data;
    uint16_t *values = data;
    uint32_t state = 1;
    for (size_t i = 0; i < weights->bytes / sizeof *values; i++) {
        state = state * 1664525u + 1013904223u;
        /* Uniform in [-1/32, 1/32): sums over a few thousand stay near 1. */
        values[i] = kx_bf16_from_f32(((float)(state >> 9) / 4194304.0f - 1.0f) / 32.0f);
    }
out:
    return status;
}

void kx_bench_weights_close(kx_bench_weights *weights)
{
    if (weights->data != NULL) munmap(weights->data, weights->bytes);
    *weights = (kx_bench_weights){0};
}
