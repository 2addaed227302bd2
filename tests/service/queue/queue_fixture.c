#include "test_support.h"

#include "queue_fixture.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEADLINE_MS 120000

const char *queue_fixture_model(void)
{
    static char path[1100];
    kx_error err = {0};
    if (path[0] != '\0') return path;
    snprintf(path, sizeof path, "%s/tiny", test_temporary_folder());
    assert_ok(kx_file_make_directory(path, &err));
    assert_ok(kx_model_synth(path, KX_SYNTH_TINY, 1, NULL, &err));
    return path;
}

queue_fixture *queue_fixture_new(void)
{
    static int number;
    queue_fixture *f = calloc(1, sizeof *f);
    kx_error err = {0};
    pthread_condattr_t attributes;
    assert_non_null(f);
    snprintf(f->folder, sizeof f->folder, "%s/queue-%d", test_temporary_folder(), number++);
    snprintf(f->clock_file, sizeof f->clock_file, "%s/clock", f->folder);
    assert_ok(kx_file_make_directory(f->folder, &err));
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    f->settings = kx_settings_default();
    f->settings.data = f->folder;
    f->settings.model = queue_fixture_model();
    f->settings.threads = 1;
    f->settings.fetch_allow = "127.0.0.2";
    f->settings.fetch_timeout_s = 20;
    f->settings.webhook_timeout_s = 20;
    f->settings.test_clock = f->clock_file;
    return f;
}

void queue_fixture_move_clock(queue_fixture *f, double seconds)
{
    char part[1200];
    snprintf(part, sizeof part, "%s.part", f->clock_file);
    FILE *file = fopen(part, "w");
    assert_non_null(file);
    fprintf(file, "%f\n", seconds);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(part, f->clock_file), 0);
}

/* ---- Opening ---- */

int64_t queue_fixture_key(queue_fixture *f, const char *name)
{
    kx_error err = {0};
    char value[64];
    kx_key made, wanted = {.name = name, .role = KX_ROLE_SUBMIT, .balance_micro = 100000000};
    assert_ok(kx_store_key_create(f->store, &wanted, NULL, value, &f->arena, &made, &err));
    return made.id;
}

void queue_fixture_open(queue_fixture *f)
{
    kx_error err = {0};
    char path[1200];
    kx_fetch_options options = {.allow = f->settings.fetch_allow,
                                .max_bytes = f->settings.fetch_max_bytes,
                                .timeout_s = f->settings.fetch_timeout_s,
                                .redirects = f->settings.fetch_redirects};
    if (f->store != NULL) return;
    snprintf(path, sizeof path, "%s/kontext.db", f->folder);
    assert_ok(kx_clock_open(&f->clock, f->clock_file, &err));
    assert_ok(kx_store_open(&f->store, path, f->clock, &err));
    assert_ok(kx_blobs_open(&f->blobs, f->folder, &err));
    assert_ok(kx_fetch_open(&f->fetch, &options, &err));
    if (f->key_id == 0) f->key_id = queue_fixture_key(f, "test");
}

static void tell_change(void *user, const char *prediction)
{
    queue_fixture *f = user;
    (void)prediction;
    pthread_mutex_lock(&f->lock);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void log_sentence(void *user, const char *sentence)
{
    queue_fixture *f = user;
    pthread_mutex_lock(&f->lock);
    size_t used = strlen(f->log);
    snprintf(f->log + used, sizeof f->log - used, "%s\n", sentence);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static char *webhook_body(void *user, const char *prediction, size_t *bytes)
{
    queue_fixture *f = user;
    kx_arena arena = {0};
    kx_prediction p;
    bool found;
    kx_error err = {0};
    char *body = NULL;
    if (atomic_load(&f->bodies_to_miss) > 0 && atomic_fetch_sub(&f->bodies_to_miss, 1) > 0) return NULL;
    if (kx_store_prediction_get(f->store, prediction, &arena, &p, &found, &err) == KX_OK && found &&
        (body = calloc(1, 256)) != NULL)
        *bytes = (size_t)snprintf(body, 256, "{\"id\":\"%s\",\"status\":\"%s\"}", p.id,
                                  kx_job_state_name(p.state));
    kx_arena_free(&arena);
    return body;
}

void queue_fixture_start(queue_fixture *f)
{
    kx_error err = {0};
    queue_fixture_open(f);
    kx_queue_parts parts = {.settings = &f->settings,
                            .clock = f->clock,
                            .store = f->store,
                            .blobs = f->blobs,
                            .fetch = f->fetch,
                            .changed = tell_change,
                            .webhook_body = webhook_body,
                            .log = log_sentence,
                            .user = f};
    assert_ok(kx_queue_open(&f->queue, &parts, &err));
    assert_ok(kx_queue_start(f->queue, &err));
}

void queue_fixture_stop(queue_fixture *f)
{
    kx_queue_close(f->queue);
    kx_fetch_close(f->fetch);
    kx_blobs_close(f->blobs);
    kx_store_close(f->store);
    kx_clock_close(f->clock);
    f->queue = NULL;
    f->fetch = NULL;
    f->blobs = NULL;
    f->store = NULL;
    f->clock = NULL;
}

void queue_fixture_free(queue_fixture *f)
{
    queue_fixture_stop(f);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    kx_arena_free(&f->arena);
    free(f);
}

/* ---- Jobs ---- */

kx_job_request queue_fixture_request(int steps)
{
    return (kx_job_request){.prompt = "make the roof red",
                            .width_px = 64,
                            .height_px = 64,
                            .steps = steps,
                            .guidance = 2.5,
                            .seed = 7,
                            .num_images = 1,
                            .format = KX_FORMAT_PNG};
}

const char *queue_fixture_picture(queue_fixture *f, int side_px)
{
    static char hash[KX_SHA256_HEX];
    kx_error err = {0};
    kx_picture picture = {side_px, side_px, malloc((size_t)(3 * side_px * side_px))};
    kx_save_options options = {.format = KX_FORMAT_PNG};
    uint8_t *png = NULL;
    size_t bytes = 0;
    for (int i = 0; i < 3 * side_px * side_px; i++) picture.rgb[i] = (uint8_t)(i * 7);
    assert_ok(kx_picture_encode(&picture, &options, &png, &bytes, &err));
    assert_ok(kx_blobs_put(f->blobs, png, bytes, hash, &err));
    kx_free(png);
    free(picture.rgb);
    return hash;
}

void queue_fixture_submit(queue_fixture *f, int64_t key_id, const kx_job_request *request,
                          const char *webhook, char id[33])
{
    kx_error err = {0};
    kx_submit_outcome outcome;
    bool prepared = true;
    for (size_t i = 0; i < request->num_images_in; i++) prepared = prepared && request->images[i].url == NULL;
    json_t *json = kx_job_request_to_json(request);
    char *text = json_dumps(json, 0);
    kx_submit submit = {.prediction = {.key_id = key_id != 0 ? key_id : f->key_id,
                                       .model = "wavespeed-ai/flux-kontext-dev/multi",
                                       .input = "{}",
                                       .request = text,
                                       .warnings = "[]",
                                       .price_micro = 30000,
                                       .num_images = request->num_images,
                                       .prepared = prepared,
                                       .webhook = webhook != NULL ? webhook : "",
                                       .body_hash = "none"},
                        .max_queued = 1000};
    assert_ok(kx_store_submit(f->store, &submit, id, &outcome, &err));
    assert_int_equal(outcome, KX_SUBMIT_NEW);
    free(text);
    json_decref(json);
    if (f->queue != NULL) kx_queue_wake(f->queue);
}

kx_prediction queue_fixture_get(queue_fixture *f, const char *id)
{
    kx_error err = {0};
    kx_prediction job;
    bool found = false;
    assert_ok(kx_store_prediction_get(f->store, id, &f->arena, &job, &found, &err));
    assert_true(found);
    return job;
}

void queue_fixture_output_hash(queue_fixture *f, const kx_prediction *job, char hash[KX_SHA256_HEX])
{
    kx_error err = {0};
    json_t *outputs = json_loads(job->outputs, 0, NULL);
    kx_bytes all = {.cap = 1 << 20};
    assert_true(json_array_size(outputs) > 0);
    for (size_t i = 0; i < json_array_size(outputs); i++) {
        kx_stored_file file;
        bool found = false;
        const char *token = json_string_value(json_object_get(json_array_get(outputs, i), "file"));
        assert_ok(kx_store_file_get(f->store, token, &f->arena, &file, &found, &err));
        assert_true(found);
        assert_ok(kx_bytes_append(&all, file.blob, strlen(file.blob), &err));
    }
    kx_sha256_of(all.data, all.size, hash);
    kx_bytes_free(&all);
    json_decref(outputs);
}

/* ---- Waiting ---- */

void queue_fixture_wait_until(queue_fixture *f, bool (*is_so)(queue_fixture *f, void *argument),
                              void *argument)
{
    int64_t until = kx_clock_monotonic_ms() + DEADLINE_MS;
    while (!is_so(f, argument)) {
        struct timespec soon;
        if (kx_clock_monotonic_ms() > until) fail_msg("waited too long; the queue said: %s", f->log);
        clock_gettime(CLOCK_MONOTONIC, &soon);
        soon.tv_nsec += 20000000; /* not everything that tests wait for is told */
        if (soon.tv_nsec >= 1000000000) {
            soon.tv_nsec -= 1000000000;
            soon.tv_sec++;
        }
        pthread_mutex_lock(&f->lock);
        pthread_cond_timedwait(&f->changed, &f->lock, &soon);
        pthread_mutex_unlock(&f->lock);
    }
}

static bool has_ended(queue_fixture *f, void *argument)
{
    kx_error err = {0};
    kx_arena arena = {0};
    kx_prediction job;
    bool found = false;
    assert_ok(kx_store_prediction_get(f->store, argument, &arena, &job, &found, &err));
    bool ended = found && kx_job_state_ended(job.state);
    kx_arena_free(&arena);
    return ended;
}

kx_prediction queue_fixture_wait_for_end(queue_fixture *f, const char *id)
{
    queue_fixture_wait_until(f, has_ended, (void *)(uintptr_t)id);
    return queue_fixture_get(f, id);
}

typedef struct step_wish {
    const char *id;
    unsigned steps;
} step_wish;

static bool has_done(queue_fixture *f, void *argument)
{
    const step_wish *wish = argument;
    kx_live live;
    kx_queue_live(f->queue, wish->id, &live);
    return live.is_running && live.step >= wish->steps;
}

void queue_fixture_wait_for_step(queue_fixture *f, const char *id, unsigned steps)
{
    queue_fixture_wait_until(f, has_done, &(step_wish){id, steps});
}
