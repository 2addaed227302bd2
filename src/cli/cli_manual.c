/* The manual page in roff (man macros). */
#include "cli/cli_help.h"

#include <string.h>

/* Dashes are printed as dashes, not hyphens; a line must not begin with a control character. */
static void print_roff(FILE *stream, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\\')
            fputs("\\e", stream);
        else if (*at == '-')
            fputs("\\-", stream);
        else if ((*at == '.' || *at == '\'') && (at == text || at[-1] == '\n'))
            fprintf(stream, "\\&%c", *at);
        else if (*at == '\n')
            fputs("\n.PP\n", stream);
        else
            fputc(*at, stream);
    }
}

static void print_option(FILE *stream, const kx_cli_option *option)
{
    char notes[512];
    fprintf(stream, ".TP\n");
    if (option->letter != 0) fprintf(stream, "\\fB\\-%c\\fR, ", option->letter);
    fprintf(stream, "\\fB\\-\\-");
    print_roff(stream, option->name);
    fprintf(stream, "\\fR");
    if (option->argument != NULL) {
        fprintf(stream, "%s\\fI", kx_cli_before_argument(option));
        print_roff(stream, option->argument);
        fprintf(stream, "\\fR%s", option->value_optional ? "]" : "");
    }
    fputc('\n', stream);
    kx_cli_option_notes(option, notes, sizeof notes);
    print_roff(stream, option->help);
    print_roff(stream, notes);
    fputc('\n', stream);
}

static void print_command(FILE *stream, const kx_cli_command *command)
{
    fprintf(stream, ".SH \"");
    for (const char *at = command->name; *at != '\0'; at++)
        fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, stream);
    fprintf(stream, "\"\n.PP\n\\fBkontext %s\\fR ", command->name);
    print_roff(stream, command->usage);
    fprintf(stream, "\n.PP\n");
    print_roff(stream, command->text);
    fputc('\n', stream);
    const char *group = NULL;
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        if ((option->commands & (unsigned)command->id) == 0 || strcmp(option->name, "help") == 0) continue;
        if (group != option->group) fprintf(stream, ".SS %s\n", option->group);
        group = option->group;
        print_option(stream, option);
    }
    if (command->num_examples > 0) fprintf(stream, ".SS Examples\n");
    for (size_t i = 0; i < command->num_examples; i++) {
        fprintf(stream, ".TP\n%s:\n", command->examples[i].what);
        print_roff(stream, command->examples[i].line);
        fputc('\n', stream);
    }
}

/* Whether a row above has the same name: another command's option, with the same variable. */
static bool stands_before(size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (strcmp(kx_cli_options[i].name, kx_cli_options[row].name) == 0 &&
            (kx_cli_options[i].sources & KX_CLI_IN_ENVIRONMENT) != 0)
            return true;
    return false;
}

static void print_environment(FILE *stream)
{
    fprintf(stream, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        char variable[KX_CLI_VARIABLE_BYTES];
        kx_cli_variable_name(option, variable);
        if ((option->sources & KX_CLI_IN_ENVIRONMENT) == 0 || stands_before(i)) continue;
        fprintf(stream, ".TP\n\\fB%s\\fR\nStands in for \\fB\\-\\-", variable);
        print_roff(stream, option->name);
        fprintf(stream, "\\fR where that is not given.\n");
    }
}

void kx_cli_print_manual(FILE *stream)
{
    fprintf(stream, ".TH KONTEXT 1 \"\" \"kontext %s\" \"User commands\"\n", KX_VERSION);
    fprintf(stream, ".SH NAME\nkontext \\- edit pictures by instruction\n");
    fprintf(stream, ".SH SYNOPSIS\n.B kontext\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n");
    fprintf(stream, ".SH DESCRIPTION\n");
    print_roff(stream, kx_cli_description);
    fputc('\n', stream);
    for (size_t i = 0; i < kx_cli_num_commands; i++)
        if (kx_cli_commands[i].id != KX_CLI_ROOT && !kx_cli_commands[i].is_group)
            print_command(stream, &kx_cli_commands[i]);
    print_environment(stream);
    fprintf(stream, ".SH \"EXIT STATUS\"\n");
#define STATUS_ROW(id, value, name, exit_status, http_status, retryable, sentence)                           \
    fprintf(stream, ".TP\n.B %d\n%s\n", exit_status, sentence);
    KX_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
    fprintf(
        stream,
        ".PP\nAn error is told on standard error as one line \\(lqerror: ...\\(rq; with \\-\\-json also as "
        "{\\(dqerror\\(dq:{\\(dqcode\\(dq,\\(dqmessage\\(dq}} on standard output.\n");
}
