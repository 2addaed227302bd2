/* kontext: instruction-based image editing with FLUX.1 Kontext [dev], from C.
 *
 *     #include <kontext/kontext.h>
 *     #include <stdio.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         if (argc != 5) return 2;   // MODEL REFERENCE PROMPT OUTPUT
 *         kx_error err = {0};
 *         kx_model *model = NULL;
 *         kx_result *result = NULL;
 *         kx_model_options options = kx_model_options_default();
 *         options.path = argv[1];
 *         kx_edit_request request = kx_edit_request_default();
 *         request.prompt = argv[3];
 *         request.references[0].path = argv[2];
 *         request.num_references = 1;
 *         request.seed = 42;
 *         if (kx_model_open(&model, &options, &err) == KX_OK &&
 *             kx_edit_run(model, &request, NULL, &result, &err) == KX_OK &&
 *             kx_picture_save(&result->images[0].picture, argv[4], NULL, &err) == KX_OK)
 *             printf("%dx%d written\n", result->images[0].picture.width_px, result->images[0].picture.height_px);
 *         else
 *             fprintf(stderr, "%s\n", err.message);
 *         kx_result_free(result);
 *         kx_model_close(model);
 *         return kx_status_exit(err.status);
 *     }
 *
 * (That program is compiled and run by the tests.)
 *
 * Ownership: what a function returns through a pointer belongs to the caller and is freed by the function named
 * beside it; free functions accept NULL. Borrowed strings and pixels in options and requests must live until the
 * call that takes them returns.
 *
 * Threads: a kx_model may be used by one thread at a time; it runs its own compute threads. Jobs on one model run
 * one after another. A job is cancelled from any thread through kx_callbacks.cancelled, which the library polls at
 * every transformer block, VAE layer and step. Different models are independent. Nothing is global.
 *
 * Errors: every call that can fail returns a kx_status and, where `err` is not NULL, fills it with one sentence.
 * A kx_error must start as zero; a used one is reset by assigning (kx_error){0}.
 */
#ifndef KONTEXT_KONTEXT_H
#define KONTEXT_KONTEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KX_API __attribute__((visibility("default")))
#else
#define KX_API
#endif

#define KX_VERSION "0.1.0"

/* ---- Status -------------------------------------------------------------------------------------------- */

/* id, value, name, exit status, HTTP status, retryable, sentence */
#define KX_STATUS_LIST(X)                                                                                    \
    X(KX_OK, 0, "ok", 0, 200, 0, "done")                                                                     \
    X(KX_ERR_USAGE, 1, "usage", 2, 400, 0, "wrong use")                                                      \
    X(KX_ERR_INPUT, 2, "input", 3, 400, 0, "bad input")                                                      \
    X(KX_ERR_MODEL, 3, "model", 4, 500, 0, "the model is missing or broken")                                 \
    X(KX_ERR_MEMORY, 4, "memory", 5, 503, 1, "out of memory, or over the plan")                              \
    X(KX_ERR_OUTPUT, 5, "output", 6, 500, 1, "the output cannot be written")                                 \
    X(KX_ERR_CANCELLED, 6, "cancelled", 130, 499, 0, "cancelled")                                            \
    X(KX_ERR_INTERNAL, 7, "internal", 1, 500, 0, "an error of the program itself")

typedef enum kx_status {
#define KX_STATUS_ENUM(id, value, name, exit_status, http_status, retryable, sentence) id = value,
    KX_STATUS_LIST(KX_STATUS_ENUM)
#undef KX_STATUS_ENUM
} kx_status;

typedef struct kx_error {
    kx_status status;
    char message[1024]; /* one sentence, UTF-8 */
    const char *file;   /* where in the library's source */
    int line;
} kx_error;

KX_API const char *kx_status_name(kx_status status);
KX_API const char *kx_status_sentence(kx_status status);
KX_API int kx_status_exit(kx_status status);
KX_API int kx_status_http(kx_status status);
KX_API int kx_status_retryable(kx_status status);

/* The version of the library that runs, such as "0.1.0". */
KX_API const char *kx_version(void);

/* ---- Pictures ------------------------------------------------------------------------------------------ */

/* 8-bit sRGB, rows top to bottom, three bytes R G B a pixel, no padding: rgb[3*(y*width_px + x) + channel]. */
typedef struct kx_picture {
    int width_px;
    int height_px;
    uint8_t *rgb;
} kx_picture;

typedef enum kx_picture_format {
    KX_FORMAT_AUTO = 0, /* by the file name's suffix */
    KX_FORMAT_PNG,
    KX_FORMAT_JPEG,
    KX_FORMAT_WEBP,
} kx_picture_format;

typedef struct kx_text_entry {
    const char *key; /* Latin letters, 1-79 bytes */
    const char *value; /* UTF-8 */
} kx_text_entry;

typedef struct kx_save_options {
    kx_picture_format format;
    int quality;                   /* 1-100, JPEG and lossy WebP; 0 = 95 for JPEG, lossless for WebP. JPEG is 4:4:4 from 90 */
    const kx_text_entry *metadata; /* prompt, seed, model, ...: PNG iTXt, or XMP in JPEG and WebP */
    size_t num_metadata;
} kx_save_options;

/* Reads JPEG, PNG, WebP, GIF (first frame), BMP or TIFF: orientation applied, embedded profile converted to sRGB,
 * alpha blended over white. Free with kx_picture_free. Errors: KX_ERR_INPUT, KX_ERR_MEMORY. */
KX_API kx_status kx_picture_load(kx_picture *picture, const char *path, kx_error *err);
KX_API kx_status kx_picture_decode(kx_picture *picture, const void *data, size_t bytes, kx_error *err);
/* Writes complete or not at all. `options` may be NULL. Errors: KX_ERR_INPUT (unknown suffix), KX_ERR_OUTPUT. */
KX_API kx_status kx_picture_save(const kx_picture *picture, const char *path, const kx_save_options *options,
                                 kx_error *err);
/* Encodes into *data (free with kx_free). options->format must be named. */
KX_API kx_status kx_picture_encode(const kx_picture *picture, const kx_save_options *options, uint8_t **data,
                                   size_t *bytes, kx_error *err);
KX_API void kx_picture_free(kx_picture *picture);
KX_API void kx_free(void *memory);

/* ---- Models -------------------------------------------------------------------------------------------- */

typedef struct kx_model kx_model;

/* How products and attention are computed. F32 is the definition. INT8: weights and activations of 8 bits with scales
 * for each group of 512 values, exact integer sums. BF16: both rounded to bfloat16, sums in f32. AUTO: what a packed
 * model was packed for, else F32. */
typedef enum kx_precision {
    KX_PRECISION_AUTO = 0,
    KX_PRECISION_F32,
    KX_PRECISION_BF16,
    KX_PRECISION_INT8,
} kx_precision;
KX_API const char *kx_precision_name(kx_precision precision); /* "auto", "f32", "bf16", "int8" */

#define KX_CACHE_BYTES ((uint64_t)64 << 20)

typedef struct kx_model_options {
    const char *path;       /* a model folder */
    const char *tokenizers; /* folder with tokenizer/ and tokenizer_2/ when the model has none; NULL */
    kx_precision precision;
    const char *cpu;        /* kernel set to stay within: NULL or "auto", "portable", "avx2", "neon", ... */
    unsigned threads;       /* 0 = one for each processor that the process may use: affinity, control group */
    uint64_t cache_bytes;   /* text embeddings and reference latents are kept up to so much memory, for later edits with
                               the same prompt or pictures; 0 = none, the default is KX_CACHE_BYTES */
    void (*warn)(void *user, const char *sentence); /* may be NULL */
    void *user;
} kx_model_options;

KX_API kx_model_options kx_model_options_default(void);
/* Maps the files, checks every name, shape and type; of the weights only vectors are read (biases, norms). Errors:
 * KX_ERR_MODEL, KX_ERR_MEMORY, KX_ERR_INPUT. */
KX_API kx_status kx_model_open(kx_model **model, const kx_model_options *options, kx_error *err);
KX_API void kx_model_close(kx_model *model);

/* What kx_model_open found, as one JSON object (free with kx_free): name, licence, kernel set, threads, limits, and
 * for each part its files, layout, dtypes, tensors, parameters, bytes and sizes. */
KX_API kx_status kx_model_describe(kx_model *model, char **json, kx_error *err);

/* Progress and cancel of long calls. `stage` is one word: "verify", "pack", "text", "encode", "denoise", "decode", "write".
 * done counts to total within a stage; during "denoise" these are steps, during "verify", "pack" and "write" bytes. */
typedef struct kx_progress {
    const char *stage;
    uint64_t done;
    uint64_t total;
    unsigned image;      /* picture in work, from 0 */
    unsigned num_images;
    double seconds;      /* since this stage began */
    uint64_t reused;     /* of the steps done of this picture: how many the step cache answered */
} kx_progress;

typedef struct kx_callbacks {
    void (*progress)(void *user, const kx_progress *progress); /* on the calling thread; may be NULL */
    int (*cancelled)(void *user);                              /* non-zero ends the call with KX_ERR_CANCELLED; may be NULL */
    void *user;
    /* During an edit, as often as the request's preview_steps and checkpoint_steps say; on the calling thread; may be
     * NULL. A preview is the model's present idea of the picture in work after `step` of its steps, at most about 256
     * pixels a side. A checkpoint is all that kx_edit_request.resume needs. Picture and bytes are borrowed for the call. */
    void (*preview)(void *user, const kx_picture *picture, unsigned image, unsigned step);
    void (*checkpoint)(void *user, const void *data, size_t bytes);
} kx_callbacks;

/* Reads every tensor and checks it for NaN and infinity, and against its checksum where the file has them (files of
 * kx_model_convert). The first bad one is KX_ERR_MODEL and is named. */
KX_API kx_status kx_model_verify(kx_model *model, const kx_callbacks *callbacks, kx_error *err);

/* Writes the model of `options` (whose precision does not count) packed for BF16 or INT8 to the new folder `folder`:
 * complete or not at all. It is used in place, without any preparation. Progress stage "write", in bytes. Errors: KX_ERR_INPUT
 * (another precision; the model is packed already), KX_ERR_MODEL, KX_ERR_OUTPUT (also when `folder` holds something or
 * the disk has not enough room: nothing is written then), KX_ERR_CANCELLED. */
KX_API kx_status kx_model_convert(const kx_model_options *options, const char *folder, kx_precision precision,
                                  const kx_callbacks *callbacks, kx_error *err);

typedef enum kx_synth_preset { KX_SYNTH_TINY = 0, KX_SYNTH_SLICE, KX_SYNTH_FULL } kx_synth_preset;

/* Writes a model with random weights, equal for equal preset and seed. Errors: KX_ERR_OUTPUT (also when the disk
 * has not enough room: nothing is written then), KX_ERR_CANCELLED. */
KX_API kx_status kx_model_synth(const char *folder, kx_synth_preset preset, uint64_t seed,
                                const kx_callbacks *callbacks, kx_error *err);
/* The same model, packed for BF16 or INT8: what kx_model_convert would make of it, without writing it first. */
KX_API kx_status kx_model_synth_packed(const char *folder, kx_synth_preset preset, uint64_t seed,
                                       kx_precision precision, const kx_callbacks *callbacks, kx_error *err);

/* ---- Edits --------------------------------------------------------------------------------------------- */

#define KX_MAX_REFERENCES 4

/* One of: a file, encoded bytes, or pixels. */
typedef struct kx_reference {
    const char *path;
    const void *data;
    size_t bytes;
    const kx_picture *picture;
} kx_reference;

typedef enum kx_reference_scheme { /* how several references share the position space */
    KX_REFERENCES_OFFSET = 0,
    KX_REFERENCES_INDEX,
    KX_REFERENCES_STITCH,
} kx_reference_scheme;

typedef enum kx_ref_size {
    KX_REF_SIZE_PREFERRED = 0, /* the nearest preferred size of the model */
    KX_REF_SIZE_NATIVE,        /* its own, cropped right and bottom to multiples of 16 */
    KX_REF_SIZE_GIVEN,         /* ref_width_px x ref_height_px */
} kx_ref_size;

typedef enum kx_noise_stream {
    KX_NOISE_TORCH_F32 = 0,
    KX_NOISE_TORCH_BF16,
    KX_NOISE_TORCH_BF16_OLD,
} kx_noise_stream;

/* Step caches: a step whose input has hardly changed is answered from the last whole step. Faster and no longer exact;
 * the threshold says how much change is let pass. */
typedef enum kx_cache_kind {
    KX_CACHE_OFF = 0,
    KX_CACHE_FIRST_BLOCK, /* runs the first block and looks at what it adds */
    KX_CACHE_TEACACHE,    /* runs no block: looks at the input and estimates what would come */
} kx_cache_kind;

/* "off", "first-block", "teacache", "first-block=0.08": the last is a threshold, else *threshold is -1, the default.
 * Errors: KX_ERR_INPUT. */
KX_API kx_status kx_cache_parse(const char *text, kx_cache_kind *kind, double *threshold, kx_error *err);
/* "off", "first-block", "teacache". */
KX_API const char *kx_cache_name(kx_cache_kind kind);

#define KX_SEED_RANDOM (-1)

typedef enum kx_profile_mode { /* whether an edit measures its operations; results are the same bytes in every mode */
    KX_PROFILE_OFF = 0,
    KX_PROFILE_ROWS,   /* a table: result->profile */
    KX_PROFILE_EVENTS, /* also each call by itself, for kx_profile_save; up to 20 MiB beside the memory plan */
} kx_profile_mode;

typedef struct kx_edit_request {
    const char *prompt; /* UTF-8, at least one byte */
    kx_reference references[KX_MAX_REFERENCES];
    size_t num_references;
    int width_px, height_px;       /* output, 16-2048 each; 0, 0 = working size of the first reference (without ref_pixels) */
    double aspect_w, aspect_h;     /* output aspect at the native area; 0, 0 = none */
    int steps;                     /* 1-1000; 0 = the model's default */
    double guidance;               /* 0-100; negative = the model's default */
    int seed_is_random;            /* draw a seed; it is in the result */
    uint64_t seed;
    unsigned num_images;           /* 1-64; image k uses seed + k */
    kx_reference_scheme scheme;
    kx_ref_size ref_size;
    int ref_width_px, ref_height_px;
    uint64_t ref_pixels;           /* budget for all references together; 0 = none */
    kx_cache_kind cache;
    double cache_threshold;        /* 0-10; 0 reuses nothing; negative = the default of the kind */
    kx_noise_stream noise_stream;
    const char *noise_file;        /* safetensors file with tensor `noise` [16,h,w] f32; NULL */
    const char *dump_file;         /* writes every stage's tensors there; NULL */
    int dump_blocks;               /* also the state after each block of the first step */
    uint64_t memory_limit_bytes;   /* a plan over it is refused; 0 = what the machine has free */
    int preview_steps;             /* callbacks.preview after each so many steps of an image; 0 = never */
    int checkpoint_steps;          /* callbacks.checkpoint after each so many steps of all images together, and after the
                                      last one; 0 = never */
    const void *resume;            /* a checkpoint of the same request, model, precision, kernel set and version: the edit
                                      goes on after its step and ends with the same bytes. Another's is KX_ERR_INPUT;
                                      NULL = from the start. A seed that is to be drawn is the checkpoint's */
    size_t resume_bytes;
    kx_profile_mode profile;
} kx_edit_request;

KX_API kx_edit_request kx_edit_request_default(void);

typedef struct kx_size {
    int width_px;
    int height_px;
} kx_size;

typedef struct kx_reference_mapping {
    kx_size source;   /* after orientation */
    kx_size cropped;  /* the part of it that is used, from the top left corner */
    kx_size working;  /* as the model sees it */
    double scale_x, scale_y; /* working / cropped */
    int offset_x_tokens, offset_y_tokens, index; /* its place in the position space */
} kx_reference_mapping;

typedef struct kx_timings { /* seconds */
    double load; /* until the first stage begins: decoding references, noise, tokens, and packing the weights where the
                    precision needs it and the model has not been packed yet */
    double text, encode, denoise, decode, total;
} kx_timings;

/* The calls of one operation on operands of one shape within a stage. */
typedef struct kx_profile_row {
    const char *stage;     /* "text", "encode", "denoise", "decode" */
    const char *operation; /* kind, type of the arithmetic, shape and what is fused: "linear f32 2560x3072x12288 gelu".
                              Shapes: linear rows x inputs x outputs; attention heads x queries x keys x head size;
                              convolution height x width x channels in x out; others rows x columns */
    uint64_t calls;
    double seconds;        /* of all calls, on the clock */
    uint64_t flops;        /* arithmetic operations, multiply and add count as two; 0: not counted */
    uint64_t bytes;        /* operands read and results written, once a call */
} kx_profile_row;

typedef struct kx_profile {
    const kx_profile_row *rows; /* the longest first */
    size_t num_rows;
    double seconds;             /* of all rows. What is missing to the edit's is not in an operation: decoding and
                                   resizing references, position tables, the caller's callbacks */
    uint64_t lost;              /* calls that are in no row, or not in the trace, which holds half a million */
} kx_profile;

typedef struct kx_result_image {
    kx_picture picture;
    uint64_t seed;
} kx_result_image;

typedef struct kx_result {
    kx_result_image *images;
    size_t num_images;
    kx_size requested; /* 0, 0 when nothing was requested */
    kx_size working;   /* multiples of 16 */
    kx_size final;
    kx_reference_mapping references[KX_MAX_REFERENCES]; /* with stitch: the place on the canvas is in offset_*_tokens' pixels / 16 */
    size_t num_references;
    unsigned clip_tokens, clip_tokens_cut; /* with start and end; how many of the prompt were cut off */
    unsigned t5_tokens, t5_tokens_cut;
    int steps;
    double guidance;
    kx_cache_kind cache;
    double cache_threshold;
    int text_was_kept;        /* the text's embeddings were those of an earlier edit (kx_model_options.cache_bytes) */
    unsigned references_kept; /* and so many references' latents */
    uint64_t steps_reused; /* of steps x images: how many the step cache answered */
    kx_timings seconds;
    uint64_t plan_bytes;           /* what the memory plan promised */
    uint64_t peak_anonymous_bytes; /* what was seen */
    kx_profile *profile;           /* NULL unless the request asks for it; lives as long as the result */
} kx_result;

/* Runs the edit. callbacks may be NULL. Free the result with kx_result_free.
 * Errors: KX_ERR_INPUT, KX_ERR_MODEL (non-finite values, naming the stage), KX_ERR_MEMORY (the plan does not fit),
 * KX_ERR_OUTPUT (dump), KX_ERR_CANCELLED. */
KX_API kx_status kx_edit_run(kx_model *model, const kx_edit_request *request, const kx_callbacks *callbacks,
                             kx_result **result, kx_error *err);
KX_API void kx_result_free(kx_result *result);

/* Writes every call, within its stage, step and block, as a Chrome trace (JSON; for Perfetto or chrome://tracing).
 * Needs KX_PROFILE_EVENTS. Complete or not at all. Errors: KX_ERR_USAGE (no events were kept), KX_ERR_OUTPUT. */
KX_API kx_status kx_profile_save(const kx_profile *profile, const char *path, kx_error *err);

typedef struct kx_plan_buffer {
    const char *stage;  /* "model", "text", "encode", "denoise", "decode" */
    const char *name;
    uint64_t bytes;
} kx_plan_buffer;

typedef struct kx_plan {
    kx_plan_buffer *buffers;
    size_t num_buffers;
    uint64_t peak_bytes;      /* anonymous memory at the worst moment */
    const char *peak_stage;
    uint64_t mapped_bytes;    /* weights read through the page cache; can be dropped by the system at any time */
    uint64_t available_bytes; /* of the machine, now */
    int fits;
    kx_size working;
    uint64_t text_tokens, target_tokens, reference_tokens;
    double tflop_per_step;
} kx_plan;

/* The memory of an edit before it is run. References may be given as sizes only (a kx_picture with rgb NULL). */
KX_API kx_status kx_edit_plan(kx_model *model, const kx_edit_request *request, kx_plan **plan, kx_error *err);
KX_API void kx_plan_free(kx_plan *plan);

/* ---- Measurements -------------------------------------------------------------------------------------- */

typedef struct kx_bench_options {
    const char *suite; /* NULL = all that do not take minutes, else those whose name contains it */
    const char *cpu;   /* as in kx_model_options */
    unsigned threads;
    kx_precision precision; /* AUTO = each in turn; of a packed model, the one that it is packed for */
    const char *model; /* a model folder: its transformer, T5 and autoencoder are timed, and how long it takes to
                          open. NULL = 2 double and 4 single blocks and 2 layers of T5 of true width, random */
    int tiny;          /* small shapes: shows that all runs, not how fast */
} kx_bench_options;

typedef struct kx_bench_row {
    const char *name;       /* "matmul 2560x3072x12288 f32" */
    const char *precision;  /* of the arithmetic: "f32", "bf16", "int8" */
    double seconds;         /* best of the rounds */
    double gflops;          /* 10^9 operations a second; 0 where it has no meaning */
    double peak_share;      /* of what a loop that stays in registers reaches between the rounds; 0 unknown */
    uint64_t scratch_bytes; /* working memory; 0 unknown */
} kx_bench_row;

KX_API kx_bench_options kx_bench_options_default(void);
/* Times operations, blocks and steps, calling `row` for each; its strings live as long as the call. Errors:
 * KX_ERR_INPUT (cpu), KX_ERR_MODEL, KX_ERR_MEMORY, KX_ERR_CANCELLED. */
KX_API kx_status kx_bench_run(const kx_bench_options *options, void (*row)(void *user, const kx_bench_row *row),
                              void *user, const kx_callbacks *callbacks, kx_error *err);

#ifdef __cplusplus
}
#endif

#endif
