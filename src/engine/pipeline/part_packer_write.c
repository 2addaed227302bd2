/* The file of a packed part: the matrices block after block, as the network visits them; then the plain
 * tensors of two and more axes, the vectors, the scales of plain tensors, and the checksums. All tensors of
 * matrices have multiples of 64 bytes, so they stay aligned; in models of true size the data of each is whole
 * pages. */
#include "engine/formats/safetensors_writer.h"
#include "engine/pipeline/part_packer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA_ALIGN = 4096, PIECE_BYTES = 8 << 20 };

/* One run of kx_part_packer_write. */
typedef struct packing {
    const kx_part_packer *packer;
    const kx_part_feed *feed;
    kx_ticker *ticker;
    kx_safetensors_writer writer;
    kx_scratch scratch;
    uint8_t *matrix; /* the largest one, packed */
    float *wide;     /* PIECE_BYTES, for what is widened */
} packing;

static kx_packed shape_of(const kx_part_packer *packer, const kx_linear *linear)
{
    return (kx_packed){.dtype = packer->dtype,
                       .rows = kx_weight_rows(&linear->weight),
                       .cols = kx_weight_cols(&linear->weight),
                       .split = linear->split};
}

/* ---- Header -------------------------------------------------------------------------------------------- */

static kx_status declare_named(packing *p, const char *name, const char *tail, kx_dtype dtype, int rank,
                               const int64_t *shape, kx_error *err)
{
    char full[KX_LIMIT_TENSOR_NAME_BYTES + 32];
    snprintf(full, sizeof full, "%s%s", name, tail);
    return kx_safetensors_writer_declare(&p->writer, full, dtype, rank, shape, err);
}

static kx_status declare_matrices(packing *p, kx_error *err)
{
    kx_status status = KX_OK;
    for (size_t k = 0; k < p->packer->num_matrices; k++) {
        const kx_packer_matrix *matrix = &p->packer->matrices[k];
        kx_packed packed = shape_of(p->packer, matrix->linear);
        kx_packed_shapes shapes = kx_packed_shapes_of(packed.dtype, packed.rows, packed.cols, packed.split);
        KX_TRY(declare_named(p, matrix->name, KX_PACKED_DATA, packed.dtype, 3, shapes.data, err));
        if (packed.dtype != KX_I8) continue;
        KX_TRY(declare_named(p, matrix->name, KX_PACKED_SCALES, KX_F32, 2, shapes.entries, err));
        KX_TRY(declare_named(p, matrix->name, KX_PACKED_SUMS, KX_I32, 2, shapes.entries, err));
    }
out:
    return status;
}

/* Calls `each` for the parameters that stay plain: first those with axes, then vectors. */
static kx_status each_plain(packing *p,
                            kx_status (*each)(packing *p, const kx_packer_parameter *parameter, kx_error *),
                            kx_error *err)
{
    kx_status status = KX_OK;
    for (int vectors = 0; vectors < 2; vectors++) {
        for (size_t i = 0; i < p->packer->num_parameters; i++) {
            const kx_packer_parameter *parameter = &p->packer->parameters[i];
            if (parameter->packed || (parameter->weight.rank < 2) != vectors) continue;
            KX_TRY(each(p, parameter, err));
        }
    }
out:
    return status;
}

static kx_status declare_plain(packing *p, const kx_packer_parameter *parameter, kx_error *err)
{
    const kx_weight *weight = &parameter->weight;
    return kx_safetensors_writer_declare(&p->writer, parameter->name, kx_part_packer_form(weight).dtype,
                                         weight->rank, weight->shape, err);
}

/* L.weight has the scale L.weight_scale. */
static kx_status declare_scale(packing *p, const kx_packer_parameter *parameter, kx_error *err)
{
    if (kx_part_packer_form(&parameter->weight).scale == 1) return KX_OK;
    return declare_named(p, parameter->name, "_scale", KX_F32, 0, NULL, err);
}

static kx_status describe(packing *p, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_part_packer *packer = p->packer;
    kx_arena arena = {0};
    kx_bytes text = {0};
    kx_packed_index index = {.dtype = packer->dtype};
    KX_TRY(KX_ARENA_ARRAY(&arena, packer->num_matrices, &index.matrices, err));
    KX_TRY(KX_ARENA_ARRAY(&arena, packer->num_parameters, &index.parameters, err));
    for (size_t k = 0; k < packer->num_matrices; k++) {
        kx_packed packed = shape_of(packer, packer->matrices[k].linear);
        index.matrices[index.num_matrices++] =
            (kx_packed_entry){packer->matrices[k].name, packed.rows, packed.cols, packed.split};
    }
    for (size_t i = 0; i < packer->num_parameters; i++) {
        const kx_packer_parameter *parameter = &packer->parameters[i];
        if (parameter->packed)
            index.parameters[index.num_parameters++] =
                (kx_packed_entry){.name = parameter->name,
                                  .rows = kx_weight_rows(&parameter->weight),
                                  .cols = kx_weight_cols(&parameter->weight)};
    }
    KX_TRY(kx_packed_index_text(&index, &text, err));
    KX_TRY(kx_safetensors_writer_metadata(&p->writer, "format", "pt", err));
    KX_TRY(kx_safetensors_writer_metadata(&p->writer, KX_PACKED_METADATA, (const char *)text.data, err));
out:
    kx_bytes_free(&text);
    kx_arena_free(&arena);
    return status;
}

/* ---- Data ---------------------------------------------------------------------------------------------- */

static void announce(const packing *p, const void *data, size_t bytes)
{
    if (p->feed->before != NULL) p->feed->before(p->feed->context, data, bytes);
}

static kx_status append(packing *p, const void *data, size_t bytes, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_safetensors_writer_append(&p->writer, data, bytes, err));
    KX_TRY(kx_ticker_advance(p->ticker, bytes, err));
out:
    return status;
}

static kx_ops ops_of(const packing *p, kx_scratch *scratch, bool dry)
{
    const kx_callbacks *callbacks = p->ticker->callbacks;
    return (kx_ops){.kernels = p->packer->kernels,
                    .pool = p->packer->pool,
                    .scratch = scratch,
                    .dry = dry,
                    .cancelled = callbacks != NULL ? callbacks->cancelled : NULL,
                    .cancelled_user = callbacks != NULL ? callbacks->user : NULL};
}

static void feed_matrix(const packing *p, const kx_weight *weight,
                        void (*tell)(void *context, const void *data, size_t bytes))
{
    for (int i = 0; tell != NULL && i < weight->num_segments; i++) {
        const kx_weight_segment *segment = &weight->segments[i];
        tell(p->feed->context, segment->data, kx_weight_segment_bytes(weight, segment));
    }
}

static kx_status write_matrix(packing *p, const kx_linear *linear, kx_error *err)
{
    kx_status status = KX_OK;
    kx_packed packed = shape_of(p->packer, linear);
    kx_packed_bytes bytes = kx_packed_size(packed.dtype, packed.rows, packed.cols, packed.split);
    kx_ops ops = ops_of(p, &p->scratch, false);
    packed.data = p->matrix;
    if (packed.dtype == KX_I8) {
        packed.scales = (const float *)(const void *)(p->matrix + bytes.data);
        packed.sums = (const int32_t *)(const void *)(p->matrix + bytes.data + bytes.scales);
    }
    feed_matrix(p, &linear->weight, p->feed->before);
    kx_op_pack(&ops, &linear->weight, &packed);
    feed_matrix(p, &linear->weight, p->feed->after);
    KX_TRY(kx_ops_status(&ops, err));
    KX_TRY(append(p, p->matrix, bytes.data + bytes.scales + bytes.sums, err));
out:
    return status;
}

/* `count` rows from the address `data`, as f32. */
static const void *widen(packing *p, const kx_weight_segment *segment, const uint8_t *data, size_t elements)
{
    for (size_t i = 0; i < elements; i++) p->wide[i] = segment->scale * kx_dtype_get(segment->dtype, data, i);
    return p->wide;
}

static kx_status write_plain(packing *p, const kx_packer_parameter *parameter, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_weight *weight = &parameter->weight;
    kx_plain_form form = kx_part_packer_form(weight);
    size_t piece = PIECE_BYTES / sizeof(float);
    for (int i = 0; i < weight->num_segments; i++) {
        const kx_weight_segment *segment = &weight->segments[i];
        bool as_is = segment->dtype == form.dtype && segment->scale == form.scale;
        size_t total = (size_t)(segment->rows * kx_weight_cols(weight)),
               unit = kx_dtype_bytes(segment->dtype);
        for (size_t first = 0; first < total; first += piece) {
            size_t count = total - first < piece ? total - first : piece;
            const uint8_t *data = (const uint8_t *)segment->data + first * unit;
            announce(p, data, count * unit);
            KX_TRY(append(p, as_is ? data : widen(p, segment, data, count),
                          count * kx_dtype_bytes(form.dtype), err));
            p->feed->after(p->feed->context, data, count * unit);
        }
    }
out:
    return status;
}

static kx_status write_scale(packing *p, const kx_packer_parameter *parameter, kx_error *err)
{
    float scale = kx_part_packer_form(&parameter->weight).scale;
    return scale == 1 ? KX_OK : append(p, &scale, sizeof scale, err);
}

/* Room for the largest matrix, and for what packing takes, which a dry run tells. */
static kx_status take_memory(packing *p, kx_error *err)
{
    kx_status status = KX_OK;
    kx_scratch measured;
    size_t most = 0;
    kx_scratch_measure(&measured);
    kx_ops ops = ops_of(p, &measured, true);
    for (size_t k = 0; k < p->packer->num_matrices; k++) {
        const kx_linear *linear = p->packer->matrices[k].linear;
        kx_packed packed = shape_of(p->packer, linear);
        kx_packed_bytes bytes = kx_packed_size(packed.dtype, packed.rows, packed.cols, packed.split);
        if (bytes.data + bytes.scales + bytes.sums > most) most = bytes.data + bytes.scales + bytes.sums;
        kx_op_pack(&ops, &linear->weight, &packed);
    }
    KX_TRY(kx_ops_status(&ops, err));
    KX_TRY(kx_scratch_open(&p->scratch, measured.peak, err));
    size_t room = (most / KX_PACKED_ALIGN + 1) * KX_PACKED_ALIGN;
    p->matrix = aligned_alloc(KX_PACKED_ALIGN, room);
    p->wide = malloc(PIECE_BYTES);
    KX_FAIL_IF(p->matrix == NULL || p->wide == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes", room);
out:
    return status;
}

kx_status kx_part_packer_write(const kx_part_packer *packer, const char *path, const kx_part_feed *feed,
                               kx_ticker *ticker, kx_error *err)
{
    kx_status status = KX_OK;
    packing p = {.packer = packer,
                 .feed = feed,
                 .ticker = ticker,
                 .writer = {.alignment = DATA_ALIGN, .checksums = true}};
    KX_TRY(take_memory(&p, err));
    KX_TRY(describe(&p, err));
    KX_TRY(declare_matrices(&p, err));
    KX_TRY(each_plain(&p, declare_plain, err));
    KX_TRY(each_plain(&p, declare_scale, err));
    KX_TRY(kx_safetensors_writer_open(&p.writer, path, err));
    for (size_t k = 0; k < packer->num_matrices; k++)
        KX_TRY(write_matrix(&p, packer->matrices[k].linear, err));
    KX_TRY(each_plain(&p, write_plain, err));
    KX_TRY(each_plain(&p, write_scale, err));
    KX_TRY(kx_safetensors_writer_commit(&p.writer, err));
out:
    kx_safetensors_writer_discard(&p.writer);
    kx_scratch_close(&p.scratch);
    free(p.matrix);
    free(p.wide);
    return status;
}
