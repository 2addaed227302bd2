/* Where the time of an edit goes, operation by operation.
 *
 * Ops tell a profiler what begins and when it ended; the pipeline and the models tell in which stage, step
 * and block that is:
 *
 *     kx_profiler_stage(profiler, "denoise");
 *     kx_profiler_enter(profiler, "step", 3);
 *     kx_profiler_begin(profiler, &(kx_profiler_op){.kind = "add", .type = "f32", .rank = 2, ...});
 *     ...
 *     kx_profiler_end(profiler);
 *     kx_profiler_leave(profiler);
 *
 * One row of a table for each (stage, operation, type, shape, detail) is always kept; single events, from
 * which a trace is written, only where they were asked for, up to KX_PROFILER_EVENTS_MAX. All on the thread
 * that runs the edit: the time of an operation is that of its caller, with all its workers. A NULL profiler
 * is accepted by every function and costs a comparison. A profiler that has no memory left, or no room for a
 * row, goes on without what it cannot keep and counts it as lost; it never fails an edit.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { KX_PROFILER_ROWS_MAX = 4096, KX_PROFILER_EVENTS_MAX = 1 << 19, KX_PROFILER_DEPTH_MAX = 8 };

/* Strings are literals, or live as long as the profiler. */
typedef struct kx_profiler_op {
    const char *kind;    /* "linear" */
    const char *type;    /* of the arithmetic: "f32" */
    const char *detail;  /* "gelu"; NULL */
    const char *weights; /* their type, where it is not that of the arithmetic: "bf16"; NULL */
    int rank;
    int64_t shape[4];
    uint64_t flops, bytes; /* of one call; bytes: operands read and results written, once each */
} kx_profiler_op;

typedef struct kx_profiler_row {
    const char *stage;
    kx_profiler_op op;
    uint64_t calls, flops, bytes, nanoseconds;
} kx_profiler_row;

/* A scope (word "step", number 3) or, where word is NULL, a call of row `number`. */
typedef struct kx_profiler_event {
    const char *word;
    int64_t number;                 /* of a scope: -1 where it is only a word */
    uint64_t start_ns, duration_ns; /* start: since the profiler was made */
    int32_t parent;                 /* event of the scope around it; -1: none */
} kx_profiler_event;

typedef struct kx_profiler {
    bool keeps_events;
    uint64_t origin_ns;
    const char *stage;
    kx_profiler_row *rows;
    size_t num_rows, row_room;
    kx_profiler_event *events; /* in the order of their starts */
    size_t num_events, event_room;
    uint64_t lost_calls, lost_events;

    kx_profiler_op op; /* in work, where op.kind is not NULL */
    uint64_t op_start_ns;
    size_t last_row; /* where the next search begins */
    int32_t scopes[KX_PROFILER_DEPTH_MAX];
    size_t depth; /* also counts scopes that are not kept */
} kx_profiler;

/* Errors: KX_ERR_MEMORY. Free with kx_profiler_close. */
kx_status kx_profiler_open(kx_profiler **profiler, bool keeps_events, kx_error *err);
void kx_profiler_close(kx_profiler *profiler);

/* The stage that rows belong to from now on. */
void kx_profiler_stage(kx_profiler *profiler, const char *stage);
/* A part of the work, within the one that was entered before and not left. number -1: the word alone. */
void kx_profiler_enter(kx_profiler *profiler, const char *word, int64_t number);
void kx_profiler_leave(kx_profiler *profiler);

/* Operations do not nest. */
void kx_profiler_begin(kx_profiler *profiler, const kx_profiler_op *op);
void kx_profiler_end(kx_profiler *profiler);

/* "linear f32 2560x3072x12288 gelu, bf16 weights". */
enum { KX_PROFILER_NAME_BYTES = 160 };
void kx_profiler_name(const kx_profiler_op *op, char out[KX_PROFILER_NAME_BYTES]);
/* "2560x3072x12288". */
enum { KX_PROFILER_SHAPE_BYTES = 88 };
void kx_profiler_shape(const kx_profiler_op *op, char out[KX_PROFILER_SHAPE_BYTES]);
