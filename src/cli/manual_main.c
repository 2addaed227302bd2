/* A tool of the build: `kontext-manual man` prints the manual page, `kontext-manual bash` the shell
 * completion, `kontext-manual settings` the table of the service's options for the documents. */
#include "cli/cli_help.h"
#include "cli/cli_settings.h"

#include <string.h>

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "man") == 0) {
        kx_cli_print_manual(stdout);
    } else if (strcmp(what, "bash") == 0) {
        kx_cli_print_completion(stdout);
    } else if (strcmp(what, "settings") == 0) {
        kx_cli_print_options_table(stdout);
    } else {
        fprintf(stderr, "usage: kontext-manual man|bash|settings\n");
        return 2;
    }
    return fflush(stdout) != 0 || ferror(stdout);
}
