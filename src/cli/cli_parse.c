#include "cli/cli_config.h"
#include "cli/cli_hints.h"
#include "cli/cli_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_ROOM = 41 };

typedef struct reader_state {
    kx_cli_arguments *arguments;
    int argc;
    char **argv;
    int next;
} reader_state;

/* ---- Unknown names ---- */

static void set_unknown_option(const kx_cli_command *command, const char *dashes, const char *name,
                               size_t length, kx_error *err)
{
    char word[WORD_ROOM];
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    const char *nearest = length > 1 ? kx_cli_nearest_option(command->id, 0, word) : NULL;
    const char *space = command->name[0] != '\0' ? " " : "";
    if (nearest != NULL)
        kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "unknown option %s%.*s, did you mean --%s?",
                     dashes, (int)length, name, nearest);
    else
        kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__,
                     "unknown option %s%.*s, kontext%s%s --help lists them", dashes, (int)length, name, space,
                     command->name);
}

/* ---- Commands ---- */

static kx_status set_unknown_command(const char *what, const char *word, kx_error *err)
{
    const char *nearest = kx_cli_nearest_command(word);
    if (nearest != NULL)
        return kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "unknown %s '%s', did you mean '%s'?",
                            what, word, nearest);
    return kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "unknown %s '%s', kontext --help lists them",
                        what, word);
}

/* "edit", or a group's word and the one behind it. */
static void read_command(reader_state *state, kx_error *err)
{
    kx_cli_arguments *arguments = state->arguments;
    arguments->command = kx_cli_find_command("");
    if (state->next >= state->argc || state->argv[state->next][0] == '-') return;
    const char *word = state->argv[state->next++];
    const kx_cli_command *command = kx_cli_find_command(word);
    if (command == NULL || command->id == KX_CLI_ROOT) {
        set_unknown_command("command", word, err);
        return;
    }
    arguments->command = command;
    if (!command->is_group || state->next >= state->argc || state->argv[state->next][0] == '-') return;
    const char *second = state->argv[state->next++];
    char both[64];
    snprintf(both, sizeof both, "%s %s", word, second);
    command = kx_cli_find_command(both);
    char what[32];
    snprintf(what, sizeof what, "%s command", word);
    if (command == NULL)
        set_unknown_command(what, second, err);
    else
        arguments->command = command;
}

/* ---- Options ---- */

static bool belongs(const kx_cli_option *option, const kx_cli_command *command)
{
    return (option->commands & (unsigned)command->id) != 0;
}

static const kx_cli_option *find_long(const kx_cli_command *command, const char *name, size_t length)
{
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        if (belongs(option, command) && strlen(option->name) == length &&
            memcmp(option->name, name, length) == 0)
            return option;
    }
    return NULL;
}

static const kx_cli_option *find_short(const kx_cli_command *command, char letter)
{
    for (size_t i = 0; i < kx_cli_num_options; i++)
        if (belongs(&kx_cli_options[i], command) && kx_cli_options[i].letter == letter)
            return &kx_cli_options[i];
    return NULL;
}

kx_status kx_cli_apply(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                       const char *source, kx_error *err)
{
    kx_error own = {0};
    if (option->read(arguments, option, text, &own) != KX_OK) {
        kx_error_prefix(&own, "%s", source);
        if (err->status == KX_OK) *err = own;
        return own.status;
    }
    arguments->given[option - kx_cli_options] = true;
    return KX_OK;
}

/* The option's value: `attached` where there is one, else the next word. */
static void apply_option(reader_state *state, const kx_cli_option *option, const char *attached,
                         kx_error *err)
{
    char source[48];
    snprintf(source, sizeof source, "--%s", option->name);
    bool takes_next = option->argument != NULL && !option->value_optional && attached == NULL;
    if (takes_next && state->next >= state->argc) {
        kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "%s: the value is missing, expected is %s",
                     source, option->argument);
        return;
    }
    const char *text = takes_next ? state->argv[state->next++] : attached;
    kx_cli_apply(state->arguments, option, text, source, err);
}

static void read_long(reader_state *state, const char *word, kx_error *err)
{
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    const char *attached = name[length] == '=' ? name + length + 1 : NULL;
    const kx_cli_option *option = find_long(state->arguments->command, name, length);
    if (option == NULL)
        set_unknown_option(state->arguments->command, "--", name, length, err);
    else if (option->argument == NULL && attached != NULL && option->kind != KX_CLI_KIND_SWITCH)
        kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "--%s: takes no value, '%s' is found",
                     option->name, attached);
    else
        apply_option(state, option, attached, err);
}

/* "-v", "-vv", "-t4", "-vt4": flags up to the first option with a value, which takes the rest of the word. */
static void read_short(reader_state *state, const char *word, kx_error *err)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        const kx_cli_option *option = find_short(state->arguments->command, *at);
        if (option == NULL) {
            set_unknown_option(state->arguments->command, "-", at, 1, err);
            return;
        }
        bool takes_rest = option->argument != NULL;
        apply_option(state, option, takes_rest && at[1] != '\0' ? at + 1 : NULL, err);
        if (takes_rest) return;
    }
}

/* No option is a digit: -5 is a number. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void read_operand(reader_state *state, const char *word, kx_error *err)
{
    kx_cli_arguments *arguments = state->arguments;
    const kx_cli_command *command = arguments->command;
    if (arguments->num_operands < command->most_operands) {
        arguments->operands[arguments->num_operands++] = word;
        return;
    }
    const char *space = command->name[0] != '\0' ? " " : "";
    kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__,
                 "unexpected argument '%s', the use is: kontext%s%s %s", word, space, command->name,
                 command->usage);
}

void kx_cli_variable_name(const kx_cli_option *option, char out[KX_CLI_VARIABLE_BYTES])
{
    snprintf(out, KX_CLI_VARIABLE_BYTES, "KONTEXT_%s", option->name);
    for (char *at = out; *at != '\0'; at++) {
        if (*at == '-') *at = '_';
        if (*at >= 'a' && *at <= 'z') *at = (char)(*at - 'a' + 'A');
    }
}

static void read_environment(kx_cli_arguments *arguments, kx_error *err)
{
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        char name[KX_CLI_VARIABLE_BYTES];
        if ((option->sources & KX_CLI_IN_ENVIRONMENT) == 0 || !belongs(option, arguments->command) ||
            arguments->given[i])
            continue;
        kx_cli_variable_name(option, name);
        const char *text = getenv(name);
        if (text != NULL && text[0] != '\0') kx_cli_apply(arguments, option, text, name, err);
    }
}

/* What the line does not give. */
static void read_elsewhere(kx_cli_arguments *arguments, kx_error *err)
{
    read_environment(arguments, err);
    bool has_config = find_long(arguments->command, "config", strlen("config")) != NULL;
    if (has_config && err->status == KX_OK) kx_cli_config_load(arguments, err);
}

kx_status kx_cli_parse(kx_cli_arguments *arguments, int argc, char **argv, kx_error *err)
{
    *arguments =
        (kx_cli_arguments){.guidance = -1.0, .copies = 1, .role = 1, .settings = kx_settings_default()};
    reader_state state = {.arguments = arguments, .argc = argc, .argv = argv, .next = 1};
    bool options_ended = false;
    read_command(&state, err);
    while (state.next < argc) {
        const char *word = argv[state.next++];
        if (options_ended || word[0] != '-' || word[1] == '\0' || is_digit(word[1]))
            read_operand(&state, word, err);
        else if (strcmp(word, "--") == 0)
            options_ended = true;
        else if (word[1] == '-')
            read_long(&state, word, err);
        else
            read_short(&state, word, err);
    }
    if (!arguments->help) read_elsewhere(arguments, err);
    if (!arguments->help && err->status == KX_OK &&
        arguments->num_operands < arguments->command->least_operands)
        kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__,
                     "an argument is missing, the use is: kontext %s %s", arguments->command->name,
                     arguments->command->usage);
    /* The seed of an edit is drawn where none is given; that of a synthetic model is 0. */
    if (arguments->command->id == KX_CLI_EDIT && !kx_cli_given(arguments, "seed"))
        arguments->seed_is_random = true;
    return err->status;
}

bool kx_cli_given(const kx_cli_arguments *arguments, const char *name)
{
    for (size_t i = 0; i < kx_cli_num_options; i++)
        if (arguments->given[i] && strcmp(kx_cli_options[i].name, name) == 0) return true;
    return false;
}

void kx_cli_arguments_free(kx_cli_arguments *arguments)
{
    kx_arena_free(&arguments->texts);
}
