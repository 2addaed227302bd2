/* The program `kontext`: reads the command line, calls the command, tells an error and ends with its status.
 */
#include "cli/cli_commands.h"
#include "cli/cli_help.h"
#include "cli/cli_report.h"

#include <signal.h>

static kx_status run_root(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(!arguments->version, err, KX_ERR_USAGE,
               "a command is missing: edit, serve, key, model, bench or help; kontext --help tells more");
    printf("kontext %s\n", kx_version());
    KX_TRY(kx_cli_flush_stdout(err));
out:
    return status;
}

/* The usage of a group begins with its commands: "info|verify|plan [OPTIONS]". */
static kx_status run_group_word(const kx_cli_arguments *arguments, kx_error *err)
{
    char commands[128];
    size_t used = 0;
    for (const char *at = arguments->command->usage; *at != ' ' && used + 3 < sizeof commands; at++) {
        commands[used++] = *at == '|' ? ',' : *at;
        if (*at == '|') commands[used++] = ' ';
    }
    commands[used] = '\0';
    return kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "a command is missing behind '%s': one of %s",
                        arguments->command->name, commands);
}

typedef struct command_row {
    kx_cli_command_id id;
    kx_status (*run)(const kx_cli_arguments *arguments, kx_error *err);
} command_row;

static const command_row command_rows[] = {
    {KX_CLI_ROOT, run_root},
    {KX_CLI_EDIT, kx_cli_run_edit},
    {KX_CLI_MODEL, run_group_word},
    {KX_CLI_INFO, kx_cli_run_model_info},
    {KX_CLI_VERIFY, kx_cli_run_model_verify},
    {KX_CLI_PLAN, kx_cli_run_model_plan},
    {KX_CLI_CONVERT, kx_cli_run_model_convert},
    {KX_CLI_SYNTH, kx_cli_run_model_synth},
    {KX_CLI_BENCH, kx_cli_run_bench},
    {KX_CLI_SERVE, kx_cli_run_serve},
    {KX_CLI_KEY, run_group_word},
    {KX_CLI_KEY_CREATE, kx_cli_run_key_create},
    {KX_CLI_KEY_LIST, kx_cli_run_key_list},
    {KX_CLI_KEY_REVOKE, kx_cli_run_key_revoke},
    {KX_CLI_KEY_ROTATE, kx_cli_run_key_rotate},
    {KX_CLI_KEY_CREDIT, kx_cli_run_key_credit},
    {KX_CLI_KEY_LIMITS, kx_cli_run_key_limits},
    {KX_CLI_HELP, kx_cli_run_help},
};

static kx_status run(const kx_cli_arguments *arguments, kx_error *err)
{
    if (arguments->help) {
        kx_cli_print_help(stdout, arguments->command);
        return kx_cli_flush_stdout(err);
    }
    for (size_t i = 0; i < sizeof command_rows / sizeof command_rows[0]; i++)
        if (command_rows[i].id == arguments->command->id) return command_rows[i].run(arguments, err);
    return kx_error_set(err, KX_ERR_INTERNAL, __FILE__, __LINE__, "the command '%s' has no function",
                        arguments->command->name);
}

int main(int argc, char **argv)
{
    kx_error err = {0};
    kx_cli_arguments arguments;
    /* A reader that goes away is an error of the output, told with a sentence, not a silent death. */
    signal(SIGPIPE, SIG_IGN);
    kx_status status = kx_cli_parse(&arguments, argc, argv, &err);
    if (status == KX_OK) status = run(&arguments, &err);
    if (status != KX_OK && err.message[0] != '\0') kx_cli_tell_error(&arguments, &err);
    kx_cli_arguments_free(&arguments);
    return kx_status_exit(status);
}
