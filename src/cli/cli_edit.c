/* kontext edit. In this order, so that a mistake is told before it costs anything: what options mean
 * together, the prompt, the names of the results, whether they can be written, the model, and only then the
 * work. */
#include "base/file.h"
#include "base/limits.h"
#include "cli/cli_commands.h"
#include "cli/cli_output.h"
#include "cli/cli_profile.h"
#include "cli/cli_progress.h"
#include "cli/cli_report.h"
#include "cli/cli_request.h"
#include "cli/cli_show.h"
#include "cli/cli_values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef struct edit_job {
    const kx_cli_arguments *arguments;
    kx_cli_outputs outputs;
    kx_bytes prompt_bytes; /* of --prompt-file */
    const char *prompt;
    kx_model *model;
    char *description; /* of the model, JSON */
    json_t *described;
    kx_edit_request request;
    kx_result *result;
    double write_seconds;
} edit_job;

static kx_status check_options(const kx_cli_arguments *a, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(a->prompt == NULL && a->prompt_file == NULL, err, KX_ERR_USAGE,
               "a prompt is missing, give it with -p or --prompt-file");
    KX_FAIL_IF(a->prompt != NULL && a->prompt_file != NULL, err, KX_ERR_USAGE,
               "--prompt and --prompt-file exclude each other");
    KX_FAIL_IF(a->output == NULL, err, KX_ERR_USAGE, "an output is missing, give it with -o");
    bool to_stdout = strcmp(a->output, "-") == 0;
    KX_FAIL_IF(to_stdout && a->json, err, KX_ERR_USAGE, "--output - and --json both need standard output");
    KX_FAIL_IF(to_stdout && a->show, err, KX_ERR_USAGE, "--output - and --show both need standard output");
    KX_FAIL_IF(a->json && a->show, err, KX_ERR_USAGE, "--json and --show both need standard output");
    KX_FAIL_IF(to_stdout && a->copies > 1, err, KX_ERR_USAGE,
               "--output: standard output takes one result, --num-images is %u", a->copies);
    KX_FAIL_IF(a->dump != NULL && a->copies > 1, err, KX_ERR_USAGE,
               "--dump goes with one result, --num-images is %u", a->copies);
    KX_FAIL_IF(a->noise != NULL && a->copies > 1, err, KX_ERR_USAGE,
               "--noise goes with one result, --num-images is %u", a->copies);
out:
    return status;
}

/* ---- Input ---- */

static const char *path_or_stdin(const char *path)
{
    return strcmp(path, "-") == 0 ? "/dev/stdin" : path;
}

static kx_status read_prompt_file(edit_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    kx_bytes *bytes = &job->prompt_bytes;
    bytes->cap = KX_LIMIT_PROMPT_BYTES + 2;
    KX_TRY(kx_file_read(path_or_stdin(job->arguments->prompt_file), bytes, KX_ERR_INPUT, err));
    if (bytes->size > 0 && bytes->data[bytes->size - 1] == '\n') bytes->size--;
    if (bytes->size > 0 && bytes->data[bytes->size - 1] == '\r') bytes->size--;
    KX_FAIL_IF(bytes->size > 0 && memchr(bytes->data, '\0', bytes->size) != NULL, err, KX_ERR_INPUT,
               "%s: the prompt has a zero byte, UTF-8 text is expected", job->arguments->prompt_file);
    KX_TRY(kx_bytes_append(bytes, "", 1, err));
    job->prompt = (const char *)bytes->data;
out:
    return status;
}

static kx_status take_prompt(edit_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    job->prompt = job->arguments->prompt;
    if (job->prompt == NULL) KX_TRY(read_prompt_file(job, err));
    size_t bytes = strlen(job->prompt);
    KX_FAIL_IF(bytes == 0, err, KX_ERR_INPUT, "--prompt: the prompt is empty, at least one byte is expected");
    KX_FAIL_IF(bytes > KX_LIMIT_PROMPT_BYTES, err, KX_ERR_INPUT,
               "--prompt: the prompt is %zu bytes, the limit is %u", bytes, KX_LIMIT_PROMPT_BYTES);
    KX_FAIL_IF(!kx_cli_is_utf8(job->prompt, bytes), err, KX_ERR_INPUT, "--prompt: the prompt is not UTF-8");
out:
    return status;
}

static kx_status fill_request(edit_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_cli_arguments *a = job->arguments;
    kx_edit_request *request = &job->request;
    KX_TRY(kx_cli_fill_request(request, a, err));
    request->prompt = job->prompt;
    for (size_t i = 0; i < a->num_images; i++) request->references[i].path = path_or_stdin(a->images[i]);
    request->num_references = a->num_images;
    kx_cli_limit_references(request, a);
    request->seed_is_random = a->seed_is_random;
    request->seed = a->seed;
    request->noise_stream = (kx_noise_stream)a->noise_stream;
    request->noise_file = a->noise;
    request->dump_file = a->dump;
    request->dump_blocks = a->verbose >= 2;
    if (a->profile) request->profile = a->profile_file != NULL ? KX_PROFILE_EVENTS : KX_PROFILE_ROWS;
out:
    return status;
}

/* ---- Results ---- */

static const char *described_text(const edit_job *job, const char *key)
{
    const char *text = json_string_value(json_object_get(job->described, key));
    return text != NULL ? text : "";
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static kx_status write_image(edit_job *job, size_t index, kx_error *err)
{
    const kx_result *result = job->result;
    const kx_result_image *image = &result->images[index];
    char seed[32], steps[16], guidance[32], size[32], references[16], cache[48] = "";
    snprintf(seed, sizeof seed, "%" PRIu64, image->seed);
    snprintf(steps, sizeof steps, "%d", result->steps);
    snprintf(guidance, sizeof guidance, "%g", result->guidance);
    snprintf(size, sizeof size, "%dx%d", image->picture.width_px, image->picture.height_px);
    snprintf(references, sizeof references, "%zu", result->num_references);
    bool caches = result->cache != KX_CACHE_OFF;
    if (caches) snprintf(cache, sizeof cache, "%s=%g", kx_cache_name(result->cache), result->cache_threshold);
    const kx_text_entry metadata[] = {
        {"prompt", job->prompt},
        {"seed", seed},
        {"steps", steps},
        {"guidance", guidance},
        {"size", size},
        {"references", references},
        {"model", described_text(job, "name")},
        {"Software", "kontext " KX_VERSION},
        {"cache", cache}, /* the last: left out where there is none */
    };
    kx_save_options options = {.quality = job->arguments->quality,
                               .metadata = metadata,
                               .num_metadata = sizeof metadata / sizeof metadata[0] - !caches};
    if (job->arguments->no_metadata) options.num_metadata = 0;
    return kx_cli_outputs_write(&job->outputs, index, &image->picture, &options, err);
}

static kx_status write_images(edit_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    double began = now_seconds();
    KX_FAIL_IF(job->result->num_images != job->outputs.count, err, KX_ERR_INTERNAL,
               "%zu results were made, %zu were asked for", job->result->num_images, job->outputs.count);
    for (size_t i = 0; i < job->outputs.count; i++) KX_TRY(write_image(job, i, err));
    job->write_seconds = now_seconds() - began;
out:
    return status;
}

static json_t *json_of_mapping(const edit_job *job, size_t index)
{
    const kx_reference_mapping *m = &job->result->references[index];
    return json_pack("{s:o,s:o,s:o,s:o,s:{s:f,s:f},s:{s:i,s:i},s:i}", "file",
                     kx_cli_json_text(job->arguments->images[index]), "source", kx_cli_json_size(m->source),
                     "cropped", kx_cli_json_size(m->cropped), "working", kx_cli_json_size(m->working),
                     "scale", "x", m->scale_x, "y", m->scale_y, "offset_tokens", "x", m->offset_x_tokens, "y",
                     m->offset_y_tokens, "index", m->index);
}

static uint64_t peak_resident_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static json_t *json_of_sizes(const kx_result *result)
{
    bool requested = result->requested.width_px > 0;
    return json_pack("{s:o,s:o,s:o}", "requested",
                     requested ? kx_cli_json_size(result->requested) : json_null(), "working",
                     kx_cli_json_size(result->working), "final", kx_cli_json_size(result->final));
}

static json_t *json_of_seconds(const edit_job *job)
{
    const kx_timings *t = &job->result->seconds;
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "load", t->load, "text", t->text, "encode", t->encode,
                     "denoise", t->denoise, "decode", t->decode, "write", job->write_seconds, "total",
                     t->total + job->write_seconds);
}

static json_t *json_of_cache(const kx_result *result)
{
    return json_pack("{s:s,s:f,s:I,s:I}", "name", kx_cache_name(result->cache), "threshold",
                     result->cache_threshold, "steps_reused", (json_int_t)result->steps_reused, "steps",
                     (json_int_t)((uint64_t)result->steps * result->num_images));
}

static json_t *json_of_result(const edit_job *job)
{
    const kx_result *result = job->result;
    json_t *files = json_array(), *seeds = json_array(), *references = json_array();
    for (size_t i = 0; i < result->num_images; i++) {
        json_array_append_new(files, kx_cli_json_text(job->outputs.names[i]));
        json_array_append_new(seeds, kx_cli_json_seed(result->images[i].seed));
    }
    for (size_t i = 0; i < result->num_references; i++)
        json_array_append_new(references, json_of_mapping(job, i));
    json_t *object = json_pack(
        "{s:o,s:o,s:o,s:s,s:s,s:s,s:I,s:o,s:i,s:f,s:o,s:{s:i,s:i,s:i,s:i},s:o,s:{s:I,s:I,s:I}}", "files",
        files, "seeds", seeds, "sizes", json_of_sizes(result), "model", described_text(job, "name"),
        "precision", described_text(job, "precision"), "kernels", described_text(job, "kernels"), "threads",
        json_integer_value(json_object_get(job->described, "threads")), "references", references, "steps",
        result->steps, "guidance", result->guidance, "cache", json_of_cache(result), "tokens", "clip",
        (int)result->clip_tokens, "clip_cut", (int)result->clip_tokens_cut, "t5", (int)result->t5_tokens,
        "t5_cut", (int)result->t5_tokens_cut, "seconds", json_of_seconds(job), "memory", "plan_bytes",
        (json_int_t)result->plan_bytes, "peak_anonymous_bytes", (json_int_t)result->peak_anonymous_bytes,
        "peak_resident_bytes", (json_int_t)peak_resident_bytes());
    if (job->arguments->profile)
        json_object_set_new(object, "profile", kx_cli_json_profile(result, job->write_seconds));
    return object;
}

/* With -v: how the references were used, the tokens, the time of each stage and the memory. */
static void tell_details(const edit_job *job)
{
    const kx_result *result = job->result;
    const kx_timings *t = &result->seconds;
    char plan[32], peak[32];
    for (size_t i = 0; i < result->num_references; i++) {
        const kx_reference_mapping *m = &result->references[i];
        fprintf(stderr, "reference %zu: %dx%d, used %dx%d at %dx%d, position (%d, %d, %d)\n", i + 1,
                m->source.width_px, m->source.height_px, m->cropped.width_px, m->cropped.height_px,
                m->working.width_px, m->working.height_px, m->index, m->offset_y_tokens, m->offset_x_tokens);
    }
    fprintf(stderr, "prompt: %u tokens for CLIP, %u for T5\n", result->clip_tokens, result->t5_tokens);
    fprintf(stderr, "working size %dx%d, steps %d, guidance %g\n", result->working.width_px,
            result->working.height_px, result->steps, result->guidance);
    if (result->cache != KX_CACHE_OFF)
        fprintf(stderr, "cache: %s=%g\n", kx_cache_name(result->cache), result->cache_threshold);
    fprintf(stderr, "seconds: load %.2f, text %.2f, encode %.2f, denoise %.2f, decode %.2f, write %.2f\n",
            t->load, t->text, t->encode, t->denoise, t->decode, job->write_seconds);
    fprintf(stderr, "memory: %s planned, %s seen\n", kx_cli_format_bytes(result->plan_bytes, plan),
            kx_cli_format_bytes(result->peak_anonymous_bytes, peak));
}

static void tell_result(const edit_job *job)
{
    const kx_result *result = job->result;
    FILE *stream = job->outputs.to_stdout ? stderr : stdout;
    char seconds[32], reused[64] = "";
    kx_cli_format_duration(result->seconds.total + job->write_seconds, seconds);
    if (result->cache != KX_CACHE_OFF)
        snprintf(reused, sizeof reused, ", %" PRIu64 " of %zu steps from the cache", result->steps_reused,
                 (size_t)result->steps * result->num_images);
    for (size_t i = 0; i < result->num_images; i++) {
        char name[1024];
        kx_cli_clean_text(job->outputs.to_stdout ? "standard output" : job->outputs.names[i], name,
                          sizeof name);
        bool last = i + 1 == result->num_images;
        fprintf(stream, "%s: %dx%d, seed %" PRIu64 "%s%s%s\n", name, result->images[i].picture.width_px,
                result->images[i].picture.height_px, result->images[i].seed, last ? ", " : "",
                last ? seconds : "", last ? reused : "");
    }
}

static kx_status tell(const edit_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_cli_arguments *a = job->arguments;
    if (a->verbose > 0 && !a->quiet) tell_details(job);
    if (a->profile && !a->quiet) kx_cli_print_profile(stderr, job->result, job->write_seconds);
    if (a->json) {
        KX_TRY(kx_cli_print_json(json_of_result(job), err));
        goto out;
    }
    for (size_t i = 0; a->show && i < job->result->num_images; i++)
        KX_TRY(kx_cli_show_picture(&job->result->images[i].picture, err));
    if (!a->quiet) tell_result(job);
    KX_TRY(kx_cli_flush_stdout(err));
out:
    return status;
}

/* ---- The command ---- */

static kx_status open_model(edit_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_cli_open_model(&job->model, job->arguments, err));
    KX_TRY(kx_model_describe(job->model, &job->description, err));
    job->described = json_loads(job->description, 0, NULL);
    if (job->arguments->verbose > 0 && !job->arguments->quiet)
        fprintf(stderr, "model: %s; precision %s, kernels %s, %" JSON_INTEGER_FORMAT " threads\n",
                described_text(job, "name"), described_text(job, "precision"), described_text(job, "kernels"),
                json_integer_value(json_object_get(job->described, "threads")));
out:
    return status;
}

static kx_status run_edit(edit_job *job, kx_error *err)
{
    kx_status status = KX_OK;
    kx_cli_progress progress;
    kx_callbacks callbacks = kx_cli_progress_begin(&progress, job->arguments);
    KX_TRY(kx_edit_run(job->model, &job->request, &callbacks, &job->result, err));
    KX_FAIL_IF(kx_cli_interrupted(NULL), err, KX_ERR_CANCELLED, "cancelled");
out:
    kx_cli_progress_end(&progress);
    return status;
}

kx_status kx_cli_run_edit(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    edit_job job = {.arguments = arguments};
    KX_TRY(check_options(arguments, err));
    KX_TRY(kx_cli_outputs_name(&job.outputs, arguments, err));
    KX_TRY(take_prompt(&job, err));
    KX_TRY(fill_request(&job, err));
    KX_TRY(kx_cli_outputs_check(&job.outputs, err));
    if (arguments->dump != NULL) KX_TRY(kx_cli_check_writable(arguments->dump, err));
    if (arguments->profile_file != NULL) KX_TRY(kx_cli_check_writable(arguments->profile_file, err));
    kx_cli_catch_interrupts();
    KX_TRY(open_model(&job, err));
    KX_TRY(run_edit(&job, err));
    KX_TRY(write_images(&job, err));
    if (arguments->profile_file != NULL)
        KX_TRY(kx_profile_save(job.result->profile, arguments->profile_file, err));
    KX_TRY(tell(&job, err));
out:
    kx_result_free(job.result);
    json_decref(job.described);
    kx_free(job.description);
    kx_model_close(job.model);
    kx_bytes_free(&job.prompt_bytes);
    kx_cli_outputs_free(&job.outputs);
    return status;
}
