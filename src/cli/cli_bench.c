/* kontext bench. Rows are printed as they are measured; with --json all together at the end. */
#include "cli/cli_commands.h"
#include "cli/cli_progress.h"
#include "cli/cli_report.h"

typedef struct bench_report {
    const kx_cli_arguments *arguments;
    json_t *rows;
    size_t count;
} bench_report;

static void take_row(void *user, const kx_bench_row *row)
{
    bench_report *report = user;
    report->count++;
    if (report->arguments->json) {
        json_array_append_new(report->rows, json_pack("{s:s,s:f,s:f}", "name", row->name, "seconds",
                                                      row->seconds, "gflops", row->gflops));
        return;
    }
    if (report->count == 1 && !report->arguments->quiet)
        printf("%-44s %12s %10s\n", "operation", "ms", "GFLOP/s");
    if (row->gflops > 0)
        printf("%-44s %12.3f %10.1f\n", row->name, 1e3 * row->seconds, row->gflops);
    else
        printf("%-44s %12.3f %10s\n", row->name, 1e3 * row->seconds, "-");
    fflush(stdout);
}

kx_status kx_cli_run_bench(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    bench_report report = {.arguments = arguments, .rows = json_array()};
    kx_callbacks callbacks = {.cancelled = kx_cli_interrupted};
    kx_cli_catch_interrupts();
    KX_TRY(kx_bench_run(arguments->suite, arguments->cpu, arguments->threads, take_row, &report, &callbacks,
                        err));
    KX_FAIL_IF(report.count == 0, err, KX_ERR_INPUT, "--suite: no measurement has '%s' in its name",
               arguments->suite != NULL ? arguments->suite : "");
    if (arguments->json)
        KX_TRY(kx_cli_print_json(json_pack("{s:O}", "rows", report.rows), err));
    else
        KX_TRY(kx_cli_flush_stdout(err));
out:
    json_decref(report.rows);
    return status;
}
