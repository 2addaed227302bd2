#include "cli/cli_options.h"

#include "base/limits.h"
#include "cli/cli_values.h"

#include <string.h>

#define FIELD(name)  offsetof(kx_cli_arguments, name)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Commands that open a model, and those that describe an edit. */
enum {
    WITH_MODEL = KX_CLI_EDIT | KX_CLI_INFO | KX_CLI_VERIFY | KX_CLI_PLAN,
    WITH_EDIT = KX_CLI_EDIT | KX_CLI_PLAN,
    WITH_WORK = WITH_MODEL | KX_CLI_SYNTH | KX_CLI_BENCH,
    WITH_PROGRESS = KX_CLI_EDIT | KX_CLI_VERIFY | KX_CLI_SYNTH,
};

static const char in_picture[] = "Picture";
static const char in_references[] = "References";
static const char in_sampling[] = "Sampling";
static const char in_output[] = "Output";
static const char in_model[] = "Model and machine";
static const char in_messages[] = "Messages";

const kx_cli_option kx_cli_options[] = {
    /* ---- Picture ---- */
    {in_picture, KX_CLI_EDIT, "prompt", 'p', "TEXT", .read = kx_cli_read_text, .field = FIELD(prompt),
     .help = "The instruction, such as \"Make the roof red\". UTF-8. One of --prompt and --prompt-file is "
             "needed."},
    {in_picture, KX_CLI_EDIT, "prompt-file", 0, "FILE", .read = kx_cli_read_path, .field = FIELD(prompt_file),
     .completion = KX_CLI_COMPLETE_FILE,
     .help = "Read the instruction from a file (- is standard input). One line break at its end is dropped."},
    {in_picture, KX_CLI_EDIT, "image", 'i', "FILE", .read = kx_cli_read_image,
     .completion = KX_CLI_COMPLETE_FILE, .repeatable = true,
     .help = "A reference picture: JPEG, PNG, WebP, GIF, BMP or TIFF (- is standard input). Up to 4, in the "
             "order "
             "in which the prompt counts them. With none the picture is made from the prompt alone."},
    {in_picture, KX_CLI_PLAN, "images", 0, "N|WxH,...", .read = kx_cli_read_text, .field = FIELD(images[0]),
     .fallback = "1",
     .help = "Number of references of the native size, or their sizes, such as 1024x768,640x480."},
    {in_picture, WITH_EDIT, "size", 0, "WxH", .read = kx_cli_read_size, .field = FIELD(size),
     .least = KX_LIMIT_SIDE_MIN_PX, .most = KX_LIMIT_SIDE_MAX_PX,
     .fallback = "the working size of the first reference; without one, the native square of the model",
     .help =
         "Size of the result in pixels, each side 16 to 2048. Every size is met exactly: sides that are no "
         "multiples of 16 are padded inside and cropped back."},
    {in_picture, WITH_EDIT, "aspect", 0, "A:B", .read = kx_cli_read_aspect, .field = FIELD(aspect),
     .help =
         "Ratio of the sides of the result at the native area of the model, such as 16:9. Not with --size."},
    {in_picture, WITH_EDIT, "num-images", 'n', "N", .read = kx_cli_read_unsigned, .field = FIELD(copies),
     .least = 1, .most = KX_LIMIT_IMAGES_MAX, .fallback = "1",
     .help =
         "Number of results, 1 to 64. Result k uses seed + k and is written to NAME-1.png, NAME-2.png, ..."},

    /* ---- References ---- */
    {in_references, WITH_EDIT, "references", 0, "SCHEME", "offset|index|stitch", .read = kx_cli_read_choice,
     .field = FIELD(scheme), .fallback = "offset",
     .help = "How several references share the position space: beside each other (offset), each in a layer "
             "of its "
             "own (index), or pasted onto one canvas (stitch)."},
    {in_references, WITH_EDIT, "ref-size", 0, "preferred|native|WxH", "preferred|native",
     .read = kx_cli_read_ref_size, .field = FIELD(ref_size), .least = KX_LIMIT_SIDE_MIN_PX,
     .most = KX_LIMIT_SIDE_MAX_PX, .fallback = "preferred",
     .help = "Resize each reference to the nearest size that the model was trained on (preferred), keep its "
             "own size "
             "cropped right and bottom to multiples of 16 (native), or resize to the given size."},
    {in_references, WITH_EDIT, "ref-pixels", 0, "N", .read = kx_cli_read_uint64, .field = FIELD(ref_pixels),
     .least = 1, .most = 4.0 * KX_LIMIT_SIDE_MAX_PX * KX_LIMIT_SIDE_MAX_PX, .fallback = "no budget",
     .help = "Shrink all references by one factor until together they have at most N pixels. Fewer pixels "
             "are less "
             "time and memory."},

    /* ---- Sampling ---- */
    {in_sampling, WITH_EDIT, "steps", 0, "N", .read = kx_cli_read_int, .field = FIELD(steps), .least = 1,
     .most = KX_LIMIT_STEPS_MAX, .fallback = "what the model says, 28 for FLUX.1 Kontext",
     .help = "Number of denoising steps, 1 to 1000."},
    {in_sampling, KX_CLI_EDIT, "guidance", 0, "G", .read = kx_cli_read_real, .field = FIELD(guidance),
     .least = 0, .most = KX_LIMIT_GUIDANCE_MAX, .fallback = "what the model says, 2.5 for FLUX.1 Kontext",
     .help = "How strongly the model follows the prompt, 0 to 100."},
    {in_sampling, KX_CLI_EDIT, "seed", 0, "S", .read = kx_cli_read_seed, .field = FIELD(seed), .least = -1,
     .fallback = "-1",
     .help = "Start of the random numbers, 0 to 18446744073709551615; only the low 32 bits count. -1 draws "
             "one and "
             "tells it. Equal inputs, seed and kernel set give equal bytes for any number of threads."},
    {in_sampling, KX_CLI_EDIT, "noise-stream", 0, "NAME", "torch-f32|torch-bf16|torch-bf16-old",
     .read = kx_cli_read_choice, .field = FIELD(noise_stream), .fallback = "torch-f32",
     .help = "Which random stream of PyTorch a seed stands for: that of ComfyUI (torch-f32), of current "
             "diffusers "
             "(torch-bf16), or of PyTorch up to 2.7 in bfloat16 (torch-bf16-old)."},
    {in_sampling, KX_CLI_EDIT, "noise", 0, "FILE", .read = kx_cli_read_path, .field = FIELD(noise),
     .completion = KX_CLI_COMPLETE_FILE,
     .help = "Take the noise itself from a safetensors file: tensor \"noise\", [16,h,w] f32, h and w in "
             "latent cells "
             "of 8 pixels. Not with several results."},

    /* ---- Output ---- */
    {in_output, KX_CLI_EDIT, "output", 'o', "FILE", .read = kx_cli_read_path, .field = FIELD(output),
     .completion = KX_CLI_COMPLETE_FILE,
     .help = "Where the result goes: .png, .jpg, .jpeg or .webp (- is standard output and needs --format). "
             "It is needed."},
    {in_output, KX_CLI_EDIT, "format", 0, "NAME", "png|jpeg|webp", .read = kx_cli_read_choice,
     .field = FIELD(format), .least = KX_FORMAT_PNG, .fallback = "by the suffix",
     .help = "Format of the result, whatever the suffix is."},
    {in_output, KX_CLI_EDIT, "quality", 0, "N", .read = kx_cli_read_int, .field = FIELD(quality), .least = 1,
     .most = 100, .fallback = "95 for JPEG, lossless for WebP",
     .help = "Quality of JPEG and WebP, 1 to 100. JPEG keeps full colour resolution from 90 on."},
    {in_output, KX_CLI_EDIT, "no-metadata", 0, .read = kx_cli_read_flag, .field = FIELD(no_metadata),
     .help = "Leave the prompt, seed, model and settings out of the file."},
    {in_output, KX_CLI_EDIT, "dump", 0, "FILE", .read = kx_cli_read_path, .field = FIELD(dump),
     .completion = KX_CLI_COMPLETE_FILE,
     .help = "Write the tensors of every stage into a safetensors file, for comparison with a reference; "
             "with -v -v "
             "also the state after each block of the first step. Not with several results."},
    {in_output, KX_CLI_EDIT, "show", 0, .read = kx_cli_read_flag, .field = FIELD(show),
     .help = "Draw the result in the terminal. Not with --json and -o -."},

    /* ---- Model and machine ---- */
    {in_model, WITH_MODEL, "model", 'm', "DIR", .env = "KONTEXT_MODEL", .read = kx_cli_read_path,
     .field = FIELD(model), .completion = KX_CLI_COMPLETE_FOLDER, .fallback = "models/demo, where it exists",
     .help = "The model folder, in the layout of diffusers or with each part as one safetensors file."},
    {in_model, WITH_MODEL, "tokenizers", 0, "DIR", .env = "KONTEXT_TOKENIZERS", .read = kx_cli_read_path,
     .field = FIELD(tokenizers), .completion = KX_CLI_COMPLETE_FOLDER, .fallback = "the model folder",
     .help = "Folder with tokenizer/ and tokenizer_2/ for a model that has none."},
    {in_model, WITH_MODEL, "precision", 0, "NAME", "auto|f32", .read = kx_cli_read_choice,
     .field = FIELD(precision), .fallback = "auto",
     .help = "Type of the arithmetic. auto takes the best that the machine and the weights allow."},
    {in_model, WITH_MODEL | KX_CLI_BENCH, "cpu", 0, "NAME", "auto|portable|avx2|avx512", "KONTEXT_CPU",
     .read = kx_cli_read_cpu, .field = FIELD(cpu), .fallback = "auto",
     .help = "Kernel set to stay within. auto takes the best that the processor has."},
    {in_model, WITH_MODEL | KX_CLI_BENCH, "threads", 't', "N", .read = kx_cli_read_unsigned,
     .field = FIELD(threads), .most = KX_LIMIT_THREADS, .fallback = "0, one for each processor",
     .help = "Number of compute threads."},
    {in_model, KX_CLI_SYNTH, "preset", 0, "NAME", "tiny|slice|full", .read = kx_cli_read_choice,
     .field = FIELD(preset), .fallback = "tiny",
     .help = "tiny: a few megabytes, for tests. slice: true widths, few blocks. full: the true architecture, "
             "about "
             "34 GB."},
    {in_model, KX_CLI_SYNTH, "seed", 0, "S", .read = kx_cli_read_seed, .field = FIELD(seed), .fallback = "0",
     .help = "Start of the random numbers. Equal preset and seed give equal files."},
    {in_model, KX_CLI_BENCH, "suite", 0, "TEXT", .read = kx_cli_read_text, .field = FIELD(suite),
     .fallback = "all", .help = "Only the measurements whose name contains TEXT, such as matmul."},

    /* ---- Messages ---- */
    {in_messages, KX_CLI_EDIT | KX_CLI_INFO | KX_CLI_VERIFY | KX_CLI_PLAN | KX_CLI_SYNTH | KX_CLI_BENCH,
     "json", 0, .read = kx_cli_read_flag, .field = FIELD(json),
     .help = "One JSON object on standard output instead of words; also for an error."},
    {in_messages, WITH_PROGRESS, "progress", 0, "MODE", "auto|bar|json|none", .read = kx_cli_read_choice,
     .field = FIELD(progress), .fallback = "auto, a bar on a terminal",
     .help = "How to tell progress on standard error: a bar, or one JSON object a line."},
    {in_messages, WITH_WORK, "quiet", 'q', .read = kx_cli_read_flag, .field = FIELD(quiet),
     .help = "Only errors."},
    {in_messages, WITH_WORK, "verbose", 'v', .read = kx_cli_read_count, .field = FIELD(verbose),
     .repeatable = true, .help = "More words about what is done."},
    {in_messages, KX_CLI_EVERY, "help", 'h', .read = kx_cli_read_flag, .field = FIELD(help),
     .help = "This text."},
    {in_messages, KX_CLI_ROOT, "version", 0, .read = kx_cli_read_flag, .field = FIELD(version),
     .help = "The version."},
};
const size_t kx_cli_num_options = COUNT(kx_cli_options);
_Static_assert(COUNT(kx_cli_options) <= 64, "kx_cli_arguments.given has one bit for each option");

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
static const kx_cli_example synth_examples[] = {
    {"A model for tests", "kontext model synth --preset tiny /tmp/tiny"},
};
static const kx_cli_example bench_examples[] = {
    {"The matrix products on one thread", "kontext bench --suite matmul -t 1"},
};
static const kx_cli_example help_examples[] = {
    {"About one command", "kontext help model plan"},
};

#define EXAMPLES(array) (array), COUNT(array)

const kx_cli_command kx_cli_commands[] = {
    {KX_CLI_ROOT, "", "COMMAND [OPTIONS]", "edit pictures by instruction", NULL, 0, 0,
     KX_CLI_COMPLETE_NOTHING, NULL, 0},
    {KX_CLI_EDIT, "edit", "[-i FILE]... -p TEXT -o FILE [OPTIONS]", "edit pictures by instruction",
     "Reads up to four reference pictures and an instruction, and writes the edited picture.\n"
     "The memory that the edit needs is planned first; an edit that does not fit is refused before any work. "
     "The result is written complete or not at all. Ctrl-C ends the work and leaves no file; a second Ctrl-C "
     "ends "
     "the program at once.",
     0, 0, KX_CLI_COMPLETE_NOTHING, EXAMPLES(edit_examples)},
    {KX_CLI_MODEL, "model", "info|verify|plan|synth [OPTIONS]", "look at, check and make model folders",
     "Has the commands info, verify, plan and synth; each has its own --help.", 0, 0, KX_CLI_COMPLETE_NOTHING,
     EXAMPLES(model_examples)},
    {KX_CLI_INFO, "model info", "[DIR] [OPTIONS]", "tell what a model folder holds",
     "Opens the model without reading its weights and tells its name and licence, and for each part the "
     "files, "
     "layout, types and sizes.",
     0, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(info_examples)},
    {KX_CLI_VERIFY, "model verify", "[DIR] [OPTIONS]", "read every weight and check it",
     "Checks names, shapes and types, then reads every tensor and looks for values that are not finite. The "
     "first "
     "bad tensor is named.",
     0, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(verify_examples)},
    {KX_CLI_PLAN, "model plan", "[DIR] [OPTIONS]", "tell the memory of an edit before it is run",
     "Prints every large buffer by stage, the peak, what is mapped from the files and what the machine has. "
     "The exit "
     "status is 5 when the edit does not fit.",
     0, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(plan_examples)},
    {KX_CLI_SYNTH, "model synth", "[--preset NAME] [--seed S] DIR", "make a model with random weights",
     "Writes a model folder of the FLUX.1 Kontext architecture with random weights: its pictures are noise, "
     "its "
     "speed and memory are true to the preset.",
     1, 1, KX_CLI_COMPLETE_FOLDER, EXAMPLES(synth_examples)},
    {KX_CLI_BENCH, "bench", "[OPTIONS]", "time the main operations",
     "Times the main operations at the sizes of FLUX.1 Kontext and prints the best time of several rounds.",
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
