#include "engine/kernels/driver.h"

#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>

static bool poll_cancel(kx_ops *ops)
{
    if (ops->cancelled == NULL || !ops->cancelled(ops->cancelled_user)) return false;
    kx_error_set(&ops->error, KX_ERR_CANCELLED, __FILE__, __LINE__, "cancelled");
    return true;
}

bool kx_ops_idle(kx_ops *ops)
{
    return ops->dry || kx_driver_failed(ops) || poll_cancel(ops);
}

kx_status kx_ops_status(const kx_ops *ops, kx_error *err)
{
    if (kx_driver_failed(ops) && err->status == KX_OK) *err = ops->error;
    return ops->error.status;
}

void kx_ops_trace(kx_ops *ops, const kx_tensor *tensor, const char *format, ...)
{
    if (ops->trace == NULL || ops->dry || kx_driver_failed(ops)) return;
    char name[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    ops->trace(ops->trace_user, name, tensor);
}

void *kx_driver_take(kx_ops *ops, const char *name, int64_t bytes)
{
    if (kx_driver_failed(ops)) return NULL;
    bool failed = bytes < 0;
    void *memory = failed ? NULL : kx_scratch_take(ops->scratch, name, (size_t)bytes, &failed);
    if (failed)
        kx_error_set(&ops->error, KX_ERR_MEMORY, __FILE__, __LINE__,
                     "working memory: %s needs %lld bytes, %zu of %zu are taken", name, (long long)bytes,
                     ops->scratch->used, ops->scratch->room);
    return memory;
}

void *kx_driver_take_workers(kx_ops *ops, const char *name, int64_t bytes)
{
    return kx_driver_take(ops, name, kx_driver_piece(bytes) * (int64_t)kx_pool_threads(ops->pool));
}

kx_tensor kx_ops_take(kx_ops *ops, const char *name, int64_t rows, int64_t cols)
{
    size_t count = 0, bytes = 0;
    bool fits = rows >= 0 && cols >= 0 && kx_checked_mul((size_t)rows, (size_t)cols, &count) &&
                kx_checked_mul(count, sizeof(float), &bytes) && bytes <= INT64_MAX;
    kx_tensor tensor = kx_tensor_of(NULL, rows, cols);
    tensor.data = kx_driver_take(ops, name, fits ? (int64_t)bytes : -1);
    return tensor;
}

void kx_ops_forget(kx_ops *ops, const kx_weight *weight)
{
    if (ops->forget != NULL && !ops->dry && !kx_driver_failed(ops)) ops->forget(weight);
}

bool kx_ops_narrow(const kx_ops *ops)
{
    return kx_operand_dtype(ops->precision) != KX_F32;
}

/* Planes an odd number of cache lines apart, so that they do not fall into one set of the cache. */
static int64_t plane_rows(int64_t rows)
{
    return rows | 1;
}

kx_channel_stats kx_ops_take_stats(kx_ops *ops, const char *name, int64_t channels)
{
    double *both = kx_driver_take(ops, name, 2 * channels * (int64_t)sizeof(double));
    return (kx_channel_stats){.mean = both, .squares = both == NULL ? NULL : both + channels};
}

kx_tensor kx_ops_take_operand(kx_ops *ops, const char *name, int64_t rows, int64_t cols, int64_t split)
{
    if (!kx_ops_narrow(ops)) return kx_ops_take(ops, name, rows, cols);
    assert(split >= 0 && split < cols);
    kx_dtype dtype = kx_operand_dtype(ops->precision);
    kx_tensor operand = {
        .dtype = dtype, .rows = rows, .cols = cols, .plane_bytes = plane_rows(rows) * KX_PLANE_BYTES};
    operand.data = kx_driver_take(ops, name, kx_packed_planes(dtype, cols, split) * operand.plane_bytes);
    if (dtype != KX_U8) return operand;
    operand.scale_stride = rows;
    operand.scales =
        kx_driver_take(ops, "scales", kx_packed_groups(dtype, cols, split) * rows * (int64_t)sizeof(float));
    return operand;
}

kx_tensor kx_ops_as_operand(kx_ops *ops, const char *name, const kx_tensor *x)
{
    if (!kx_ops_narrow(ops)) return *x;
    kx_tensor operand = kx_ops_take_operand(ops, name, x->rows, x->cols, 0);
    kx_op_quantise(ops, x, &operand);
    return operand;
}

kx_tensor kx_ops_take_map(kx_ops *ops, const char *name, int64_t height, int64_t width, int64_t channels)
{
    kx_tensor tensor = kx_ops_take(ops, name, height * width, channels);
    tensor.height = height;
    tensor.width = width;
    return tensor;
}

kx_scratch_mark kx_ops_mark(const kx_ops *ops)
{
    return kx_scratch_mark_now(ops->scratch);
}

void kx_ops_release(kx_ops *ops, kx_scratch_mark mark)
{
    kx_scratch_release(ops->scratch, mark);
}

bool kx_guard_stopped(kx_guard *guard, size_t worker)
{
    if (worker == 0 && guard->ops->cancelled != NULL && guard->ops->cancelled(guard->ops->cancelled_user))
        atomic_store_explicit(&guard->stop, true, memory_order_relaxed);
    return atomic_load_explicit(&guard->stop, memory_order_relaxed);
}

void kx_guard_run(kx_guard *guard, int64_t chunks, kx_pool_work *work, void *arguments)
{
    kx_pool_run(guard->ops->pool, (size_t)chunks, work, arguments);
    if (atomic_load_explicit(&guard->stop, memory_order_relaxed))
        kx_error_set(&guard->ops->error, KX_ERR_CANCELLED, __FILE__, __LINE__, "cancelled");
}
