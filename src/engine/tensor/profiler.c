#include "engine/tensor/profiler.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

kx_status kx_profiler_open(kx_profiler **out, bool keeps_events, kx_error *err)
{
    kx_status status = KX_OK;
    kx_profiler *profiler = calloc(1, sizeof *profiler);
    KX_FAIL_IF(profiler == NULL, err, KX_ERR_MEMORY, "out of memory");
    profiler->keeps_events = keeps_events;
    profiler->origin_ns = now_ns();
    profiler->stage = "";
    *out = profiler;
out:
    return status;
}

void kx_profiler_close(kx_profiler *profiler)
{
    if (profiler == NULL) return;
    free(profiler->rows);
    free(profiler->events);
    free(profiler);
}

/* Room for one more element of `size` bytes, at most `most`: the array, or NULL (the old one stays). */
static void *grow(void *array, size_t count, size_t *room, size_t most, size_t size)
{
    if (count < *room) return array;
    size_t wanted = *room == 0 ? 64 : 2 * *room;
    if (wanted > most) wanted = most;
    if (count >= wanted) return NULL;
    void *larger = realloc(array, wanted * size);
    if (larger != NULL) *room = wanted;
    return larger;
}

/* ---- Scopes and events --------------------------------------------------------------------------------- */

static int32_t scope_of(const kx_profiler *profiler)
{
    size_t depth = profiler->depth;
    return depth == 0 || depth > KX_PROFILER_DEPTH_MAX ? -1 : profiler->scopes[depth - 1];
}

/* The place of the event, or -1. */
static int32_t add_event(kx_profiler *profiler, const char *word, int64_t number, uint64_t start_ns,
                         uint64_t duration_ns)
{
    if (!profiler->keeps_events) return -1;
    kx_profiler_event *events = grow(profiler->events, profiler->num_events, &profiler->event_room,
                                     KX_PROFILER_EVENTS_MAX, sizeof *events);
    if (events == NULL) {
        profiler->lost_events++;
        return -1;
    }
    profiler->events = events;
    events[profiler->num_events] = (kx_profiler_event){.word = word,
                                                       .number = number,
                                                       .start_ns = start_ns - profiler->origin_ns,
                                                       .duration_ns = duration_ns,
                                                       .parent = scope_of(profiler)};
    return (int32_t)profiler->num_events++;
}

void kx_profiler_stage(kx_profiler *profiler, const char *stage)
{
    if (profiler != NULL) profiler->stage = stage;
}

void kx_profiler_enter(kx_profiler *profiler, const char *word, int64_t number)
{
    if (profiler == NULL) return;
    int32_t event = add_event(profiler, word, number, now_ns(), 0);
    if (profiler->depth < KX_PROFILER_DEPTH_MAX) profiler->scopes[profiler->depth] = event;
    profiler->depth++;
}

void kx_profiler_leave(kx_profiler *profiler)
{
    if (profiler == NULL) return;
    assert(profiler->depth > 0);
    int32_t event = scope_of(profiler);
    profiler->depth--;
    if (event < 0) return;
    kx_profiler_event *scope = &profiler->events[event];
    scope->duration_ns = now_ns() - profiler->origin_ns - scope->start_ns;
}

/* ---- Operations ---------------------------------------------------------------------------------------- */

static bool same_word(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_row_of(const kx_profiler_row *row, const char *stage, const kx_profiler_op *op)
{
    if (row->op.rank != op->rank || row->op.flops != op->flops || row->op.bytes != op->bytes) return false;
    for (int i = 0; i < op->rank; i++)
        if (row->op.shape[i] != op->shape[i]) return false;
    return same_word(row->op.kind, op->kind) && same_word(row->op.detail, op->detail) &&
           same_word(row->op.type, op->type) && same_word(row->op.weights, op->weights) &&
           same_word(row->stage, stage);
}

/* The row of an operation. Blocks follow one another in the same order, so the search goes round from the row
 * behind the last one, which mostly is the one. NULL: no room. */
static kx_profiler_row *find_row(kx_profiler *profiler, const kx_profiler_op *op)
{
    for (size_t i = 0; i < profiler->num_rows; i++) {
        size_t at = (profiler->last_row + 1 + i) % profiler->num_rows;
        if (!is_row_of(&profiler->rows[at], profiler->stage, op)) continue;
        profiler->last_row = at;
        return &profiler->rows[at];
    }
    kx_profiler_row *rows =
        grow(profiler->rows, profiler->num_rows, &profiler->row_room, KX_PROFILER_ROWS_MAX, sizeof *rows);
    if (rows == NULL) return NULL;
    profiler->rows = rows;
    profiler->last_row = profiler->num_rows++;
    rows[profiler->last_row] = (kx_profiler_row){.stage = profiler->stage, .op = *op};
    return &rows[profiler->last_row];
}

void kx_profiler_begin(kx_profiler *profiler, const kx_profiler_op *op)
{
    if (profiler == NULL) return;
    assert(profiler->op.kind == NULL && op->kind != NULL);
    profiler->op = *op;
    profiler->op_start_ns = now_ns();
}

void kx_profiler_end(kx_profiler *profiler)
{
    if (profiler == NULL) return;
    uint64_t duration_ns = now_ns() - profiler->op_start_ns;
    assert(profiler->op.kind != NULL);
    kx_profiler_row *row = find_row(profiler, &profiler->op);
    profiler->op.kind = NULL;
    if (row == NULL) {
        profiler->lost_calls++;
        return;
    }
    row->calls++;
    row->flops += row->op.flops;
    row->bytes += row->op.bytes;
    row->nanoseconds += duration_ns;
    add_event(profiler, NULL, row - profiler->rows, profiler->op_start_ns, duration_ns);
}

/* ---- Names --------------------------------------------------------------------------------------------- */

void kx_profiler_shape(const kx_profiler_op *op, char out[KX_PROFILER_SHAPE_BYTES])
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < op->rank; i++)
        used += (size_t)snprintf(out + used, KX_PROFILER_SHAPE_BYTES - used, "%s%" PRId64, i > 0 ? "x" : "",
                                 op->shape[i]);
}

void kx_profiler_name(const kx_profiler_op *op, char out[KX_PROFILER_NAME_BYTES])
{
    char shape[KX_PROFILER_SHAPE_BYTES];
    kx_profiler_shape(op, shape);
    bool detailed = op->detail != NULL, weighted = op->weights != NULL;
    snprintf(out, KX_PROFILER_NAME_BYTES, "%s %s %s%s%s%s%s%s", op->kind, op->type, shape,
             detailed || weighted ? " " : "", detailed ? op->detail : "", detailed && weighted ? ", " : "",
             weighted ? op->weights : "", weighted ? " weights" : "");
}
