/* A tool of the build: `kontext-manual man` prints the manual page, `kontext-manual bash` the shell
 * completion. */
#include "cli/cli_help.h"

#include <string.h>

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "man") == 0) {
        kx_cli_print_manual(stdout);
    } else if (strcmp(what, "bash") == 0) {
        kx_cli_print_completion(stdout);
    } else {
        fprintf(stderr, "usage: kontext-manual man|bash\n");
        return 2;
    }
    return fflush(stdout) != 0 || ferror(stdout);
}
