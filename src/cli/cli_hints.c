#include "cli/cli_hints.h"

#include <string.h>

enum { DISTANCE_ROOM = 40, HINT_DISTANCE = 2 };

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

const char *kx_cli_nearest_option(unsigned commands, unsigned sources, const char *name)
{
    const char *best = NULL;
    size_t best_distance = HINT_DISTANCE + 1;
    for (size_t i = 0; i < kx_cli_num_options; i++) {
        const kx_cli_option *option = &kx_cli_options[i];
        size_t distance = word_distance(name, option->name);
        if ((option->commands & commands) == 0 || distance >= best_distance) continue;
        if (sources != 0 && (option->sources & sources) == 0) continue;
        best = option->name;
        best_distance = distance;
    }
    return best;
}

const char *kx_cli_nearest_command(const char *name)
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
