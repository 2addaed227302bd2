/* Commands and options of the program, as tables. The tables are the only place where an option is written
 * down: parsing, the environment, the configuration file, --help, the manual page and the shell completion
 * are all read from them.
 *
 *     kx_cli_arguments arguments;
 *     kx_status status = kx_cli_parse(&arguments, argc, argv, &err);
 *     ...
 *     kx_cli_arguments_free(&arguments);
 *
 * How a command line is read: words before the first option name the command ("model plan"). An option is
 * --name VALUE, --name=VALUE, -x VALUE or -xVALUE; the next word is its value even when it begins with a
 * dash, except where a value is optional: that one is --name or --name=VALUE. Short options without a value
 * can be joined (-vv). "--" ends the options. What the line does not give is taken from the environment, then
 * from the configuration file (cli_config.h), then from the defaults.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "service/common/settings.h"

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
    KX_CLI_SERVE = 1 << 9,
    KX_CLI_KEY = 1 << 10, /* the word alone */
    KX_CLI_KEY_CREATE = 1 << 11,
    KX_CLI_KEY_LIST = 1 << 12,
    KX_CLI_KEY_REVOKE = 1 << 13,
    KX_CLI_KEY_ROTATE = 1 << 14,
    KX_CLI_KEY_CREDIT = 1 << 15,
    KX_CLI_KEY_LIMITS = 1 << 16,
    KX_CLI_CONVERT = 1 << 17,
    KX_CLI_EVERY = (1 << 18) - 1,
} kx_cli_command_id;

typedef enum kx_cli_progress_mode {
    KX_CLI_PROGRESS_AUTO = 0,
    KX_CLI_PROGRESS_BAR,
    KX_CLI_PROGRESS_JSON,
    KX_CLI_PROGRESS_NONE,
} kx_cli_progress_mode;

enum { KX_CLI_OPERANDS_MAX = 3, KX_CLI_OPTIONS_MAX = 128 };

/* Strings are borrowed from argv and the environment, or live in `texts`. Numbers have their defaults where
 * nothing was given. */
typedef struct kx_cli_arguments {
    const struct kx_cli_command *command;
    const char *operands[KX_CLI_OPERANDS_MAX];
    size_t num_operands;
    bool given[KX_CLI_OPTIONS_MAX]; /* by row of the option table: on the line, in the environment or the file
                                     */
    kx_arena texts;                 /* values out of the configuration file */

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
    int preset_of_edit; /* place in exact|fast */
    const char *cache; /* as kx_cache_parse reads it; NULL: off */
    int noise_stream;  /* kx_noise_stream */
    const char *noise;

    int format; /* kx_picture_format */
    int quality;
    const char *dump;
    bool profile;
    const char *profile_file; /* NULL: the table alone */
    int progress;             /* kx_cli_progress_mode */
    bool no_metadata, json, show, quiet;
    unsigned verbose;

    int preset; /* kx_synth_preset */
    const char *suite, *compare;
    bool tiny;

    kx_settings settings; /* of "serve"; the keys' commands use its data folder */
    const char *config;   /* the configuration file */
    bool print_config;
    int role; /* place in read|submit|admin */
    int64_t balance_micro;
    unsigned key_concurrency, key_submits_per_minute; /* 0: the server's */
    const char *key_value;

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

/* Where an option can be given besides the command line. Its environment variable is KONTEXT_ and the name in
 * capitals with underscores; in the file its name may be written with dashes or underscores. */
enum { KX_CLI_IN_ENVIRONMENT = 1, KX_CLI_IN_FILE = 2, KX_CLI_SETTING = 3 };

/* What the field of a setting is, and so how its value is read and written. */
typedef enum kx_cli_kind {
    KX_CLI_KIND_OTHER = 0,    /* the reader knows */
    KX_CLI_KIND_TEXT,         /* const char *; empty is NULL */
    KX_CLI_KIND_SWITCH,       /* bool */
    KX_CLI_KIND_COUNT,        /* unsigned */
    KX_CLI_KIND_BYTES,        /* uint64_t: "20M" */
    KX_CLI_KIND_SECONDS,      /* unsigned: "90s" */
    KX_CLI_KIND_LONG_SECONDS, /* uint64_t: "7d" */
    KX_CLI_KIND_MILLISECONDS, /* unsigned: "90s", "250ms" */
    KX_CLI_KIND_MONEY,        /* int64_t micro-dollars: "0.03" */
} kx_cli_kind;

struct kx_cli_option {
    const char *group;    /* heading in the help */
    unsigned commands;    /* kx_cli_command_id, added together */
    const char *name;     /* without the dashes */
    char letter;          /* 0: none */
    const char *argument; /* "FILE"; NULL for a flag */
    const char *choices;  /* "offset|index|stitch": the words that are allowed, in the order of their enum */
    unsigned sources;     /* KX_CLI_IN_..., added together */
    kx_cli_kind kind;
    const char *fallback; /* the default, in words; NULL for a setting whose default says it all */
    const char *help;
    kx_cli_reader *read;
    size_t field; /* offset in kx_cli_arguments */
    double least, most;
    kx_cli_completion completion;
    bool repeatable;
    bool value_optional; /* --name or --name=VALUE; the reader gets NULL for the first */
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
    bool is_group; /* a word with commands behind it */
} kx_cli_command;

extern const kx_cli_option kx_cli_options[];
extern const size_t kx_cli_num_options;
extern const kx_cli_command kx_cli_commands[];
extern const size_t kx_cli_num_commands;
extern const char *const kx_cli_description; /* a paragraph about the whole program */

/* The command of that name ("" is the program itself), or NULL. */
const kx_cli_command *kx_cli_find_command(const char *name);

/* ---- Parsing ---- */

/* Reads the command line, then the environment and the configuration file for options that were not given; of
 * an option given twice the last counts. The whole line is read even after an error, so that --json is known
 * when the first error is told. Does not check what options mean together. Errors: KX_ERR_USAGE (unknown
 * option or command, missing value, too many operands), KX_ERR_INPUT (a value that is out of range or not a
 * number). */
kx_status kx_cli_parse(kx_cli_arguments *arguments, int argc, char **argv, kx_error *err);

void kx_cli_arguments_free(kx_cli_arguments *arguments);

/* Whether the option of that name was given, wherever. */
bool kx_cli_given(const kx_cli_arguments *arguments, const char *name);

/* Fills the option's field and marks it as given. `source` ("--size", "KONTEXT_CPU", "kontext.ini:7: listen")
 * is what the sentence of an error begins with. */
kx_status kx_cli_apply(kx_cli_arguments *arguments, const kx_cli_option *option, const char *text,
                       const char *source, kx_error *err);

/* "KONTEXT_MAX_BODY" for "max-body". */
enum { KX_CLI_VARIABLE_BYTES = 64 };
void kx_cli_variable_name(const kx_cli_option *option, char out[KX_CLI_VARIABLE_BYTES]);
