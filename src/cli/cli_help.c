#include "cli/cli_help.h"

#include "cli/cli_commands.h"
#include "cli/cli_report.h"
#include "cli/cli_settings.h"

#include <string.h>

enum { WIDTH = 80, HELP_COLUMN = 28 };

/* Prints `text` in lines of WIDTH from column `indent` on; `column` is where the cursor is. Newlines in the
 * text begin a new paragraph. */
static void print_wrapped(FILE *stream, const char *text, size_t indent, size_t column)
{
    for (const char *at = text; *at != '\0';) {
        size_t length = strcspn(at, " \n");
        if (column > indent && column + 1 + length > WIDTH) {
            fputc('\n', stream);
            column = 0;
        }
        if (column < indent) {
            fprintf(stream, "%*s", (int)(indent - column), "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', stream);
            column++;
        }
        fprintf(stream, "%.*s", (int)length, at);
        column += length;
        at += length;
        if (*at == '\n') {
            fputc('\n', stream);
            column = 0;
        }
        if (*at != '\0') at++;
    }
    fputc('\n', stream);
}

const char *kx_cli_before_argument(const kx_cli_option *option)
{
    if (option->argument == NULL) return "";
    return option->value_optional ? "[=" : " ";
}

void kx_cli_option_notes(const kx_cli_option *option, char *out, size_t room)
{
    size_t used = 0;
    char fallback[128], variable[KX_CLI_VARIABLE_BYTES];
    out[0] = '\0';
    kx_cli_default_text(option, fallback, sizeof fallback);
    kx_cli_variable_name(option, variable);
    if (option->choices != NULL && strchr(option->argument, '|') == NULL) {
        used += (size_t)snprintf(out + used, room - used, " One of ");
        for (const char *at = option->choices; *at != '\0' && used + 3 < room; at++)
            used += (size_t)snprintf(out + used, room - used, *at == '|' ? ", " : "%c", *at);
        used += (size_t)snprintf(out + used, room - used, ".");
    }
    if (fallback[0] != '\0') used += (size_t)snprintf(out + used, room - used, " Default: %s.", fallback);
    if ((option->sources & KX_CLI_IN_ENVIRONMENT) != 0)
        snprintf(out + used, room - used, " Also %s.", variable);
}

static void print_option(FILE *stream, const kx_cli_option *option)
{
    char left[80], text[1024], notes[512];
    char letter[8] = "    ";
    if (option->letter != 0) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    size_t column = (size_t)snprintf(
        left, sizeof left, "  %s--%s%s%s%s", letter, option->name, kx_cli_before_argument(option),
        option->argument != NULL ? option->argument : "", option->value_optional ? "]" : "");
    kx_cli_option_notes(option, notes, sizeof notes);
    snprintf(text, sizeof text, "%s%s", option->help, notes);
    fputs(left, stream);
    if (column + 1 >= HELP_COLUMN) {
        fputc('\n', stream);
        column = 0;
    }
    print_wrapped(stream, text, HELP_COLUMN, column);
}

static void print_options(FILE *stream, const kx_cli_command *command)
{
    const char *group = NULL;
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        if ((option->commands & (unsigned)command->id) == 0) continue;
        if (group != option->group) fprintf(stream, "\n%s:\n", option->group);
        group = option->group;
        print_option(stream, option);
    }
}

static void print_commands(FILE *stream, const char *prefix)
{
    fprintf(stream, "\nCommands:\n");
    for (size_t i = 0; i < kx_cli_num_commands; i++) {
        const kx_cli_command *command = &kx_cli_commands[i];
        bool shown = prefix[0] != '\0' ? strncmp(command->name, prefix, strlen(prefix)) == 0
                                       : command->id != KX_CLI_ROOT && !command->is_group;
        if (shown) fprintf(stream, "  %-14s %s\n", command->name, command->summary);
    }
}

static void print_statuses(FILE *stream)
{
    fprintf(stream, "\nExit status:\n");
#define STATUS_ROW(id, value, name, exit_status, http_status, retryable, sentence)                           \
    fprintf(stream, "  %-3d  %s\n", exit_status, sentence);
    KX_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
}

void kx_cli_print_help(FILE *stream, const kx_cli_command *command)
{
    bool root = command->id == KX_CLI_ROOT;
    fprintf(stream, "usage: kontext%s%s %s\n\n", root ? "" : " ", command->name, command->usage);
    print_wrapped(stream, root ? kx_cli_description : command->text, 0, 0);
    if (root) print_commands(stream, "");
    char prefix[32];
    snprintf(prefix, sizeof prefix, "%s ", command->name);
    if (command->is_group) print_commands(stream, prefix);
    print_options(stream, command);
    if (command->num_examples > 0) fprintf(stream, "\nExamples:\n");
    for (size_t i = 0; i < command->num_examples; i++)
        fprintf(stream, "  %s:\n    %s\n", command->examples[i].what, command->examples[i].line);
    if (!root) return;
    print_statuses(stream);
    fprintf(stream, "\nkontext COMMAND --help tells about one command.\n");
}

kx_status kx_cli_run_help(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    char name[64];
    const char *first = arguments->num_operands > 0 ? arguments->operands[0] : "";
    const char *second = arguments->num_operands > 1 ? arguments->operands[1] : "";
    snprintf(name, sizeof name, "%s%s%s", first, second[0] != '\0' ? " " : "", second);
    const kx_cli_command *command = kx_cli_find_command(name);
    KX_FAIL_IF(command == NULL, err, KX_ERR_USAGE, "unknown command '%s', kontext --help lists them", name);
    kx_cli_print_help(stdout, command);
    KX_TRY(kx_cli_flush_stdout(err));
out:
    return status;
}
