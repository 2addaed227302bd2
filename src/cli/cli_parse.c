#include "cli/cli_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISTANCE_ROOM = 40, HINT_DISTANCE = 2 };

typedef struct reader_state {
    kx_cli_arguments *arguments;
    int argc;
    char **argv;
    int next;
} reader_state;

/* ---- Hints ---- */

static size_t least_of(size_t a, size_t b, size_t c)
{
    size_t d = a < b ? a : b;
    return d < c ? d : c;
}

/* Number of insertions, removals and exchanges between two short words (Levenshtein); long ones are far
 * apart. */
static size_t word_distance(const char *a, const char *b)
{
    size_t row[DISTANCE_ROOM + 1], a_length = strlen(a), b_length = strlen(b);
    if (a_length > DISTANCE_ROOM || b_length > DISTANCE_ROOM) return DISTANCE_ROOM;
    for (size_t j = 0; j <= b_length; j++) row[j] = j;
    for (size_t i = 0; i < a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_length; j++) {
            size_t above = row[j + 1];
            row[j + 1] = least_of(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[b_length];
}

static const char *nearest_option(unsigned command, const char *name)
{
    const char *best = NULL;
    size_t best_distance = HINT_DISTANCE + 1;
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        size_t distance = word_distance(name, kx_cli_options[i].name);
        if ((kx_cli_options[i].commands & command) == 0 || distance >= best_distance) continue;
        best = kx_cli_options[i].name;
        best_distance = distance;
    }
    return best;
}

static const char *nearest_command(const char *name)
{
    const char *best = NULL;
    size_t best_distance = HINT_DISTANCE + 1;
    for (size_t i = 0; i < kx_cli_num_commands; i++) {
        const char *last_word = strrchr(kx_cli_commands[i].name, ' ');
        size_t distance = word_distance(name, kx_cli_commands[i].name);
        size_t last_distance = last_word != NULL ? word_distance(name, last_word + 1) : distance;
        if (last_distance < distance) distance = last_distance;
        if (kx_cli_commands[i].name[0] == '\0' || distance >= best_distance) continue;
        best = kx_cli_commands[i].name;
        best_distance = distance;
    }
    return best;
}

static void set_unknown_option(const kx_cli_command *command, const char *dashes, const char *name,
                               size_t length, kx_error *err)
{
    char word[DISTANCE_ROOM + 1];
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    const char *nearest = length > 1 ? nearest_option(command->id, word) : NULL;
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
    const char *nearest = nearest_command(word);
    if (nearest != NULL)
        return kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "unknown %s '%s', did you mean '%s'?",
                            what, word, nearest);
    return kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "unknown %s '%s', kontext --help lists them",
                        what, word);
}

/* "edit", or "model" and the word behind it. */
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
    if (command->id != KX_CLI_MODEL || state->next >= state->argc || state->argv[state->next][0] == '-')
        return;
    const char *second = state->argv[state->next++];
    char both[64];
    snprintf(both, sizeof both, "%s %s", word, second);
    command = kx_cli_find_command(both);
    if (command == NULL)
        set_unknown_command("model command", second, err);
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

/* `source` is "--size" or "KONTEXT_CPU": what the sentence of an error begins with. */
static void apply(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                  const char *source, kx_error *err)
{
    kx_error own = {0};
    if (option->read(arguments, option, text, &own) != KX_OK) {
        kx_error_prefix(&own, "%s", source);
        if (err->status == KX_OK) *err = own;
        return;
    }
    arguments->given |= (uint64_t)1 << (option - kx_cli_options);
}

/* The option's value: `attached` where there is one, else the next word. */
static void apply_option(reader_state *state, const kx_cli_option *option, const char *attached,
                         kx_error *err)
{
    char source[48];
    snprintf(source, sizeof source, "--%s", option->name);
    if (option->argument != NULL && attached == NULL && state->next >= state->argc) {
        kx_error_set(err, KX_ERR_USAGE, __FILE__, __LINE__, "%s: the value is missing, expected is %s",
                     source, option->argument);
        return;
    }
    const char *text = option->argument == NULL ? NULL
                       : attached != NULL       ? attached
                                                : state->argv[state->next++];
    apply(state->arguments, option, text, source, err);
}

static void read_long(reader_state *state, const char *word, kx_error *err)
{
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    const char *attached = name[length] == '=' ? name + length + 1 : NULL;
    const kx_cli_option *option = find_long(state->arguments->command, name, length);
    if (option == NULL)
        set_unknown_option(state->arguments->command, "--", name, length, err);
    else if (option->argument == NULL && attached != NULL)
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

static void read_environment(kx_cli_arguments *arguments, kx_error *err)
{
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        if (option->env == NULL || !belongs(option, arguments->command) || (arguments->given >> i & 1) != 0)
            continue;
        const char *text = getenv(option->env);
        if (text != NULL && text[0] != '\0') apply(arguments, option, text, option->env, err);
    }
}

kx_status kx_cli_parse(kx_cli_arguments *arguments, int argc, char **argv, kx_error *err)
{
    *arguments = (kx_cli_arguments){.guidance = -1.0, .copies = 1};
    reader_state state = {.arguments = arguments, .argc = argc, .argv = argv, .next = 1};
    bool options_ended = false;
    read_command(&state, err);
    while (state.next < argc) {
        const char *word = argv[state.next++];
        if (options_ended || word[0] != '-' || word[1] == '\0')
            read_operand(&state, word, err);
        else if (strcmp(word, "--") == 0)
            options_ended = true;
        else if (word[1] == '-')
            read_long(&state, word, err);
        else
            read_short(&state, word, err);
    }
    if (!arguments->help) read_environment(arguments, err);
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
        if ((arguments->given >> i & 1) != 0 && strcmp(kx_cli_options[i].name, name) == 0) return true;
    return false;
}
