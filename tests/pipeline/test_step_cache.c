/* Edits with a step cache: what is reused, that it is told, and that nothing but the threshold decides it. */
#include "pipeline_test_support.h"

enum { STEPS = 6, IMAGES = 2, CHECKPOINTS = STEPS * IMAGES };

static kx_picture reference;
static const kx_cache_kind kinds[] = {KX_CACHE_FIRST_BLOCK, KX_CACHE_TEACACHE};
static const char *const kind_names[] = {"first-block", "teacache"};

/* Reuses some steps of the tiny model and computes others, which the test below checks. */
static const double middle[] = {0.65, 0.7};

static kx_edit_request small_request(kx_cache_kind kind, double threshold)
{
    kx_edit_request request = test_request("A boat in the harbour");
    request.steps = STEPS;
    request.width_px = 64;
    request.height_px = 48;
    request.references[0].picture = &reference;
    request.num_references = 1;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.cache = kind;
    request.cache_threshold = threshold;
    return request;
}

static bool pictures_differ(const kx_result *a, const kx_result *b)
{
    const kx_picture *p = &a->images[0].picture, *q = &b->images[0].picture;
    return memcmp(p->rgb, q->rgb, 3 * (size_t)p->width_px * (size_t)p->height_px) != 0;
}

static void a_threshold_of_zero_changes_nothing(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = small_request(KX_CACHE_OFF, -1);
    kx_result *off = test_edit(model, &request);
    assert_int_equal(off->steps_reused, 0);
    for (size_t i = 0; i < 2; i++) {
        request = small_request(kinds[i], 0);
        kx_result *result = test_edit(model, &request);
        assert_int_equal(result->steps_reused, 0);
        assert_int_equal(result->cache, kinds[i]);
        assert_true(result->cache_threshold == 0);
        test_same_pictures(kind_names[i], off, result);
        kx_result_free(result);
    }
    kx_result_free(off);
    kx_model_close(model);
}

static void a_high_threshold_leaves_the_first_and_the_last_step(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = small_request(KX_CACHE_OFF, -1);
    kx_result *off = test_edit(model, &request);
    for (size_t i = 0; i < 2; i++)
        for (int steps = 1; steps <= STEPS; steps += steps == 1 ? 1 : STEPS - 2) {
            request = small_request(kinds[i], 10);
            request.steps = steps;
            request.num_images = IMAGES;
            kx_result *result = test_edit(model, &request);
            assert_int_equal(result->steps_reused, steps <= 2 ? 0 : IMAGES * (steps - 2));
            if (steps == STEPS) assert_true(pictures_differ(off, result));
            kx_result_free(result);
        }
    kx_result_free(off);
    kx_model_close(model);
}

static void threads_and_earlier_pictures_change_nothing(void **state)
{
    (void)state;
    kx_model *models[] = {test_open_tiny(1), test_open_tiny(2), test_open_tiny(3)};
    for (size_t i = 0; i < 2; i++) {
        kx_edit_request request = small_request(kinds[i], middle[i]);
        request.num_images = IMAGES;
        kx_result *both = test_edit(models[0], &request);
        print_message("# %s=%g: %llu of %d steps reused\n", kind_names[i], middle[i],
                      (unsigned long long)both->steps_reused, STEPS * IMAGES);
        assert_true(both->steps_reused > 0 && both->steps_reused < (STEPS - 2) * IMAGES);
        for (size_t m = 1; m < 3; m++) {
            kx_result *result = test_edit(models[m], &request);
            test_same_pictures("other threads", both, result);
            assert_int_equal(result->steps_reused, both->steps_reused);
            kx_result_free(result);
        }
        request.num_images = 1;
        request.seed++;
        kx_result *second = test_edit(models[1], &request);
        const kx_picture *a = &both->images[1].picture, *b = &second->images[0].picture;
        assert_memory_equal(a->rgb, b->rgb, 3 * (size_t)a->width_px * (size_t)a->height_px);
        kx_result_free(second);
        kx_result_free(both);
    }
    for (size_t m = 0; m < 3; m++) kx_model_close(models[m]);
}

/* ---- Checkpoints ---- */

typedef struct collected {
    void *data[CHECKPOINTS];
    size_t bytes[CHECKPOINTS];
    size_t count;
} collected;

static void collect(void *user, const void *data, size_t bytes)
{
    collected *c = user;
    assert_true(c->count < CHECKPOINTS);
    c->data[c->count] = malloc(bytes);
    assert_non_null(c->data[c->count]);
    memcpy(c->data[c->count], data, bytes);
    c->bytes[c->count++] = bytes;
}

static void resumed_edits_end_alike(kx_model *model, kx_edit_request request, const char *name)
{
    kx_error err = {0};
    collected checkpoints = {0};
    kx_callbacks callbacks = {.checkpoint = collect, .user = &checkpoints};
    kx_result *whole = test_edit(model, &request), *told = NULL;
    request.checkpoint_steps = 1;
    assert_ok(kx_edit_run(model, &request, &callbacks, &told, &err));
    test_same_pictures("with checkpoints", whole, told);
    assert_int_equal(checkpoints.count, CHECKPOINTS);
    for (size_t i = 0; i < checkpoints.count; i++) {
        kx_result *resumed = NULL;
        char what[64];
        snprintf(what, sizeof what, "%s, resumed after %zu steps", name, i + 1);
        assert_int_equal(checkpoints.bytes[i], checkpoints.bytes[0]);
        request.checkpoint_steps = (int)i % 2;
        request.resume = checkpoints.data[i];
        request.resume_bytes = checkpoints.bytes[i];
        assert_ok(kx_edit_run(model, &request, NULL, &resumed, &err));
        test_same_pictures(what, whole, resumed);
        if (resumed->steps_reused != whole->steps_reused)
            fail_msg("%s: %llu steps reused, %llu are expected", what,
                     (unsigned long long)resumed->steps_reused, (unsigned long long)whole->steps_reused);
        kx_result_free(resumed);
    }
    request.cache_threshold += 0.01;
    kx_result *none = NULL;
    kx_status status = kx_edit_run(model, &request, NULL, &none, &err);
    test_refused("another threshold", &err, status, KX_ERR_INPUT, "is of another edit");
    for (size_t i = 0; i < checkpoints.count; i++) free(checkpoints.data[i]);
    kx_result_free(told);
    kx_result_free(whole);
}

static void every_checkpoint_leads_to_the_same_bytes(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(2);
    for (size_t i = 0; i < 2; i++) {
        kx_edit_request request = small_request(kinds[i], middle[i]);
        request.num_images = IMAGES;
        resumed_edits_end_alike(model, request, kind_names[i]);
    }
    kx_model_close(model);
}

/* ---- Telling and planning ---- */

static void note_reused(void *user, const kx_progress *progress)
{
    uint64_t *seen = user;
    if (strcmp(progress->stage, "denoise") == 0 && progress->done == STEPS)
        seen[progress->image] = progress->reused;
}

static void progress_tells_reused_steps(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    uint64_t seen[IMAGES] = {0};
    kx_callbacks callbacks = {.progress = note_reused, .user = seen};
    kx_edit_request request = small_request(KX_CACHE_FIRST_BLOCK, 10);
    request.num_images = IMAGES;
    kx_result *result = NULL;
    assert_ok(kx_edit_run(model, &request, &callbacks, &result, &err));
    for (size_t i = 0; i < IMAGES; i++) assert_int_equal(seen[i], STEPS - 2);
    kx_result_free(result);
    kx_model_close(model);
}

static uint64_t planned(const kx_plan *plan, const char *name)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < plan->num_buffers; i++)
        if (strcmp(plan->buffers[i].name, name) == 0) bytes += plan->buffers[i].bytes;
    return bytes;
}

static void the_plan_has_the_buffers(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    for (size_t i = 0; i < 3; i++) {
        kx_edit_request request = small_request(i < 2 ? kinds[i] : KX_CACHE_OFF, -1);
        kx_plan *plan = NULL;
        assert_ok(kx_edit_plan(model, &request, &plan, &err));
        uint64_t least = i < 2 ? plan->target_tokens * sizeof(float) : 0;
        uint64_t compared = planned(plan, "step cache: compared");
        assert_true(compared == planned(plan, "step cache: residual"));
        assert_true(i < 2 ? compared > least && compared % least == 0 : compared == 0);
        kx_plan_free(plan);
    }
    kx_model_close(model);
}

/* ---- Words ---- */

typedef struct word {
    const char *text;
    kx_cache_kind kind;
    double threshold; /* -2: refused */
    const char *words;
} word;

static const word words[] = {
    {"off", KX_CACHE_OFF, -1, ""},
    {"first-block", KX_CACHE_FIRST_BLOCK, -1, ""},
    {"teacache", KX_CACHE_TEACACHE, -1, ""},
    {"first-block=0.08", KX_CACHE_FIRST_BLOCK, 0.08, ""},
    {"teacache=0", KX_CACHE_TEACACHE, 0, ""},
    {"teacache=1e1", KX_CACHE_TEACACHE, 10, ""},
    {"", 0, -2, "'' is unknown, expected is one of"},
    {"first", 0, -2, "'first' is unknown"},
    {"first-block2", 0, -2, "is unknown"},
    {"off=1", 0, -2, "a cache that is off has no threshold"},
    {"teacache=", 0, -2, "a threshold from 0 to 10 is expected"},
    {"teacache=x", 0, -2, "a threshold from 0 to 10 is expected"},
    {"teacache=nan", 0, -2, "a threshold from 0 to 10 is expected"},
    {"teacache=-0.1", 0, -2, "a threshold from 0 to 10 is expected"},
    {"teacache=10.1", 0, -2, "a threshold from 0 to 10 is expected"},
    {"teacache=0.1 ", 0, -2, "a threshold from 0 to 10 is expected"},
};

static void words_name_caches(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        kx_error err = {0};
        kx_cache_kind kind = KX_CACHE_OFF;
        double threshold = 0;
        kx_status status = kx_cache_parse(words[i].text, &kind, &threshold, &err);
        if (words[i].threshold < -1) {
            test_refused(words[i].text, &err, status, KX_ERR_INPUT, words[i].words);
            continue;
        }
        assert_ok(status);
        assert_int_equal(kind, words[i].kind);
        assert_true(threshold == words[i].threshold);
        size_t length = strcspn(words[i].text, "=");
        assert_true(strlen(kx_cache_name(kind)) == length &&
                    strncmp(kx_cache_name(kind), words[i].text, length) == 0);
    }
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(1);
    kx_error err = {0};
    kx_result *result = NULL;
    kx_edit_request request = small_request((kx_cache_kind)7, -1);
    kx_status status = kx_edit_run(model, &request, NULL, &result, &err);
    test_refused("an unknown cache", &err, status, KX_ERR_INPUT, "unknown step cache 7");
    request = small_request(KX_CACHE_TEACACHE, 11);
    status = kx_edit_run(model, &request, NULL, &result, &err);
    test_refused("a large threshold", &err, status, KX_ERR_INPUT, "is 11, it must be 0 to 10");
    kx_model_close(model);
}

static int paint_reference(void **state)
{
    (void)state;
    reference = test_paint(32, 32, 1);
    return 0;
}

static int free_reference(void **state)
{
    (void)state;
    kx_picture_free(&reference);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_threshold_of_zero_changes_nothing),
        cmocka_unit_test(a_high_threshold_leaves_the_first_and_the_last_step),
        cmocka_unit_test(threads_and_earlier_pictures_change_nothing),
        cmocka_unit_test(every_checkpoint_leads_to_the_same_bytes),
        cmocka_unit_test(progress_tells_reused_steps),
        cmocka_unit_test(the_plan_has_the_buffers),
        cmocka_unit_test(words_name_caches),
        cmocka_unit_test(bad_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, paint_reference, free_reference);
}
