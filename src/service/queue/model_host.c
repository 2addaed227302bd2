#include "service/queue/model_host.h"

#include "base/file.h"
#include "base/installed.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY_SEED 1

struct kx_model_host {
    const kx_settings *settings;
    void (*log)(void *user, const char *sentence);
    void *user;
    json_t *warnings; /* the compute thread's */
    kx_model *model;  /* the compute thread's */
    kx_model_options options;

    pthread_mutex_t lock; /* of what follows; nothing is called while it is held */
    kx_arena arena;       /* strings of the facts: the path and problems */
    kx_arena model_arena; /* and what the model says of itself */
    kx_model_facts facts;
};

/* ---- Which model ---- */

static kx_status choose_model(kx_model_host *host, kx_error *err)
{
    kx_status status = KX_OK;
    char demo[PATH_MAX + 64], *copy = NULL;
    const char *path = host->settings->model;
    if (path == NULL && kx_installed_find("models/demo", demo, sizeof demo)) path = demo;
    if (path == NULL) {
        snprintf(demo, sizeof demo, "%s/model-tiny", host->settings->data);
        path = demo;
        host->facts.is_synthetic = true;
    }
    KX_TRY(kx_arena_copy_text(&host->arena, path, strlen(path), &copy, err));
    host->facts.path = copy;
out:
    return status;
}

/* ---- Opening ---- */

static void take_warning(void *user, const char *sentence)
{
    kx_model_host *host = user;
    if (host->warnings == NULL)
        host->log(host->user, sentence);
    else
        json_array_append_new(host->warnings, json_string(sentence));
}

/* The name was checked where it was read; none: the model's own. */
static kx_precision precision_of(const char *name)
{
    kx_precision precision = KX_PRECISION_INT8;
    while (name != NULL && precision != KX_PRECISION_AUTO && strcmp(name, kx_precision_name(precision)) != 0)
        precision--;
    return name == NULL ? KX_PRECISION_AUTO : precision;
}

kx_status kx_model_host_open(kx_model_host **host, const kx_settings *settings,
                             void (*log)(void *user, const char *sentence), void *user, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model_host *made = calloc(1, sizeof *made);
    *host = NULL;
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    pthread_mutex_init(&made->lock, NULL);
    made->settings = settings;
    made->log = log;
    made->user = user;
    KX_TRY(choose_model(made, err));
    made->options = kx_model_options_default();
    made->options.path = made->facts.path;
    made->options.tokenizers = settings->tokenizers;
    made->options.precision = precision_of(settings->precision);
    made->options.cpu = settings->cpu;
    made->options.threads = settings->threads;
    made->options.cache_bytes = settings->encoder_cache_bytes;
    made->options.warn = take_warning;
    made->options.user = made;
    *host = made;
    made = NULL;
out:
    kx_model_host_close(made);
    return status;
}

void kx_model_host_close(kx_model_host *host)
{
    if (host == NULL) return;
    kx_model_close(host->model);
    kx_arena_free(&host->arena);
    kx_arena_free(&host->model_arena);
    pthread_mutex_destroy(&host->lock);
    free(host);
}

/* Under another name until it is whole, so that a stop in the middle leaves no broken model behind. */
static kx_status make_tiny(kx_model_host *host, kx_error *err)
{
    kx_status status = KX_OK;
    char part[PATH_MAX + 80];
    const char *path = host->options.path;
    if (!host->facts.is_synthetic || kx_file_is_directory(path)) goto out;
    snprintf(part, sizeof part, "%s.part", path);
    KX_TRY(kx_file_make_directory(part, err));
    KX_TRY(kx_model_synth(part, KX_SYNTH_TINY, TINY_SEED, NULL, err));
    KX_FAIL_IF(rename(part, path) != 0, err, KX_ERR_OUTPUT, "%s: the model made there cannot be renamed",
               part);
    host->log(host->user,
              "no model is given and there is no demo model: a tiny one with random weights was made, its "
              "pictures are coloured noise");
out:
    return status;
}

static kx_status native_size(kx_model *model, kx_size *size, kx_error *err)
{
    kx_status status = KX_OK;
    kx_edit_request request = kx_edit_request_default();
    kx_plan *plan = NULL;
    request.prompt = "?"; /* any: a size does not depend on it */
    KX_TRY(kx_edit_plan(model, &request, &plan, err));
    *size = plan->working;
out:
    kx_plan_free(plan);
    return status;
}

static kx_status copy_word(kx_arena *arena, const json_t *root, const char *key, const char **out,
                           kx_error *err)
{
    char *copy = NULL;
    const char *text = json_string_value(json_object_get(root, key));
    if (text == NULL) text = "";
    kx_status status = kx_arena_copy_text(arena, text, strlen(text), &copy, err);
    *out = copy;
    return status;
}

/* Takes what clients may want to know from the model's description. */
static kx_status learn_facts(kx_model *model, kx_arena *arena, kx_model_facts *facts, kx_error *err)
{
    kx_status status = KX_OK;
    char *text = NULL;
    json_t *root = NULL;
    KX_TRY(kx_model_describe(model, &text, err));
    root = json_loads(text, 0, NULL);
    KX_FAIL_IF(root == NULL, err, KX_ERR_INTERNAL, "the model's description is not JSON");
    const json_t *limits = json_object_get(root, "limits");
    KX_TRY(copy_word(arena, root, "name", &facts->name, err));
    KX_TRY(copy_word(arena, root, "licence", &facts->licence, err));
    KX_TRY(copy_word(arena, root, "kernels", &facts->kernel_set, err));
    KX_TRY(copy_word(arena, root, "precision", &facts->precision, err));
    facts->threads = (unsigned)json_integer_value(json_object_get(root, "threads"));
    facts->min_side_px = (int)json_integer_value(json_object_get(limits, "min_side"));
    facts->max_side_px = (int)json_integer_value(json_object_get(limits, "max_side"));
    facts->native_area_px = (uint64_t)json_integer_value(json_object_get(limits, "native_area"));
    facts->max_text_tokens = (unsigned)json_integer_value(json_object_get(limits, "max_text_tokens"));
    facts->default_steps = (int)json_integer_value(json_object_get(limits, "default_steps"));
    facts->default_guidance = json_number_value(json_object_get(limits, "default_guidance"));
    KX_TRY(native_size(model, &facts->native, err));
out:
    json_decref(root);
    kx_free(text);
    return status;
}

static kx_status open_model(kx_model_host *host, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model *model = NULL;
    kx_arena arena = {0};
    kx_model_facts facts = {.path = host->facts.path, .is_synthetic = host->facts.is_synthetic};
    KX_TRY(make_tiny(host, err));
    KX_TRY(kx_model_open(&model, &host->options, err));
    KX_TRY(learn_facts(model, &arena, &facts, err));
    facts.is_ready = true;
    host->model = model;
    model = NULL;
    pthread_mutex_lock(&host->lock);
    host->facts = facts;
    host->model_arena = arena;
    arena = (kx_arena){0};
    pthread_mutex_unlock(&host->lock);
out:
    kx_arena_free(&arena);
    kx_model_close(model);
    return status;
}

/* Readers of the facts may hold a problem's words for as long as they like, so words are only ever added; the
 * same ones again need no new room. */
static void tell_problem(kx_model_host *host, const char *sentence)
{
    char *copy = NULL;
    kx_error ignored = {0};
    bool is_new = false;
    pthread_mutex_lock(&host->lock);
    if (host->facts.problem == NULL || strcmp(host->facts.problem, sentence) != 0)
        is_new = kx_arena_copy_text(&host->arena, sentence, strlen(sentence), &copy, &ignored) == KX_OK;
    if (is_new) host->facts.problem = copy;
    pthread_mutex_unlock(&host->lock);
    if (is_new) host->log(host->user, sentence);
}

kx_model *kx_model_host_take(kx_model_host *host)
{
    kx_error err = {0};
    if (host->model == NULL && open_model(host, &err) != KX_OK) tell_problem(host, err.message);
    return host->model;
}

void kx_model_host_gather_warnings(kx_model_host *host, json_t *warnings)
{
    host->warnings = warnings;
}

void kx_model_host_facts(kx_model_host *host, kx_model_facts *facts)
{
    pthread_mutex_lock(&host->lock);
    *facts = host->facts;
    pthread_mutex_unlock(&host->lock);
}
