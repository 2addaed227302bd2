/* What the drivers of the ops (ops_*.c) share: chunks that stop on cancel, scratch, what they tell the
 * profiler, small arithmetic, and the pieces of packed products. */
#pragma once

#include "engine/kernels/kernels.h"
#include "engine/tensor/ops.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

/* A long op asks its caller's `cancelled` between chunks. Only worker 0, which is the caller's own thread,
 * asks; it tells the others through `stop`. */
typedef struct kx_guard {
    kx_ops *ops;
    atomic_bool stop;
} kx_guard;

bool kx_guard_stopped(kx_guard *guard, size_t worker);
/* kx_pool_run; afterwards, if the guard was stopped, the op set carries KX_ERR_CANCELLED. */
void kx_guard_run(kx_guard *guard, int64_t chunks, kx_pool_work *work, void *arguments);

/* Bytes of an op's own scratch, given back with kx_ops_release. NULL when dry or failed. */
void *kx_driver_take(kx_ops *ops, const char *name, int64_t bytes);
/* One piece of `bytes` for each worker; piece of worker w: base + w * kx_driver_piece(bytes). */
void *kx_driver_take_workers(kx_ops *ops, const char *name, int64_t bytes);

/* Tell the profiler, where there is one, what begins. Each goes with one kx_profile_end, which an op that
 * returns in between must call, too. */
void kx_profile_linear(kx_ops *ops, const kx_tensor *x, const kx_linear *linear, kx_epilogue epilogue,
                       const kx_tensor *y);
void kx_profile_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q, const kx_tensor *k);
void kx_profile_conv(kx_ops *ops, const kx_tensor *x, const kx_conv *conv, kx_conv_mode mode, bool add,
                     const kx_tensor *y);
/* An op that goes over x (NULL: y itself) once and over y `passes` - 1 times. */
void kx_profile_rows(kx_ops *ops, const char *kind, const kx_tensor *x, const kx_tensor *y, int passes);
void kx_profile_end(kx_ops *ops);

static inline int64_t kx_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t kx_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t kx_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t kx_round_up(int64_t a, int64_t step)
{
    return kx_ceil_div(a, step) * step;
}

/* `total` cut into as few equal parts as are no larger than `most`: the size of one, rounded up to `step`. */
static inline int64_t kx_even_part(int64_t total, int64_t most, int64_t step)
{
    if (total <= 0) return step;
    return kx_round_up(kx_ceil_div(total, kx_ceil_div(total, most)), step);
}

/* Around a thread's calls of packed tiles, once for a chunk. */
static inline void kx_driver_enter_tiles(const kx_kernels *kernels)
{
    if (kernels->enter_tiles != NULL) kernels->enter_tiles();
}

static inline void kx_driver_leave_tiles(const kx_kernels *kernels)
{
    if (kernels->leave_tiles != NULL) kernels->leave_tiles();
}

/* The most rows and blocks, of so many, that one call of a packed tile with this limit takes. */
static inline kx_tile_limit kx_driver_tile_most(const kx_kernels *kernels, kx_tile_limit limit, int64_t rows,
                                                int64_t blocks)
{
    return kernels->tiles_loop ? (kx_tile_limit){rows, blocks} : limit;
}

static inline int64_t kx_driver_piece(int64_t bytes)
{
    return kx_round_up(bytes, KX_SCRATCH_ALIGN);
}

/* Cuts a worker's scratch into parts of so many bytes, at multiples of a plane, and returns how long they are
 * together. scratch NULL: only that; the parts are NULL. */
static inline int64_t kx_driver_cut(uint8_t *scratch, size_t count, const int64_t *sizes, void **parts)
{
    int64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        parts[i] = scratch == NULL ? NULL : scratch + at;
        at += kx_round_up(sizes[i], KX_PLANE_BYTES);
    }
    return at;
}

static inline bool kx_driver_failed(const kx_ops *ops)
{
    return ops->error.status != KX_OK;
}

/* The width of the panel that starts at column `first` of `cols`. */
static inline int64_t kx_panel_width(const kx_kernels *kernels, int64_t first, int64_t cols)
{
    return kx_min(kernels->tile_cols, kx_round_up(cols - first, kernels->lanes));
}

/* Whether rows of y are written past the caches: a result that is larger than what is left of them when it is
 * read again. */
static inline bool kx_driver_goes_past(const kx_kernels *kernels, kx_epilogue epilogue, const kx_tensor *y)
{
    const int64_t least = 32 << 20; /* bytes */
    return epilogue == KX_EPILOGUE_STORE && kernels->store_past != NULL &&
           y->rows * y->cols * (int64_t)sizeof(float) >= least;
}

/* n bytes of an int8 operand -> what they stand for, as signed bytes; their sum. */
int32_t kx_driver_make_signed(int64_t n, uint8_t *bytes);
/* The planes of sixteen columns, one column after the other, -> those planes of a block (packed.h). */
void kx_driver_join_columns(const kx_kernels *kernels, int64_t planes, const uint8_t *columns,
                            uint8_t *block);
/* The Hadamard matrix that rotates a group of `cols` values: the largest whose size divides it. */
static inline int64_t kx_hadamard_size(int64_t cols)
{
    return cols & -cols;
}

/* A group of int8, of a row of activations or of a matrix: x (cols) is rotated, which spreads what stands out
 * over the group, then quantised. What both sides of a product were rotated by gives the same product, times
 * kx_hadamard_size(cols): the matrix's scales are divided by it. Where the sums of x overflow the scale is
 * NaN. */
void kx_driver_quantise_group(const kx_kernels *kernels, int64_t cols, const float *x, uint8_t *y,
                              int64_t y_plane, float *scale);
/* Row `row` of x (cols), f32, into columns first.. of the operand y; first begins a group. */
void kx_driver_store_operand(const kx_kernels *kernels, const float *x, int64_t cols, const kx_tensor *y,
                             int64_t row, int64_t first);
/* What attention's products are computed in: KX_I8, KX_BF16, or KX_F32, which is all of it as the formula
 * says. That stands where f32 is the precision or its exactness asked for (autoencoder; but see below), with
 * a mask or a bias (text encoders: a small share of the time), and for heads wider than 256. */
kx_dtype kx_driver_attention_dtype(const kx_ops *ops, const kx_attention *attention);
/* kx_op_attention where that is int8 or bf16. */
void kx_driver_packed_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q,
                                const kx_tensor *k, const kx_tensor *v, const kx_tensor *out);
/* Whether it is computed in sums of products of bf16: the autoencoder's, on a set that is made for it. */
bool kx_driver_attention_sums(const kx_ops *ops, const kx_attention *attention);
/* kx_op_attention where that is so. */
void kx_driver_summed_attention(kx_ops *ops, const kx_attention *attention, const kx_tensor *q,
                                const kx_tensor *k, const kx_tensor *v, const kx_tensor *out);
/* The product of an operand with a packed matrix; see kx_op_linear. */
void kx_driver_packed_linear(kx_ops *ops, const kx_tensor *x, const kx_linear *linear, kx_epilogue epilogue,
                             const float *gate, kx_tensor *y);
