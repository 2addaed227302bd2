#include "cli/cli_options.h"

#include "base/limits.h"
#include "cli/cli_settings.h"
#include "cli/cli_values.h"

#include <string.h>

#define FIELD(name)  offsetof(kx_cli_arguments, name)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A row of kx_settings: it can stand in the environment and in the file, and its default is that of the
 * service. */
#define SETTING(group, commands, name, argument, kind_of, member)                                            \
    group, commands, name, 0, argument, NULL, KX_CLI_SETTING, kind_of, .read = kx_cli_read_setting,          \
                                                                       .field = FIELD(settings.member)

/* Commands that open a model, and those that describe an edit. */
enum {
    WITH_MODEL = KX_CLI_EDIT | KX_CLI_INFO | KX_CLI_VERIFY | KX_CLI_PLAN,
    WITH_EDIT = KX_CLI_EDIT | KX_CLI_PLAN,
    WITH_SOURCE = WITH_MODEL | KX_CLI_CONVERT,
    WITH_WORK = WITH_SOURCE | KX_CLI_SYNTH | KX_CLI_BENCH,
    WITH_PROGRESS = KX_CLI_EDIT | KX_CLI_VERIFY | KX_CLI_SYNTH | KX_CLI_CONVERT,
    WITH_KEY = KX_CLI_KEY_CREATE | KX_CLI_KEY_LIST | KX_CLI_KEY_REVOKE | KX_CLI_KEY_ROTATE |
               KX_CLI_KEY_CREDIT | KX_CLI_KEY_LIMITS,
    WITH_DATA = KX_CLI_SERVE | WITH_KEY,
};

static const char cpu_names[] =
    "auto|portable|avx2|avxvnni|avx512|avx512vnni|avx512bf16|amx|neon|dotprod|i8mm";
static const char precision_help[] = "Type of the arithmetic: f32 is exact, bf16 nearly, int8 fastest. auto "
                                     "takes f32, or what a packed model was packed "
                                     "for.";
static const char cache_help[] =
    "Answer steps whose input has hardly changed from the last whole step: faster, and no longer exact. "
    "first-block runs the first block to see the change, teacache estimates it from the input. The larger "
    "the "
    "threshold T, the more steps are reused; 0 reuses none.";

static const char in_picture[] = "Picture";
static const char in_references[] = "References";
static const char in_sampling[] = "Sampling";
static const char in_output[] = "Output";
static const char in_model[] = "Model and machine";
static const char in_messages[] = "Messages";
static const char in_place[] = "Place";
static const char in_http[] = "HTTP";
static const char in_requests[] = "Requests";
static const char in_money[] = "Money";
static const char in_outgoing[] = "Outgoing requests";
static const char in_key[] = "Key";
static const char in_testing[] = "Tests";

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
    {in_sampling, WITH_EDIT, "preset", 0, "NAME", "exact|fast", .read = kx_cli_read_choice,
     .field = FIELD(preset_of_edit), .fallback = "exact",
     .help =
         "fast stands for --precision int8 --cache first-block and, with --size, for references that are no "
         "larger than the result (as --ref-pixels), as far as these are not given."},
    {in_sampling, WITH_EDIT, "cache", 0, "NAME[=T]", "off|first-block|teacache", KX_CLI_IN_ENVIRONMENT,
     .read = kx_cli_read_cache, .field = FIELD(cache), .fallback = "off", .help = cache_help},
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
    {in_output, KX_CLI_EDIT, "profile", 0, "FILE", .read = kx_cli_read_profile, .field = FIELD(profile_file),
     .completion = KX_CLI_COMPLETE_FILE, .value_optional = true,
     .help = "After the edit, tell on standard error where its time went: one row for each operation on "
             "operands of "
             "one shape, with calls, seconds, GFLOP/s and GB/s (not with -q); with --json also as "
             "\"profile\". With "
             "=FILE, also write every call as a trace for Perfetto or chrome://tracing."},
    {in_output, KX_CLI_EDIT, "show", 0, .read = kx_cli_read_flag, .field = FIELD(show),
     .help = "Draw the result in the terminal. Not with --json and -o -."},

    /* ---- Model and machine ---- */
    {in_model, WITH_SOURCE, "model", 'm', "DIR", .sources = KX_CLI_IN_ENVIRONMENT, .read = kx_cli_read_path,
     .field = FIELD(model), .completion = KX_CLI_COMPLETE_FOLDER, .fallback = "models/demo, where it exists",
     .help = "The model folder, in the layout of diffusers or with each part as one safetensors file."},
    {in_model, WITH_SOURCE, "tokenizers", 0, "DIR", .sources = KX_CLI_IN_ENVIRONMENT,
     .read = kx_cli_read_path, .field = FIELD(tokenizers), .completion = KX_CLI_COMPLETE_FOLDER,
     .fallback = "the model folder",
     .help = "Folder with tokenizer/ and tokenizer_2/ for a model that has none."},
    {in_model, WITH_MODEL, "precision", 0, "NAME", "auto|f32|bf16|int8", .read = kx_cli_read_choice,
     .field = FIELD(precision), .fallback = "auto", .help = precision_help},
    {in_model, KX_CLI_CONVERT, "precision", 0, "NAME", "bf16|int8", .read = kx_cli_read_choice,
     .field = FIELD(precision), .least = KX_PRECISION_BF16, .fallback = "int8",
     .help = "What to pack for: int8 is the smallest and fastest, bf16 is nearer to the original."},
    {in_model, KX_CLI_SYNTH, "precision", 0, "NAME", "f32|bf16|int8", .read = kx_cli_read_choice,
     .field = FIELD(precision), .least = KX_PRECISION_F32, .fallback = "f32",
     .help = "f32: weights as the model is published (bf16). bf16, int8: the same model packed, as 'model "
             "convert' "
             "makes it."},
    {in_model, WITH_SOURCE | KX_CLI_BENCH, "cpu", 0, "NAME", cpu_names, KX_CLI_IN_ENVIRONMENT,
     .read = kx_cli_read_word, .field = FIELD(cpu), .fallback = "auto",
     .help = "Kernel set to stay within. auto takes the best that the processor has."},
    {in_model, WITH_SOURCE | KX_CLI_BENCH, "threads", 't', "N", .read = kx_cli_read_unsigned,
     .field = FIELD(threads), .most = KX_LIMIT_THREADS, .fallback = "0, one for each processor",
     .help = "Number of compute threads. 0 goes by the processors that the process may use: its affinity, "
             "and the limit of its control group rounded up."},
    {in_model, KX_CLI_SYNTH, "preset", 0, "NAME", "tiny|slice|full", .read = kx_cli_read_choice,
     .field = FIELD(preset), .fallback = "tiny",
     .help = "tiny: a few megabytes, for tests. slice: true widths, few blocks. full: the true architecture, "
             "about 34 GB, packed for int8 about 20 GB."},
    {in_model, KX_CLI_SYNTH, "seed", 0, "S", .read = kx_cli_read_seed, .field = FIELD(seed), .fallback = "0",
     .help = "Start of the random numbers. Equal preset and seed give equal files."},
    {in_model, KX_CLI_BENCH, "suite", 0, "TEXT", .read = kx_cli_read_text, .field = FIELD(suite),
     .fallback = "all that do not take minutes",
     .help =
         "Only the measurements whose name contains TEXT, such as matmul, attention, block, step, t5, vae."},
    {in_model, KX_CLI_BENCH, "model", 'm', "DIR", .read = kx_cli_read_path, .field = FIELD(model),
     .completion = KX_CLI_COMPLETE_FOLDER, .fallback = "random weights of true width, few blocks",
     .help = "Time the parts of this model folder, its autoencoder too, and how long it takes to open."},
    {in_model, KX_CLI_BENCH, "precision", 0, "NAME", "auto|f32|bf16|int8", .read = kx_cli_read_choice,
     .field = FIELD(precision), .fallback = "auto, each in turn",
     .help = "Only the rows of this type of arithmetic. A packed model has those that it is packed for."},
    {in_model, KX_CLI_BENCH, "compare", 0, "FILE", .read = kx_cli_read_path, .field = FIELD(compare),
     .completion = KX_CLI_COMPLETE_FILE,
     .help = "Set the times of an earlier run beside the new ones: FILE is what --json printed then. A ratio "
             "above 1 is faster now."},
    {in_model, KX_CLI_BENCH, "tiny", 0, .read = kx_cli_read_flag, .field = FIELD(tiny),
     .help = "Tiny shapes, in a moment: tells that everything runs, not how fast."},

    /* ---- The service ---- */
    {SETTING(in_place, KX_CLI_SERVE, "listen", "HOST:PORT", KX_CLI_KIND_TEXT, listen),
     .help = "Address to listen on, such as 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one."},
    {SETTING(in_place, KX_CLI_SERVE, "public-url", "URL", KX_CLI_KIND_TEXT, public_url),
     .fallback = "what the client used",
     .help = "What absolute URLs begin with, such as https://edit.example.org, without a slash at the end."},
    {SETTING(in_place, KX_CLI_SERVE, "trusted-proxies", "NETWORKS", KX_CLI_KIND_TEXT, trusted_proxies),
     .fallback = "none",
     .help = "Addresses or networks whose X-Forwarded-* are believed, such as 127.0.0.1,10.0.0.0/8."},
    {SETTING(in_place, WITH_DATA, "data", "DIR", KX_CLI_KIND_TEXT, data),
     .completion = KX_CLI_COMPLETE_FOLDER, .fallback = "$XDG_DATA_HOME/kontext or ~/.local/share/kontext",
     .help =
         "The data folder: records, files, checkpoints, and the synthetic model where there is no other."},
    {in_place, WITH_DATA, "config", 0, "FILE", .sources = KX_CLI_IN_ENVIRONMENT, .read = kx_cli_read_path,
     .field = FIELD(config), .completion = KX_CLI_COMPLETE_FILE,
     .fallback = "kontext.ini in the data folder, where it exists",
     .help = "The configuration file: lines NAME = VALUE, comments from # on, headings in brackets."},
    {in_place, KX_CLI_SERVE, "print-config", 0, .read = kx_cli_read_flag, .field = FIELD(print_config),
     .help = "Print a configuration file with every option as it would be used, and end."},
    {SETTING(in_place, KX_CLI_SERVE, "admin-key", "TEXT", KX_CLI_KIND_TEXT, admin_key), .fallback = "random",
     .help = "Value of the key that the first start makes. Better in the environment or the file than on the "
             "command line, which others on the machine can see."},
    {SETTING(in_place, KX_CLI_SERVE, "log-prompts", NULL, KX_CLI_KIND_SWITCH, log_prompts),
     .help = "Write prompts into the access log."},
    {SETTING(in_place, KX_CLI_SERVE, "web", "DIR", KX_CLI_KIND_TEXT, web),
     .completion = KX_CLI_COMPLETE_FOLDER, .fallback = "embedded",
     .help = "Serve the page's files from this folder, while changing them."},
    {in_model, KX_CLI_SERVE, "model", 'm', "DIR", NULL, KX_CLI_SETTING, KX_CLI_KIND_TEXT,
     "models/demo, where it exists; else a synthetic one in the data folder", .read = kx_cli_read_setting,
     .field = FIELD(settings.model), .completion = KX_CLI_COMPLETE_FOLDER,
     .help = "The model folder, in the layout of diffusers or with each part as one safetensors file."},
    {SETTING(in_model, KX_CLI_SERVE, "tokenizers", "DIR", KX_CLI_KIND_TEXT, tokenizers),
     .completion = KX_CLI_COMPLETE_FOLDER, .fallback = "the model folder",
     .help = "Folder with tokenizer/ and tokenizer_2/ for a model that has none."},
    {in_model, KX_CLI_SERVE, "precision", 0, "NAME", "auto|f32|bf16|int8", KX_CLI_SETTING, KX_CLI_KIND_TEXT,
     "auto", .read = kx_cli_read_setting, .field = FIELD(settings.precision), .help = precision_help},
    {in_model, KX_CLI_SERVE, "cpu", 0, "NAME", cpu_names, KX_CLI_SETTING, KX_CLI_KIND_TEXT, "auto",
     .read = kx_cli_read_setting, .field = FIELD(settings.cpu),
     .help = "Kernel set to stay within. auto takes the best that the processor has."},
    {in_model, KX_CLI_SERVE, "threads", 't', "N", NULL, KX_CLI_SETTING, KX_CLI_KIND_COUNT,
     "0, one for each processor", .read = kx_cli_read_setting, .field = FIELD(settings.threads),
     .most = KX_LIMIT_THREADS, .help = "Number of compute threads."},
    {SETTING(in_model, KX_CLI_SERVE, "encoder-cache", "SIZE", KX_CLI_KIND_BYTES, encoder_cache_bytes),
     .most = 1099511627776.0,
     .help = "Memory for text embeddings and reference latents of earlier jobs, which jobs with the same "
             "prompt or "
             "pictures need not compute again; 0 keeps none."},

    {SETTING(in_http, KX_CLI_SERVE, "max-connections", "N", KX_CLI_KIND_COUNT, max_connections), .least = 1,
     .most = 65536, .help = "Connections at a time."},
    {SETTING(in_http, KX_CLI_SERVE, "max-connections-per-address", "N", KX_CLI_KIND_COUNT,
             max_connections_per_address),
     .least = 1, .most = 65536,
     .help = "Connections of one address at a time. A proxy in front is one address."},
    {SETTING(in_http, KX_CLI_SERVE, "header-timeout", "TIME", KX_CLI_KIND_SECONDS, header_timeout_s),
     .least = 1, .most = 3600, .help = "How long a client may take for the head of a request."},
    {SETTING(in_http, KX_CLI_SERVE, "body-timeout", "TIME", KX_CLI_KIND_SECONDS, body_timeout_s), .least = 1,
     .most = 86400, .help = "How long a client may take for a body, plus one second for each 64 KiB of it."},
    {SETTING(in_http, KX_CLI_SERVE, "idle-timeout", "TIME", KX_CLI_KIND_SECONDS, idle_timeout_s), .least = 1,
     .most = 86400, .help = "How long a connection may be idle, or a reader take nothing."},
    {SETTING(in_http, KX_CLI_SERVE, "max-body", "SIZE", KX_CLI_KIND_BYTES, max_body_bytes), .least = 1024,
     .most = 1099511627776.0, .help = "Largest JSON body, inline pictures included; without a key 64 KiB."},
    {SETTING(in_http, KX_CLI_SERVE, "max-upload", "SIZE", KX_CLI_KIND_BYTES, max_upload_bytes), .least = 1024,
     .most = 1099511627776.0, .help = "Largest uploaded file."},
    {SETTING(in_http, KX_CLI_SERVE, "handler-threads", "N", KX_CLI_KIND_COUNT, handler_threads), .least = 1,
     .most = 256, .help = "Threads that answer requests. Waiting clients hold none."},

    {SETTING(in_requests, KX_CLI_SERVE, "sync-window", "TIME", KX_CLI_KIND_MILLISECONDS, sync_window_ms),
     .least = 1, .most = 90000, .help = "How long a submit in sync mode is held before it is told to poll."},
    {SETTING(in_requests, KX_CLI_SERVE, "max-wait", "TIME", KX_CLI_KIND_SECONDS, max_wait_s), .most = 3600,
     .help = "Longest ?wait= of a poll."},
    {SETTING(in_requests, KX_CLI_SERVE, "submits-per-minute", "N", KX_CLI_KIND_COUNT, submits_per_minute),
     .most = 1000000, .help = "Submits of one key that has no rate of its own; 0 is no limit."},
    {SETTING(in_requests, KX_CLI_SERVE, "concurrency", "N", KX_CLI_KIND_COUNT, concurrency), .least = 1,
     .most = 10000, .help = "Jobs of one key at a time that has no limit of its own; more wait."},
    {SETTING(in_requests, KX_CLI_SERVE, "max-queued", "N", KX_CLI_KIND_COUNT, max_queued), .least = 1,
     .most = 10000000, .help = "Waiting jobs in all; more are refused with 503."},
    {SETTING(in_requests, KX_CLI_SERVE, "job-deadline", "TIME", KX_CLI_KIND_LONG_SECONDS, job_deadline_s),
     .least = 1, .most = 31536000, .help = "A job that runs longer ends as timeout."},
    {SETTING(in_requests, KX_CLI_SERVE, "job-attempts", "N", KX_CLI_KIND_COUNT, job_attempts), .least = 1,
     .most = 100, .help = "How often a job is tried that meets a passing fault."},
    {in_requests, KX_CLI_SERVE, "cache", 0, "NAME[=T]", "off|first-block|teacache", KX_CLI_SETTING,
     KX_CLI_KIND_TEXT, "off", .read = kx_cli_read_cache, .field = FIELD(settings.cache), .help = cache_help},
    {SETTING(in_requests, KX_CLI_SERVE, "checkpoint-steps", "N", KX_CLI_KIND_COUNT, checkpoint_steps),
     .least = 1, .most = KX_LIMIT_STEPS_MAX,
     .help = "A checkpoint each so many steps: what a restart goes on from."},
    {SETTING(in_requests, KX_CLI_SERVE, "preview-steps", "N", KX_CLI_KIND_COUNT, preview_steps),
     .most = KX_LIMIT_STEPS_MAX, .help = "A preview picture each so many steps; 0 is none."},
    {SETTING(in_requests, KX_CLI_SERVE, "upload-quota", "SIZE", KX_CLI_KIND_BYTES, upload_quota_bytes),
     .least = 1024, .most = 1125899906842624.0, .help = "Stored uploads of one key in all."},
    {SETTING(in_requests, KX_CLI_SERVE, "retention", "TIME", KX_CLI_KIND_LONG_SECONDS, retention_s),
     .least = 60, .most = 3153600000.0, .help = "How long predictions, results and uploads are kept."},

    {SETTING(in_money, KX_CLI_SERVE, "initial-balance", "DOLLARS", KX_CLI_KIND_MONEY, initial_balance_micro),
     .most = 1e15, .help = "Balance of the key that the first start makes."},
    {SETTING(in_money, KX_CLI_SERVE, "price-multi", "DOLLARS", KX_CLI_KIND_MONEY, price_multi_micro),
     .most = 1e12, .help = "Price of a picture of flux-kontext-dev/multi."},
    {SETTING(in_money, KX_CLI_SERVE, "price-ultra-fast", "DOLLARS", KX_CLI_KIND_MONEY,
             price_ultra_fast_micro),
     .most = 1e12, .help = "Price of a picture of flux-kontext-dev/multi-ultra-fast."},
    {SETTING(in_money, KX_CLI_SERVE, "price-single", "DOLLARS", KX_CLI_KIND_MONEY, price_single_micro),
     .most = 1e12, .help = "Price of a picture of flux-kontext-dev."},

    {SETTING(in_outgoing, KX_CLI_SERVE, "fetch-allow", "NETWORKS", KX_CLI_KIND_TEXT, fetch_allow),
     .fallback = "none",
     .help = "Networks that may be reached although they are private, such as 127.0.0.0/8,::1."},
    {SETTING(in_outgoing, KX_CLI_SERVE, "fetch-max", "SIZE", KX_CLI_KIND_BYTES, fetch_max_bytes),
     .least = 1024, .most = 1099511627776.0, .help = "Largest picture that is fetched from a URL."},
    {SETTING(in_outgoing, KX_CLI_SERVE, "fetch-timeout", "TIME", KX_CLI_KIND_SECONDS, fetch_timeout_s),
     .least = 1, .most = 3600, .help = "How long one fetch may take, redirects included."},
    {SETTING(in_outgoing, KX_CLI_SERVE, "fetch-redirects", "N", KX_CLI_KIND_COUNT, fetch_redirects),
     .most = 20, .help = "Redirects that a fetch follows."},
    {SETTING(in_outgoing, KX_CLI_SERVE, "fetch-threads", "N", KX_CLI_KIND_COUNT, fetch_threads), .least = 1,
     .most = 64, .help = "Fetches at a time."},
    {in_outgoing, KX_CLI_SERVE, "webhook-backoff", 0, "SECONDS,...", NULL, KX_CLI_SETTING, KX_CLI_KIND_TEXT,
     .read = kx_cli_read_delays, .field = FIELD(settings.webhook_backoff), .least = 1, .most = 604800,
     .help = "Seconds before each further try of a webhook; their number is that of the retries."},
    {SETTING(in_outgoing, KX_CLI_SERVE, "webhook-timeout", "TIME", KX_CLI_KIND_SECONDS, webhook_timeout_s),
     .least = 1, .most = 3600, .help = "How long a webhook's receiver may take."},
    {SETTING(in_testing, KX_CLI_SERVE, "test-clock", "FILE", KX_CLI_KIND_TEXT, test_clock),
     .fallback = "none", .completion = KX_CLI_COMPLETE_FILE,
     .help = "Seconds by which wall time is moved, read from a file whenever it changes. For tests only."},

    /* ---- Keys ---- */
    {in_key, KX_CLI_KEY_CREATE, "role", 0, "ROLE", "read|submit|admin", .read = kx_cli_read_choice,
     .field = FIELD(role), .fallback = "submit",
     .help = "What the key may do: read its own results; submit also makes new ones; admin also makes and "
             "changes keys and reads the metrics."},
    {in_key, KX_CLI_KEY_CREATE, "balance", 0, "DOLLARS", .kind = KX_CLI_KIND_MONEY,
     .read = kx_cli_read_setting, .field = FIELD(balance_micro), .most = 1e15, .fallback = "0",
     .help = "What the key can spend."},
    {in_key, KX_CLI_KEY_CREATE | KX_CLI_KEY_LIMITS, "concurrency", 0, "N", .kind = KX_CLI_KIND_COUNT,
     .read = kx_cli_read_setting, .field = FIELD(key_concurrency), .most = 10000,
     .fallback = "0, the server's", .help = "Jobs of the key at a time."},
    {in_key, KX_CLI_KEY_CREATE | KX_CLI_KEY_LIMITS, "submits-per-minute", 0, "N", .kind = KX_CLI_KIND_COUNT,
     .read = kx_cli_read_setting, .field = FIELD(key_submits_per_minute), .most = 1000000,
     .fallback = "0, the server's", .help = "Submits of the key in a minute."},
    {in_key, KX_CLI_KEY_CREATE, "value", 0, "TEXT", .read = kx_cli_read_path, .field = FIELD(key_value),
     .fallback = "random",
     .help = "Take this value instead of a random one; - reads it from standard input. For moving a key from "
             "elsewhere."},

    /* ---- Messages ---- */
    {in_messages,
     KX_CLI_EDIT | KX_CLI_INFO | KX_CLI_VERIFY | KX_CLI_PLAN | KX_CLI_SYNTH | KX_CLI_BENCH | KX_CLI_CONVERT |
         WITH_DATA,
     "json", 0, .read = kx_cli_read_flag, .field = FIELD(json),
     .help = "One JSON object on standard output instead of words; also for an error."},
    {in_messages, WITH_PROGRESS, "progress", 0, "MODE", "auto|bar|json|none", .read = kx_cli_read_choice,
     .field = FIELD(progress), .fallback = "auto, a bar on a terminal",
     .help = "How to tell progress on standard error: a bar, or one JSON object a line."},
    {in_messages, WITH_WORK | WITH_DATA, "quiet", 'q', .read = kx_cli_read_flag, .field = FIELD(quiet),
     .help = "Only errors."},
    {in_messages, WITH_WORK, "verbose", 'v', .read = kx_cli_read_count, .field = FIELD(verbose),
     .repeatable = true, .help = "More words about what is done."},
    {in_messages, KX_CLI_EVERY, "help", 'h', .read = kx_cli_read_flag, .field = FIELD(help),
     .help = "This text."},
    {in_messages, KX_CLI_ROOT, "version", 0, .read = kx_cli_read_flag, .field = FIELD(version),
     .help = "The version."},
};
const size_t kx_cli_num_options = COUNT(kx_cli_options);
_Static_assert(COUNT(kx_cli_options) <= KX_CLI_OPTIONS_MAX,
               "kx_cli_arguments.given has a place for each option");
