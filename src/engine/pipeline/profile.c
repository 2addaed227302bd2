/* The profile of an edit as the caller sees it, and as a Chrome trace.
 *
 * The trace is one JSON object {"traceEvents": [...]}. Every scope (stage, image, step, block) and every
 * operation is a complete event ("ph":"X", times in microseconds) of one thread; viewers nest them by their
 * times. */
#include "base/file.h"
#include "engine/pipeline/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 1024, PIECE_BYTES = 64 * 1024 };

/* The public part first, so that a kx_profile * is one of these. */
typedef struct owned_profile {
    kx_profile shown;
    kx_profiler *profiler;
    kx_profile_row *rows;
    char (*names)[KX_PROFILER_NAME_BYTES];
} owned_profile;

void kx_profile_free(kx_profile *profile)
{
    owned_profile *owned = (owned_profile *)profile;
    if (owned == NULL) return;
    kx_profiler_close(owned->profiler);
    free(owned->rows);
    free(owned->names);
    free(owned);
}

static int longest_first(const void *a, const void *b)
{
    double left = ((const kx_profile_row *)a)->seconds, right = ((const kx_profile_row *)b)->seconds;
    return left < right ? 1 : left > right ? -1 : 0;
}

static void fill_rows(owned_profile *owned)
{
    const kx_profiler *profiler = owned->profiler;
    for (size_t i = 0; i < profiler->num_rows; i++) {
        const kx_profiler_row *from = &profiler->rows[i];
        kx_profiler_name(&from->op, owned->names[i]);
        owned->rows[i] = (kx_profile_row){.stage = from->stage,
                                          .operation = owned->names[i],
                                          .calls = from->calls,
                                          .seconds = 1e-9 * (double)from->nanoseconds,
                                          .flops = from->flops,
                                          .bytes = from->bytes};
        owned->shown.seconds += owned->rows[i].seconds;
    }
    if (profiler->num_rows > 0) qsort(owned->rows, profiler->num_rows, sizeof *owned->rows, longest_first);
    owned->shown.rows = owned->rows;
    owned->shown.num_rows = profiler->num_rows;
    owned->shown.lost = profiler->lost_calls + profiler->lost_events;
}

kx_status kx_job_make_profile(kx_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    owned_profile *owned = NULL;
    if (job->profiler == NULL) goto out;
    size_t rows = job->profiler->num_rows;
    owned = calloc(1, sizeof *owned);
    KX_FAIL_IF(owned == NULL, err, KX_ERR_MEMORY, "out of memory");
    owned->rows = calloc(rows + 1, sizeof *owned->rows);
    owned->names = calloc(rows + 1, sizeof *owned->names);
    KX_FAIL_IF(owned->rows == NULL || owned->names == NULL, err, KX_ERR_MEMORY, "out of memory");
    owned->profiler = job->profiler;
    job->profiler = NULL;
    fill_rows(owned);
    job->result->profile = &owned->shown;
    owned = NULL;
out:
    if (owned != NULL) kx_profile_free(&owned->shown);
    return status;
}

/* ---- The trace ----------------------------------------------------------------------------------------- */

typedef struct trace_writer {
    kx_file_write file;
    size_t used;
    char piece[PIECE_BYTES];
} trace_writer;

static kx_status flush(trace_writer *writer, kx_error *err)
{
    kx_status status = kx_file_write_bytes(&writer->file, writer->piece, writer->used, err);
    writer->used = 0;
    return status;
}

static kx_status add_line(trace_writer *writer, const char *line, kx_error *err)
{
    kx_status status = KX_OK;
    size_t length = strlen(line);
    if (writer->used + length > PIECE_BYTES) KX_TRY(flush(writer, err));
    memcpy(writer->piece + writer->used, line, length);
    writer->used += length;
out:
    return status;
}

/* "double 5" */
static void name_scope(const kx_profiler_event *scope, char *out, size_t room)
{
    if (scope->number >= 0)
        snprintf(out, room, "%s %" PRId64, scope->word, scope->number);
    else
        snprintf(out, room, "%s", scope->word);
}

/* "step 3, double 5": the scopes around an event. */
static void name_place(const kx_profiler *profiler, int32_t scope, char *out, size_t room)
{
    int32_t path[KX_PROFILER_DEPTH_MAX];
    size_t depth = 0, used = 0;
    out[0] = '\0';
    for (; scope >= 0 && depth < KX_PROFILER_DEPTH_MAX; scope = profiler->events[scope].parent)
        path[depth++] = scope;
    while (depth > 0 && used < room) {
        char name[64];
        name_scope(&profiler->events[path[--depth]], name, sizeof name);
        used += (size_t)snprintf(out + used, room - used, "%s%s", used > 0 ? ", " : "", name);
    }
}

/* Every string is one of our own words, so nothing needs escaping. */
static void write_operation(const kx_profiler *profiler, const kx_profiler_event *event, char *line,
                            size_t room)
{
    const kx_profiler_row *row = &profiler->rows[event->number];
    const kx_profiler_op *op = &row->op;
    char shape[KX_PROFILER_SHAPE_BYTES], place[256];
    double seconds = event->duration_ns > 0 ? 1e-9 * (double)event->duration_ns : 1e-9;
    kx_profiler_shape(op, shape);
    name_place(profiler, event->parent, place, sizeof place);
    snprintf(
        line, room,
        ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f,\"cat\":\"operation\",\"name\":\"%s\","
        "\"args\":{\"type\":\"%s\",\"shape\":\"%s\",\"fused\":\"%s\",\"weights\":\"%s\",\"in\":\"%s\","
        "\"gflops\":%.3f,\"gb_per_s\":%.3f}}",
        1e-3 * (double)event->start_ns, 1e-3 * (double)event->duration_ns, op->kind, op->type, shape,
        op->detail != NULL ? op->detail : "", op->weights != NULL ? op->weights : op->type, place,
        1e-9 * (double)op->flops / seconds, 1e-9 * (double)op->bytes / seconds);
}

static void write_scope(const kx_profiler_event *event, char *line, size_t room)
{
    char name[64];
    name_scope(event, name, sizeof name);
    snprintf(
        line, room,
        ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f,\"cat\":\"part\",\"name\":\"%s\"}",
        1e-3 * (double)event->start_ns, 1e-3 * (double)event->duration_ns, name);
}

static kx_status write_trace(trace_writer *writer, const kx_profiler *profiler, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(add_line(
        writer,
        "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
        "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"kontext\"}}",
        err));
    for (size_t i = 0; i < profiler->num_events; i++) {
        const kx_profiler_event *event = &profiler->events[i];
        char line[LINE_BYTES];
        if (event->word == NULL)
            write_operation(profiler, event, line, sizeof line);
        else
            write_scope(event, line, sizeof line);
        KX_TRY(add_line(writer, line, err));
    }
    KX_TRY(add_line(writer, "\n]}\n", err));
    KX_TRY(flush(writer, err));
out:
    return status;
}

kx_status kx_profile_save(const kx_profile *profile, const char *path, kx_error *caller_err)
{
    kx_status status = KX_OK;
    kx_error own_err = {0}, *err = caller_err != NULL ? caller_err : &own_err;
    const kx_profiler *profiler = profile != NULL ? ((const owned_profile *)profile)->profiler : NULL;
    trace_writer *writer = NULL;
    KX_FAIL_IF(profiler == NULL || !profiler->keeps_events, err, KX_ERR_USAGE,
               "%s: the edit kept no events, KX_PROFILE_EVENTS is needed", path);
    writer = calloc(1, sizeof *writer);
    KX_FAIL_IF(writer == NULL, err, KX_ERR_MEMORY, "out of memory");
    writer->file.fd = -1;
    KX_TRY(kx_file_write_open(&writer->file, path, err));
    KX_TRY(write_trace(writer, profiler, err));
    KX_TRY(kx_file_write_commit(&writer->file, err));
out:
    if (writer != NULL) kx_file_write_discard(&writer->file);
    free(writer);
    return status;
}
