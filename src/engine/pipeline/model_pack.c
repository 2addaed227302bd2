#define _GNU_SOURCE /* MADV_HUGEPAGE */
#include "engine/pipeline/model_pack.h"

#include "engine/formats/ticker.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096 };

/* One matrix in memory of its own. */
struct kx_model_packed {
    struct kx_model_packed *next;
    kx_packed packed;
    void *memory;
    size_t bytes;
};

typedef struct pack_work {
    kx_model *model;
    kx_ticker ticker;
    uint64_t bytes; /* still to be taken, when only counting */
} pack_work;

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static kx_packed_bytes size_of(const kx_model *model, const kx_linear *linear)
{
    return kx_packed_size(kx_packed_dtype(model->precision), kx_weight_rows(&linear->weight),
                          kx_weight_cols(&linear->weight), linear->split);
}

static size_t memory_of(kx_packed_bytes size)
{
    return whole_pages(size.data) + whole_pages(size.scales + size.sums);
}

static kx_status count(void *context, const char *name, kx_linear *linear, kx_error *err)
{
    (void)name;
    (void)err;
    pack_work *work = context;
    if (linear->packed != NULL) return KX_OK;
    work->bytes += memory_of(size_of(work->model, linear));
    return KX_OK;
}

static kx_status visit_all(pack_work *work, kx_linear_visit *visit, kx_error *err)
{
    kx_status status = KX_OK;
    if (work->model->precision == KX_PRECISION_F32) return KX_OK;
    if (work->model->clip != NULL) /* random models of benches have none */
        KX_TRY(kx_clip_each_linear(work->model->clip, visit, work, err));
    KX_TRY(kx_t5_each_linear(work->model->t5, visit, work, err));
    KX_TRY(kx_mmdit_each_linear(work->model->mmdit, visit, work, err));
out:
    return status;
}

/* Memory for the packed form, in large pages where the system has them. */
static kx_status take_memory(kx_model *model, const kx_linear *linear, const char *name,
                             struct kx_model_packed **out, kx_error *err)
{
    kx_status status = KX_OK;
    struct kx_model_packed *matrix = calloc(1, sizeof *matrix);
    KX_FAIL_IF(matrix == NULL, err, KX_ERR_MEMORY, "out of memory");
    kx_packed_bytes size = size_of(model, linear);
    matrix->bytes = memory_of(size);
    void *memory = mmap(NULL, matrix->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    KX_FAIL_IF(memory == MAP_FAILED, err, KX_ERR_MEMORY, "out of memory: %s takes %zu bytes when packed",
               name, matrix->bytes);
    madvise(memory, matrix->bytes, MADV_HUGEPAGE);
    matrix->memory = memory;
    uint8_t *behind = (uint8_t *)memory + whole_pages(size.data);
    matrix->packed = (kx_packed){
        .dtype = kx_packed_dtype(model->precision),
        .rows = kx_weight_rows(&linear->weight),
        .cols = kx_weight_cols(&linear->weight),
        .split = linear->split,
        .data = memory,
        .scales = size.scales > 0 ? (const float *)(const void *)behind : NULL,
        .sums = size.sums > 0 ? (const int32_t *)(const void *)(behind + size.scales) : NULL,
    };
    *out = matrix;
    matrix = NULL;
out:
    free(matrix);
    return status;
}

static kx_status fill(const pack_work *work, const kx_linear *linear, const kx_packed *packed, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_callbacks *callbacks = work->ticker.callbacks;
    kx_scratch measured, scratch = {0};
    kx_scratch_measure(&measured);
    kx_ops ops = {
        .kernels = work->model->kernels, .pool = work->model->pool, .scratch = &measured, .dry = true};
    kx_op_pack(&ops, &linear->weight, packed);
    KX_TRY(kx_scratch_open(&scratch, measured.peak, err));
    ops.scratch = &scratch;
    ops.dry = false;
    ops.cancelled = callbacks != NULL ? callbacks->cancelled : NULL;
    ops.cancelled_user = callbacks != NULL ? callbacks->user : NULL;
    kx_op_pack(&ops, &linear->weight, packed);
    KX_TRY(kx_ops_status(&ops, err));
out:
    kx_scratch_close(&scratch);
    return status;
}

static kx_status pack(void *context, const char *name, kx_linear *linear, kx_error *err)
{
    kx_status status = KX_OK;
    pack_work *work = context;
    struct kx_model_packed *matrix = NULL;
    size_t bytes;
    if (linear->packed != NULL) return KX_OK;
    KX_TRY(take_memory(work->model, linear, name, &matrix, err));
    KX_TRY(fill(work, linear, &matrix->packed, err));
    matrix->next = work->model->packed;
    work->model->packed = matrix;
    linear->packed = &matrix->packed;
    bytes = matrix->bytes;
    matrix = NULL;
    kx_weight_drop(&linear->weight);
    KX_TRY(kx_ticker_advance(&work->ticker, bytes, err));
out:
    if (matrix != NULL) munmap(matrix->memory, matrix->bytes);
    free(matrix);
    return status;
}

kx_status kx_model_pack(kx_model *model, const kx_callbacks *callbacks, kx_error *err)
{
    kx_status status = KX_OK;
    pack_work work = {.model = model};
    KX_TRY(visit_all(&work, count, err));
    if (work.bytes == 0) return KX_OK;
    kx_ticker_start(&work.ticker, callbacks, "pack", work.bytes);
    KX_TRY(kx_ticker_advance(&work.ticker, 0, err));
    KX_TRY(visit_all(&work, pack, err));
out:
    return status;
}

uint64_t kx_model_pack_bytes(kx_model *model)
{
    pack_work work = {.model = model};
    kx_error none = {0};
    return visit_all(&work, count, &none) == KX_OK ? work.bytes : 0;
}

void kx_model_pack_free(kx_model *model)
{
    while (model->packed != NULL) {
        struct kx_model_packed *next = model->packed->next;
        munmap(model->packed->memory, model->packed->bytes);
        free(model->packed);
        model->packed = next;
    }
}
