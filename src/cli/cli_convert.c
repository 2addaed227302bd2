/* kontext model convert and synth: what writes model folders. */
#include "cli/cli_commands.h"
#include "cli/cli_progress.h"
#include "cli/cli_report.h"
#include "cli/cli_request.h"
#include "cli/cli_values.h"

#include <inttypes.h>

/* ---- convert ---- */

kx_status kx_cli_run_model_convert(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    const char *folder = arguments->operands[0];
    const char *precision = kx_precision_name(
        arguments->precision == KX_PRECISION_AUTO ? KX_PRECISION_INT8 : (kx_precision)arguments->precision);
    kx_cli_progress progress;
    char clean[1024];
    kx_cli_catch_interrupts();
    kx_callbacks callbacks = kx_cli_progress_begin(&progress, arguments);
    KX_TRY(kx_cli_convert_model(arguments, &callbacks, err));
    kx_cli_progress_end(&progress);
    if (arguments->json) {
        KX_TRY(kx_cli_print_json(
            json_pack("{s:o,s:s}", "folder", kx_cli_json_text(folder), "precision", precision), err));
    } else if (!arguments->quiet) {
        kx_cli_clean_text(folder, clean, sizeof clean);
        printf("%s: the model, packed for %s\n", clean, precision);
        KX_TRY(kx_cli_flush_stdout(err));
    }
out:
    kx_cli_progress_end(&progress);
    return status;
}

/* ---- synth ---- */

kx_status kx_cli_run_model_synth(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    const char *folder = arguments->operands[0];
    kx_cli_progress progress;
    char clean[1024];
    kx_cli_catch_interrupts();
    kx_callbacks callbacks = kx_cli_progress_begin(&progress, arguments);
    if (arguments->precision == KX_PRECISION_AUTO || arguments->precision == KX_PRECISION_F32)
        KX_TRY(kx_model_synth(folder, (kx_synth_preset)arguments->preset, arguments->seed, &callbacks, err));
    else
        KX_TRY(kx_model_synth_packed(folder, (kx_synth_preset)arguments->preset, arguments->seed,
                                     (kx_precision)arguments->precision, &callbacks, err));
    kx_cli_progress_end(&progress);
    if (arguments->json) {
        KX_TRY(kx_cli_print_json(json_pack("{s:o,s:o}", "folder", kx_cli_json_text(folder), "seed",
                                           kx_cli_json_seed(arguments->seed)),
                                 err));
    } else if (!arguments->quiet) {
        kx_cli_clean_text(folder, clean, sizeof clean);
        printf("%s: a model with random weights, seed %" PRIu64 "\n", clean, arguments->seed);
        KX_TRY(kx_cli_flush_stdout(err));
    }
out:
    kx_cli_progress_end(&progress);
    return status;
}
