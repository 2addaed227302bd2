/* A completion for bash. It knows the commands, the options of each, the words that an option takes and where
 * a file or folder belongs. Everything that depends on the tables is written as data into three case
 * statements. */
#include "cli/cli_help.h"

#include <string.h>

static void print_words(FILE *stream, const char *choices)
{
    for (const char *at = choices; *at != '\0'; at++) fputc(*at == '|' ? ' ' : *at, stream);
}

static void print_value_case(FILE *stream, const kx_cli_command *command, const kx_cli_option *option)
{
    if (option->argument == NULL || option->value_optional) return;
    fprintf(stream, "    '%s:--%s'", command->name, option->name);
    if (option->letter != 0) fprintf(stream, " | '%s:-%c'", command->name, option->letter);
    fprintf(stream, ") ");
    if (option->choices != NULL) {
        fprintf(stream, "COMPREPLY=($(compgen -W '");
        print_words(stream, option->choices);
        fprintf(stream, "' -- \"$word\"))");
    } else if (option->completion == KX_CLI_COMPLETE_FILE) {
        fprintf(stream, "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\"))");
    } else if (option->completion == KX_CLI_COMPLETE_FOLDER) {
        fprintf(stream, "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$word\"))");
    } else {
        fprintf(stream, "COMPREPLY=()");
    }
    fprintf(stream, "; return ;;\n");
}

static void print_command_case(FILE *stream, const kx_cli_command *command)
{
    char prefix[32];
    size_t prefix_length = (size_t)snprintf(prefix, sizeof prefix, "%s ", command->name);
    fprintf(stream, "    '%s') words='", command->name);
    for (size_t i = 0; i < kx_cli_num_commands; i++) {
        const char *name = kx_cli_commands[i].name;
        bool top = command->id == KX_CLI_ROOT && strchr(name, ' ') == NULL;
        bool below = command->is_group && strncmp(name, prefix, prefix_length) == 0;
        if (top || below) fprintf(stream, "%s ", below ? name + prefix_length : name);
    }
    for (size_t i = 0; i < kx_cli_num_options; i++)
        if ((kx_cli_options[i].commands & (unsigned)command->id) != 0)
            fprintf(stream, "--%s ", kx_cli_options[i].name);
    fprintf(stream, "'");
    if (command->completion == KX_CLI_COMPLETE_FOLDER) fprintf(stream, "; folders=yes");
    fprintf(stream, " ;;\n");
}

void kx_cli_print_completion(FILE *stream)
{
    fprintf(stream, "# bash completion for kontext; made from the program's option table\n"
                    "_kontext()\n{\n"
                    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= "
                    "words= folders=\n"
                    "    if [ \"$COMP_CWORD\" -gt 1 ]; then command=${COMP_WORDS[1]}; fi\n"
                    "    if [ \"$COMP_CWORD\" -gt 2 ]; then\n"
                    "        case \"$command\" in");
    for (size_t i = 0; i < kx_cli_num_commands; i++)
        if (kx_cli_commands[i].is_group)
            fprintf(stream, " %s) command=\"%s ${COMP_WORDS[2]}\" ;;", kx_cli_commands[i].name,
                    kx_cli_commands[i].name);
    fprintf(stream, " esac\n"
                    "    fi\n"
                    "    case \"$command:$before\" in\n");
    for (size_t i = 0; i < kx_cli_num_commands; i++)
        for (size_t k = 0; k < kx_cli_num_options; k++)
            if ((kx_cli_options[k].commands & (unsigned)kx_cli_commands[i].id) != 0)
                print_value_case(stream, &kx_cli_commands[i], &kx_cli_options[k]);
    fprintf(stream, "    esac\n    case \"$command\" in\n");
    for (size_t i = 0; i < kx_cli_num_commands; i++) print_command_case(stream, &kx_cli_commands[i]);
    fprintf(stream, "    esac\n"
                    "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
                    "    if [ -n \"$folders\" ] && [ \"${word#-}\" = \"$word\" ]; then\n"
                    "        compopt -o filenames\n"
                    "        COMPREPLY=($(compgen -d -- \"$word\"))\n"
                    "    fi\n"
                    "}\ncomplete -F _kontext kontext\n");
}
