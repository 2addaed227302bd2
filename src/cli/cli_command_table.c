#include "cli/cli_options.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const kx_cli_example edit_examples[] = {
    {"One reference", "kontext edit -i house.jpg -p \"Make the roof red\" -o red.png"},
    {"Two references, the scene wide, four variants", "kontext edit -i boat.png -i sea.jpg -p \"Put the boat "
                                                      "of image 1 on the sea of image 2\" --aspect 16:9 -n 4 "
                                                      "-o boat.png"},
    {"A repeatable result of a given size",
     "kontext edit -i in.png -p \"Winter\" --seed 42 --size 800x600 -o out.webp"},
    {"In a pipe", "cat in.jpg | kontext edit -i - -p \"Sharper\" --format jpeg -o - > out.jpg"},
    {"For a program", "kontext edit -i in.png -p \"Winter\" -o out.png --json --progress json"},
};
static const kx_cli_example model_examples[] = {
    {"A small model to try the program with", "kontext model synth --preset tiny /tmp/tiny"},
};
static const kx_cli_example info_examples[] = {
    {"What is in a folder", "kontext model info ~/models/FLUX.1-Kontext-dev"},
};
static const kx_cli_example verify_examples[] = {
    {"After a download", "kontext model verify ~/models/FLUX.1-Kontext-dev"},
};
static const kx_cli_example plan_examples[] = {
    {"Does it fit?", "kontext model plan -m ~/models/FLUX.1-Kontext-dev --size 1024x1024 --images 2"},
    {"With true sizes, for a program", "kontext model plan --images 4000x3000,1024x768 --json"},
};
static const kx_cli_example convert_examples[] = {
    {"The fastest form of a model",
     "kontext model convert --precision int8 -m ~/models/FLUX.1-Kontext-dev ~/models/kontext-int8"},
};
static const kx_cli_example synth_examples[] = {
    {"A model for tests", "kontext model synth --preset tiny /tmp/tiny"},
};
static const kx_cli_example bench_examples[] = {
    {"The matrix products on one thread", "kontext bench --suite matmul -t 1"},
    {"Did a change help?", "kontext bench --json > before.json; ...; kontext bench --compare before.json"},
};
static const kx_cli_example serve_examples[] = {
    {"On this machine alone, with the demo model", "kontext serve"},
    {"Behind a proxy on the same machine", "kontext serve -m ~/models/FLUX.1-Kontext-dev --public-url "
                                           "https://edit.example.org --trusted-proxies 127.0.0.1"},
    {"A configuration file to start from", "kontext serve --print-config > kontext.ini"},
};
static const kx_cli_example key_examples[] = {
    {"A key for a colleague", "kontext key create anna --balance 20"},
};
static const kx_cli_example key_create_examples[] = {
    {"A key with 20 dollars that runs one job at a time",
     "kontext key create anna --balance 20 --concurrency 1"},
    {"A key that makes keys and reads the metrics", "kontext key create ops --role admin"},
};
static const kx_cli_example key_list_examples[] = {
    {"For a program", "kontext key list --json"},
};
static const kx_cli_example key_revoke_examples[] = {
    {"After a leak", "kontext key revoke anna"},
};
static const kx_cli_example key_rotate_examples[] = {
    {"Every year", "kontext key rotate anna"},
};
static const kx_cli_example key_credit_examples[] = {
    {"Five dollars more", "kontext key credit anna 5"},
};
static const kx_cli_example key_limits_examples[] = {
    {"Four jobs at a time, 60 submits a minute",
     "kontext key limits anna --concurrency 4 --submits-per-minute 60"},
};
static const kx_cli_example help_examples[] = {
    {"About one command", "kontext help model plan"},
};

#define EXAMPLES(array) .examples = (array), .num_examples = COUNT(array)

const kx_cli_command kx_cli_commands[] = {
    {KX_CLI_ROOT, "", "COMMAND [OPTIONS]", "edit pictures by instruction", NULL, 0, 0, .examples = NULL},
    {KX_CLI_EDIT, "edit", "[-i FILE]... -p TEXT -o FILE [OPTIONS]", "edit pictures by instruction",
     "Reads up to four reference pictures and an instruction, and writes the edited picture.\n"
     "The memory that the edit needs is planned first; an edit that does not fit is refused before any work. "
     "The result is written complete or not at all. Ctrl-C ends the work and leaves no file; a second Ctrl-C "
     "ends "
     "the program at once.",
     0, 0, KX_CLI_COMPLETE_NOTHING, EXAMPLES(edit_examples)},
    {KX_CLI_MODEL, "model", "info|verify|plan|convert|synth [OPTIONS]",
     "look at, check and make model folders",
     "Has the commands info, verify, plan, convert and synth; each has its own --help.", 0, 0,
     KX_CLI_COMPLETE_NOTHING, EXAMPLES(model_examples), .is_group = true},
    {KX_CLI_INFO, "model info", "[DIR] [OPTIONS]", "tell what a model folder holds",
     "Opens the model without reading its matrices and tells its name and licence, and for each part the "
     "files, "
     "layout, types and sizes.",
     0, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(info_examples)},
    {KX_CLI_VERIFY, "model verify", "[DIR] [OPTIONS]", "read every weight and check it",
     "Checks names, shapes and types, then reads every tensor and looks for values that are not finite; "
     "of files that 'model convert' wrote, the checksums, too. The first bad tensor is named.",
     0, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(verify_examples)},
    {KX_CLI_PLAN, "model plan", "[DIR] [OPTIONS]", "tell the memory of an edit before it is run",
     "Prints every large buffer by stage, the peak, what is mapped from the files and what the machine has. "
     "The exit "
     "status is 5 when the edit does not fit.",
     0, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(plan_examples)},
    {KX_CLI_CONVERT, "model convert", "[--precision NAME] [-m DIR] OUT",
     "write a model packed for a precision",
     "Writes the model to the new folder OUT with the matrices of its transformer, T5 and CLIP ready for "
     "products in int8 or "
     "bf16. Such a model is smaller, starts at once and is used from the file as it lies there. VAE, "
     "tokenizers "
     "and configurations are copied. Needs memory for one matrix; the folder appears complete or not at all.",
     1, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(convert_examples)},
    {KX_CLI_SYNTH, "model synth", "[--preset NAME] [--precision NAME] [--seed S] DIR",
     "make a model with random weights",
     "Writes a model folder of the FLUX.1 Kontext architecture with random weights: its pictures are noise, "
     "its "
     "speed and memory are true to the preset.",
     1, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(synth_examples)},
    {KX_CLI_SERVE, "serve", "[OPTIONS]", "answer the REST contract over HTTP",
     "Serves the v3 REST contract and the page until it is stopped. Jobs, keys, files and money lie in the "
     "data "
     "folder. The first start makes a key and prints it once.\n"
     "Every option below can also be given by an environment variable, or as a line NAME = VALUE of the "
     "configuration file; the command line wins over the environment, the environment over the file. Sizes "
     "take "
     "K, M, G or T (powers of 1024), times ms, s, m, h or d (seconds without a unit), money is in US "
     "dollars.\n"
     "An address that is not of this machine alone is refused while there is no key. SIGTERM and SIGINT end "
     "the "
     "service after answers and the checkpoint of the running job; the second one ends it at once.",
     0, 0, KX_CLI_COMPLETE_NOTHING, EXAMPLES(serve_examples)},
    {KX_CLI_KEY, "key", "create|list|revoke|rotate|credit|limits [OPTIONS]", "make and change API keys",
     "Has the commands create, list, revoke, rotate, credit and limits; each has its own --help. They work "
     "on the "
     "data folder, also beside a running server, which sees a change within half a second. KEY is the name "
     "of a key, its public id or its number.",
     0, 0, KX_CLI_COMPLETE_NOTHING, EXAMPLES(key_examples), .is_group = true},
    {KX_CLI_KEY_CREATE, "key create", "NAME [OPTIONS]", "make a key and print its value once",
     "Only a hash of the value is stored, so it cannot be told again.", 1, 1, KX_CLI_COMPLETE_NOTHING,
     EXAMPLES(key_create_examples)},
    {KX_CLI_KEY_LIST, "key list", "[OPTIONS]", "list the keys",
     "Tells name, number, role, balance, limits and times of each key, revoked ones included.", 0, 0,
     KX_CLI_COMPLETE_NOTHING, EXAMPLES(key_list_examples)},
    {KX_CLI_KEY_REVOKE, "key revoke", "KEY [OPTIONS]", "end a key for good",
     "The key is refused from then on. Its records stay.", 1, 1, KX_CLI_COMPLETE_NOTHING,
     EXAMPLES(key_revoke_examples)},
    {KX_CLI_KEY_ROTATE, "key rotate", "KEY [OPTIONS]", "give a key a new value and print it once",
     "The old value ends at once. Name, balance, limits and records stay.", 1, 1, KX_CLI_COMPLETE_NOTHING,
     EXAMPLES(key_rotate_examples)},
    {KX_CLI_KEY_CREDIT, "key credit", "KEY AMOUNT [OPTIONS]", "add to a key's balance",
     "AMOUNT is in US dollars; a negative one takes away. It is a row of the ledger.", 2, 2,
     KX_CLI_COMPLETE_NOTHING, EXAMPLES(key_credit_examples)},
    {KX_CLI_KEY_LIMITS, "key limits", "KEY [OPTIONS]", "set a key's own limits",
     "What is not given stays as it is; 0 takes the server's setting.", 1, 1, KX_CLI_COMPLETE_NOTHING,
     EXAMPLES(key_limits_examples)},
    {KX_CLI_BENCH, "bench", "[OPTIONS]", "time the main operations",
     "Times operations, blocks and steps at the sizes of FLUX.1 Kontext and prints the best time of several "
     "rounds, how much of the machine's own peak between them that is, and the working memory.",
     0, 0, KX_CLI_COMPLETE_NOTHING, EXAMPLES(bench_examples)},
    {KX_CLI_HELP, "help", "[COMMAND]", "tell about a command", "The same text as COMMAND --help.", 0, 2,
     KX_CLI_COMPLETE_NOTHING, EXAMPLES(help_examples)},
};
const size_t kx_cli_num_commands = COUNT(kx_cli_commands);

const char *const kx_cli_description = "kontext edits pictures by instruction with FLUX.1 Kontext [dev] and "
                                       "up to four reference pictures, on the "
                                       "processor of this machine.";

const kx_cli_command *kx_cli_find_command(const char *name)
{
    for (size_t i = 0; i < kx_cli_num_commands; i++)
        if (strcmp(kx_cli_commands[i].name, name) == 0) return &kx_cli_commands[i];
    return NULL;
}
