#include "cli/cli_profile.h"

#include <string.h>

static const double least_share = 1e-3; /* of a row that is shown by itself */

enum { STAGES = 6, NAME_COLUMN = 56 };

/* What a stage took, and how much of it is in no operation. */
typedef struct stage_time {
    const char *name;
    double seconds, rest;
} stage_time;

static double stage_times(const kx_result *result, double write_seconds, stage_time stages[STAGES])
{
    const kx_timings *t = &result->seconds;
    const stage_time all[STAGES] = {
        {"load", t->load, t->load},       {"text", t->text, t->text},
        {"encode", t->encode, t->encode}, {"denoise", t->denoise, t->denoise},
        {"decode", t->decode, t->decode}, {"write", write_seconds, write_seconds}};
    memcpy(stages, all, sizeof all);
    const kx_profile *profile = result->profile;
    for (size_t i = 0; i < profile->num_rows; i++)
        for (size_t k = 0; k < STAGES; k++)
            if (strcmp(profile->rows[i].stage, stages[k].name) == 0)
                stages[k].rest -= profile->rows[i].seconds;
    return t->total + write_seconds;
}

static double rate(uint64_t count, double seconds)
{
    return seconds > 0 ? 1e-9 * (double)count / seconds : 0;
}

static void print_rate(FILE *stream, double value)
{
    if (value > 0)
        fprintf(stream, " %9.1f", value);
    else
        fprintf(stream, " %9s", "-");
}

static void print_row(FILE *stream, const kx_profile_row *row, double total)
{
    fprintf(stream, "%-8s %-*s %7llu %9.3f %5.1f %%", row->stage, NAME_COLUMN, row->operation,
            (unsigned long long)row->calls, row->seconds, 100 * row->seconds / total);
    print_rate(stream, rate(row->flops, row->seconds));
    print_rate(stream, rate(row->bytes, row->seconds));
    fputc('\n', stream);
}

static void print_sum(FILE *stream, const char *stage, const char *what, uint64_t calls, double seconds,
                      double total)
{
    fprintf(stream, "%-8s %-*s ", stage, NAME_COLUMN, what);
    if (calls > 0)
        fprintf(stream, "%7llu", (unsigned long long)calls);
    else
        fprintf(stream, "%7s", "");
    fprintf(stream, " %9.3f %5.1f %%\n", seconds, 100 * seconds / total);
}

void kx_cli_print_profile(FILE *stream, const kx_result *result, double write_seconds)
{
    const kx_profile *profile = result->profile;
    stage_time stages[STAGES];
    double total = stage_times(result, write_seconds, stages), small_seconds = 0;
    uint64_t calls = 0, small_calls = 0, small_rows = 0;
    fprintf(stream, "%-8s %-*s %7s %9s %7s %9s %9s\n", "stage", NAME_COLUMN, "operation", "calls", "seconds",
            "share", "GFLOP/s", "GB/s");
    for (size_t i = 0; i < profile->num_rows; i++) {
        const kx_profile_row *row = &profile->rows[i];
        calls += row->calls;
        if (row->seconds >= least_share * total) {
            print_row(stream, row, total);
            continue;
        }
        small_rows++;
        small_calls += row->calls;
        small_seconds += row->seconds;
    }
    char small[64];
    snprintf(small, sizeof small, "%llu smaller rows", (unsigned long long)small_rows);
    if (small_rows > 0) print_sum(stream, "", small, small_calls, small_seconds, total);
    print_sum(stream, "", "all operations", calls, profile->seconds, total);
    for (size_t k = 0; k < STAGES; k++)
        if (stages[k].rest >= least_share * total)
            print_sum(stream, stages[k].name, "not in an operation", 0, stages[k].rest, total);
    print_sum(stream, "", "total", 0, total, total);
    if (profile->lost > 0)
        fprintf(stream, "%llu calls had no room in the profile\n", (unsigned long long)profile->lost);
}

json_t *kx_cli_json_profile(const kx_result *result, double write_seconds)
{
    const kx_profile *profile = result->profile;
    stage_time stages[STAGES];
    double total = stage_times(result, write_seconds, stages);
    json_t *rows = json_array();
    for (size_t i = 0; i < profile->num_rows; i++) {
        const kx_profile_row *row = &profile->rows[i];
        json_array_append_new(rows, json_pack("{s:s,s:s,s:I,s:f,s:f,s:f,s:f}", "stage", row->stage,
                                              "operation", row->operation, "calls", (json_int_t)row->calls,
                                              "seconds", row->seconds, "share", row->seconds / total,
                                              "gflops", rate(row->flops, row->seconds), "gb_per_s",
                                              rate(row->bytes, row->seconds)));
    }
    for (size_t k = 0; k < STAGES; k++)
        json_array_append_new(rows, json_pack("{s:s,s:n,s:i,s:f,s:f,s:f,s:f}", "stage", stages[k].name,
                                              "operation", "calls", 0, "seconds", stages[k].rest, "share",
                                              stages[k].rest / total, "gflops", 0.0, "gb_per_s", 0.0));
    return rows;
}
