/* Progress on standard error, and the end by Ctrl-C.
 *
 *     kx_cli_progress progress;
 *     kx_callbacks callbacks = kx_cli_progress_begin(&progress, arguments);
 *     ... the long call ...
 *     kx_cli_progress_end(&progress);       // takes the bar away
 */
#pragma once

#include "cli/cli_options.h"

typedef struct kx_cli_progress {
    kx_cli_progress_mode mode; /* never AUTO */
    bool bar_is_drawn;
    double drawn_at;   /* monotonic seconds */
    const char *stage; /* of the last call; borrowed from the library */
} kx_cli_progress;

kx_callbacks kx_cli_progress_begin(kx_cli_progress *progress, const kx_cli_arguments *arguments);
void kx_cli_progress_end(kx_cli_progress *progress);

/* From here on SIGINT and SIGTERM set a flag that kx_cli_interrupted reads; the second one ends the program.
 */
void kx_cli_catch_interrupts(void);
int kx_cli_interrupted(void *unused);
