/* kontext serve: opens the service, tells the operator where it is, and waits for a signal. */
#include "cli/cli_commands.h"
#include "cli/cli_notify.h"
#include "cli/cli_report.h"
#include "cli/cli_settings.h"

#include "service/service.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* ---- Signals ---- */

static void ignore_signal(int number)
{
    (void)number;
}

/* Blocked before the service starts its threads, which inherit that: signals are taken by the main thread, in
 * wait_for_end, and nowhere else. SIGHUP has no meaning: there is no log file to open again. A file that
 * reaches its limit and a pipe that nobody reads are errors of the write, not ends of the program. */
static void hold_signals(sigset_t *ends)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    /* Without a handler, SIGTERM and SIGINT could be set to be ignored by who started the program. */
    struct sigaction action = {.sa_handler = ignore_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigemptyset(ends);
    sigaddset(ends, SIGINT);
    sigaddset(ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, ends, NULL);
}

static void wait_for_end(const sigset_t *ends)
{
    uint64_t watchdog_ms = kx_cli_watchdog_ms();
    struct timespec pause = {.tv_sec = (time_t)(watchdog_ms / 1000),
                             .tv_nsec = (long)(watchdog_ms % 1000) * 1000000};
    for (;;) {
        int number = watchdog_ms > 0 ? sigtimedwait(ends, NULL, &pause) : sigwaitinfo(ends, NULL);
        if (number > 0) return;
        if (errno == EAGAIN) kx_cli_notify("WATCHDOG=1");
    }
}

/* From here on the next signal ends the program, whatever it is about. */
static void let_signals_end(const sigset_t *ends)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
}

/* ---- Words ---- */

static void print_first_key(const kx_service_start *start)
{
    printf("\nThe first key, told this once:\n\n    %s\n\n", start->first_key);
    if (start->signin[0] != '\0')
        printf("The page, signed in with it; the link works once:\n\n    %s/#signin=%s\n\n", start->address,
               start->signin);
    printf("A first edit from the command line:\n\n"
           "    curl -s %s/api/v3/wavespeed-ai/flux-kontext-dev/multi \\\n"
           "        -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n"
           "        -d '{\"prompt\": \"A red boat on a lake\", \"num_inference_steps\": 4}'\n\n"
           "and its result, with the id of that answer:\n\n"
           "    curl -s '%s/api/v3/predictions/ID/result?wait=60' -H 'Authorization: Bearer %s'\n\n",
           start->address, start->first_key, start->address, start->first_key);
}

static kx_status tell_start(const kx_cli_arguments *arguments, const kx_service_start *start, kx_error *err)
{
    kx_status status = KX_OK;
    bool has_key = start->first_key[0] != '\0';
    if (arguments->json) {
        json_t *key = has_key ? json_string(start->first_key) : json_null();
        json_t *link = start->signin[0] == '\0'
                           ? json_null()
                           : json_sprintf("%s/#signin=%s", start->address, start->signin);
        KX_TRY(kx_cli_print_json(
            json_pack("{s:s, s:o, s:b, s:o, s:o, s:o}", "address", start->address, "model",
                      kx_cli_json_text(start->model), "synthetic", (int)start->model_is_synthetic, "data",
                      kx_cli_json_text(arguments->settings.data), "first_key", key, "signin", link),
            err));
        goto out;
    }
    if (!arguments->quiet) {
        printf("kontext %s\npage   %s/\nmodel  %s\ndata   %s\n", kx_version(), start->address, start->model,
               arguments->settings.data);
        if (start->model_is_synthetic)
            printf("The weights are synthetic (random numbers): pictures will be coloured noise.\n");
    }
    if (has_key) print_first_key(start);
    KX_TRY(kx_cli_flush_stdout(err));
out:
    return status;
}

/* ---- The command ---- */

kx_status kx_cli_run_serve(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    kx_service *service = NULL;
    kx_service_start start;
    sigset_t ends;
    if (arguments->print_config) {
        kx_cli_print_config(stdout, arguments);
        return kx_cli_flush_stdout(err);
    }
    hold_signals(&ends);
    KX_TRY(kx_service_open(&service, &arguments->settings, &start, err));
    KX_TRY(tell_start(arguments, &start, err));
    kx_cli_notify("READY=1");
    wait_for_end(&ends);
    let_signals_end(&ends);
    kx_cli_notify("STOPPING=1");
    if (!arguments->quiet && !arguments->json) fprintf(stderr, "ending; a second signal ends at once\n");
out:
    kx_service_close(service);
    return status;
}
