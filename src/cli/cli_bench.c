/* kontext bench. Rows are printed as they are measured; with --json all together at the end. --compare takes
 * such a JSON file of an earlier run and sets its times beside the new ones. */
#include "base/json_file.h"
#include "base/limits.h"
#include "cli/cli_commands.h"
#include "cli/cli_progress.h"
#include "cli/cli_report.h"

#include <string.h>

typedef struct bench_report {
    const kx_cli_arguments *arguments;
    json_t *rows;
    json_t *earlier; /* rows of the file to compare with; NULL: none */
    size_t count, compared;
} bench_report;

/* ---- The earlier run ---- */

static kx_status check_earlier(const json_t *rows, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *name = json_object_get(row, "name"), *seconds = json_object_get(row, "seconds");
        KX_FAIL_IF(!json_is_string(name) || !json_is_number(seconds) || !(json_number_value(seconds) > 0),
                   err, KX_ERR_INPUT, "--compare: %s: row %zu has no name with a time above 0", path, i + 1);
    }
out:
    return status;
}

static kx_status load_earlier(const char *path, json_t **rows, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *root = NULL;
    KX_TRY(kx_json_file_load(&root, path, KX_LIMIT_CONFIG_BYTES, KX_ERR_INPUT, err));
    json_t *found = json_object_get(root, "rows");
    KX_FAIL_IF(!json_is_array(found) || json_array_size(found) == 0, err, KX_ERR_INPUT,
               "--compare: %s: \"rows\" is %s, the rows of `kontext bench --json` are expected", path,
               json_is_array(found) ? "empty" : kx_json_kind(found));
    KX_TRY(check_earlier(found, path, err));
    *rows = json_incref(found);
out:
    json_decref(root);
    return status;
}

/* Seconds of the row of that name; 0 when there is none. */
static double earlier_seconds(const bench_report *report, const char *name)
{
    size_t i;
    const json_t *row;
    json_array_foreach(report->earlier, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
            return json_number_value(json_object_get(row, "seconds"));
    }
    return 0;
}

/* ---- Rows ---- */

static void keep_row(bench_report *report, const kx_bench_row *row, double earlier)
{
    json_t *kept = json_pack("{s:s,s:s,s:f,s:f}", "name", row->name, "precision", row->precision, "seconds",
                             row->seconds, "gflops", row->gflops);
    if (row->peak_share > 0) json_object_set_new(kept, "peak_share", json_real(row->peak_share));
    if (row->scratch_bytes > 0)
        json_object_set_new(kept, "scratch_bytes", json_integer((json_int_t)row->scratch_bytes));
    if (earlier > 0) {
        json_object_set_new(kept, "earlier_seconds", json_real(earlier));
        json_object_set_new(kept, "ratio", json_real(earlier / row->seconds));
    }
    json_array_append_new(report->rows, kept);
}

static void print_row(const bench_report *report, const kx_bench_row *row, double earlier)
{
    if (report->count == 1 && !report->arguments->quiet)
        printf("%-48s %12s %10s %7s %9s%s\n", "operation", "ms", "GFLOP/s", "of peak", "MiB",
               report->earlier != NULL ? "   earlier   ratio" : "");
    printf("%-48s %12.3f", row->name, 1e3 * row->seconds);
    if (row->gflops > 0)
        printf(" %10.1f", row->gflops);
    else
        printf(" %10s", "-");
    if (row->peak_share > 0)
        printf(" %5.0f %%", 100 * row->peak_share);
    else
        printf(" %7s", "-");
    if (row->scratch_bytes > 0)
        printf(" %9.1f", (double)row->scratch_bytes / (1 << 20));
    else
        printf(" %9s", "-");
    if (earlier > 0) printf(" %9.3f %7.2f", 1e3 * earlier, earlier / row->seconds);
    printf("\n");
    fflush(stdout);
}

static void take_row(void *user, const kx_bench_row *row)
{
    bench_report *report = user;
    double earlier = earlier_seconds(report, row->name);
    report->count++;
    if (earlier > 0) report->compared++;
    if (report->arguments->json)
        keep_row(report, row, earlier);
    else
        print_row(report, row, earlier);
}

kx_status kx_cli_run_bench(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    bench_report report = {.arguments = arguments, .rows = json_array()};
    kx_callbacks callbacks = {.cancelled = kx_cli_interrupted};
    kx_bench_options options = kx_bench_options_default();
    options.suite = arguments->suite;
    options.cpu = arguments->cpu;
    options.threads = arguments->threads;
    options.model = arguments->model;
    options.precision = (kx_precision)arguments->precision;
    options.tiny = arguments->tiny;
    if (arguments->compare != NULL) KX_TRY(load_earlier(arguments->compare, &report.earlier, err));
    kx_cli_catch_interrupts();
    KX_TRY(kx_bench_run(&options, take_row, &report, &callbacks, err));
    KX_FAIL_IF(report.count == 0, err, KX_ERR_INPUT, "--suite: no measurement has '%s' in its name",
               arguments->suite != NULL ? arguments->suite : "");
    KX_FAIL_IF(report.earlier != NULL && report.compared == 0, err, KX_ERR_INPUT,
               "--compare: no measurement of %s has the name of one of these", arguments->compare);
    if (arguments->json)
        KX_TRY(kx_cli_print_json(json_pack("{s:s,s:O}", "version", kx_version(), "rows", report.rows), err));
    else
        KX_TRY(kx_cli_flush_stdout(err));
out:
    json_decref(report.earlier);
    json_decref(report.rows);
    return status;
}
