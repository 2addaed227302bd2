/* Commands and options of the program, as tables. The tables are the only place where an option is written
 * down: parsing, --help, the manual page and the shell completion are all read from them.
 *
 *     kx_cli_arguments arguments;
 *     kx_status status = kx_cli_parse(&arguments, argc, argv, &err);
 *
 * How a command line is read: words before the first option name the command ("model plan"). An option is
 * --name VALUE, --name=VALUE, -x VALUE or -xVALUE; the next word is its value even when it begins with a
 * dash. Short options without a value can be joined (-vv). "--" ends the options.
 */
#pragma once

#include "base/error.h"

#include <kontext/kontext.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- What was asked for ---- */

typedef enum kx_cli_command_id {
    KX_CLI_ROOT = 1 << 0, /* no command: kontext --version, kontext --help */
    KX_CLI_EDIT = 1 << 1,
    KX_CLI_MODEL = 1 << 2, /* the word alone */
    KX_CLI_INFO = 1 << 3,
    KX_CLI_VERIFY = 1 << 4,
    KX_CLI_PLAN = 1 << 5,
    KX_CLI_SYNTH = 1 << 6,
    KX_CLI_BENCH = 1 << 7,
    KX_CLI_HELP = 1 << 8,
    KX_CLI_EVERY = (1 << 9) - 1,
} kx_cli_command_id;

typedef enum kx_cli_progress_mode {
    KX_CLI_PROGRESS_AUTO = 0,
    KX_CLI_PROGRESS_BAR,
    KX_CLI_PROGRESS_JSON,
    KX_CLI_PROGRESS_NONE,
} kx_cli_progress_mode;

#define KX_CLI_OPERANDS_MAX 3

/* Strings are borrowed from argv and the environment. Numbers have their defaults where nothing was given. */
typedef struct kx_cli_arguments {
    const struct kx_cli_command *command;
    const char *operands[KX_CLI_OPERANDS_MAX];
    size_t num_operands;
    uint64_t given; /* bit i: row i of the option table was given */

    const char *model, *tokenizers, *cpu;
    int precision; /* kx_precision */
    unsigned threads;

    const char *images[KX_MAX_REFERENCES]; /* files; of "model plan", images[0] is N or WxH,... */
    size_t num_images;
    const char *prompt, *prompt_file, *output;
    kx_size size;
    double aspect[2];
    int steps;
    double guidance;
    bool seed_is_random;
    uint64_t seed;
    unsigned copies; /* -n */
    int scheme;      /* kx_reference_scheme */
    int ref_rule;    /* kx_ref_size */
    kx_size ref_size;
    uint64_t ref_pixels;
    int noise_stream; /* kx_noise_stream */
    const char *noise;

    int format; /* kx_picture_format */
    int quality;
    const char *dump;
    int progress; /* kx_cli_progress_mode */
    bool no_metadata, json, show, quiet;
    unsigned verbose;

    int preset; /* kx_synth_preset */
    const char *suite;
    bool help, version;
} kx_cli_arguments;

/* ---- Tables ---- */

typedef struct kx_cli_option kx_cli_option;

/* Reads `text` into the option's field. The error does not name the option; the caller puts that in front. */
typedef kx_status kx_cli_reader(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                                kx_error *err);

typedef enum kx_cli_completion {
    KX_CLI_COMPLETE_NOTHING = 0,
    KX_CLI_COMPLETE_FILE,
    KX_CLI_COMPLETE_FOLDER
} kx_cli_completion;

struct kx_cli_option {
    const char *group;    /* heading in the help */
    unsigned commands;    /* kx_cli_command_id, added together */
    const char *name;     /* without the dashes */
    char letter;          /* 0: none */
    const char *argument; /* "FILE"; NULL for a flag */
    const char *choices;  /* "offset|index|stitch": the words that are allowed, in the order of their enum */
    const char *env;      /* environment variable that stands in for it */
    const char *fallback; /* the default, in words */
    const char *help;
    kx_cli_reader *read;
    size_t field; /* offset in kx_cli_arguments */
    double least, most;
    kx_cli_completion completion;
    bool repeatable;
};

typedef struct kx_cli_example {
    const char *what;
    const char *line;
} kx_cli_example;

typedef struct kx_cli_command {
    kx_cli_command_id id;
    const char *name;    /* "model plan" */
    const char *usage;   /* what follows the name */
    const char *summary; /* one line */
    const char *text;    /* paragraphs, separated by newlines */
    size_t least_operands, most_operands;
    kx_cli_completion completion; /* of the operands */
    const kx_cli_example *examples;
    size_t num_examples;
} kx_cli_command;

extern const kx_cli_option kx_cli_options[];
extern const size_t kx_cli_num_options;
extern const kx_cli_command kx_cli_commands[];
extern const size_t kx_cli_num_commands;
extern const char *const kx_cli_description; /* a paragraph about the whole program */

/* The command of that name ("" is the program itself), or NULL. */
const kx_cli_command *kx_cli_find_command(const char *name);

/* ---- Parsing ---- */

/* Reads the command line, then the environment for options that were not given; of an option given twice the
 * last counts. The whole line is read even after an error, so that --json is known when the first error is
 * told. Does not check what options mean together. Errors: KX_ERR_USAGE (unknown option or command, missing
 * value, too many operands), KX_ERR_INPUT (a value that is out of range or not a number). */
kx_status kx_cli_parse(kx_cli_arguments *arguments, int argc, char **argv, kx_error *err);

/* Whether the option of that name was given on the line or by the environment. */
bool kx_cli_given(const kx_cli_arguments *arguments, const char *name);
