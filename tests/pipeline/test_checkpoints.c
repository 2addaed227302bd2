/* Checkpoints: an edit that goes on from any of them ends with the bytes of an undisturbed one, and what is
 * not a checkpoint of this very edit is refused. */
#include "pipeline_test_support.h"

enum { STEPS = 3, CHECKPOINTS_MAX = 64, HEADER_BYTES = 128 };

typedef struct collected {
    void *data[CHECKPOINTS_MAX];
    size_t bytes[CHECKPOINTS_MAX];
    size_t count;
} collected;

static kx_picture reference;

static void collect(void *user, const void *data, size_t bytes)
{
    collected *c = user;
    assert_true(c->count < CHECKPOINTS_MAX);
    c->data[c->count] = malloc(bytes);
    assert_non_null(c->data[c->count]);
    memcpy(c->data[c->count], data, bytes);
    c->bytes[c->count++] = bytes;
}

static void drop(collected *c)
{
    for (size_t i = 0; i < c->count; i++) free(c->data[i]);
    c->count = 0;
}

static kx_edit_request small_request(unsigned num_images)
{
    kx_edit_request request = test_request("A boat in the harbour");
    request.steps = STEPS;
    request.width_px = 64;
    request.height_px = 48;
    request.references[0].picture = &reference;
    request.num_references = 1;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.num_images = num_images;
    return request;
}

/* The result, with a checkpoint after each `each` steps in *checkpoints. */
static kx_result *edit_with_checkpoints(kx_model *model, kx_edit_request request, int each,
                                        collected *checkpoints)
{
    kx_error err = {0};
    kx_result *result = NULL;
    kx_callbacks callbacks = {.checkpoint = collect, .user = checkpoints};
    request.checkpoint_steps = each;
    assert_ok(kx_edit_run(model, &request, &callbacks, &result, &err));
    return result;
}

static kx_status resume(kx_model *model, kx_edit_request request, const void *data, size_t bytes,
                        kx_result **result, kx_error *err)
{
    request.resume = data;
    request.resume_bytes = bytes;
    return kx_edit_run(model, &request, NULL, result, err);
}

static void every_checkpoint_leads_to_the_same_bytes(void **state)
{
    (void)state;
    kx_model *models[2] = {test_open_tiny(1), test_open_tiny(2)};
    static const unsigned image_counts[] = {1, 3};
    for (size_t n = 0; n < 2; n++) {
        kx_error err = {0};
        collected checkpoints = {0};
        kx_edit_request request = small_request(image_counts[n]);
        kx_result *whole = test_edit(models[0], &request);
        kx_result *told = edit_with_checkpoints(models[1], request, 1, &checkpoints);
        test_same_pictures("with and without checkpoints", whole, told);
        assert_int_equal(checkpoints.count, STEPS * image_counts[n]);
        for (size_t i = 0; i < checkpoints.count; i++) {
            kx_result *resumed = NULL;
            assert_ok(
                resume(models[i % 2], request, checkpoints.data[i], checkpoints.bytes[i], &resumed, &err));
            char what[64];
            snprintf(what, sizeof what, "%u images, resumed after %zu steps", image_counts[n], i + 1);
            test_same_pictures(what, whole, resumed);
            assert_int_equal(resumed->images[0].seed, request.seed);
            assert_true(resumed->t5_tokens == whole->t5_tokens);
            kx_result_free(resumed);
        }
        drop(&checkpoints);
        kx_result_free(whole);
        kx_result_free(told);
    }
    for (int i = 0; i < 2; i++) kx_model_close(models[i]);
}

/* Steps are counted over all images; the last is always told. */
static void checkpoints_come_as_often_as_asked(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(2);
    static const size_t expected[][2] = {{1, 9}, {2, 5}, {4, 3}, {9, 1}, {100, 1}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        collected checkpoints = {0};
        kx_result_free(edit_with_checkpoints(model, small_request(3), (int)expected[i][0], &checkpoints));
        if (checkpoints.count != expected[i][1])
            fail_msg("each %zu steps of 9: %zu checkpoints, %zu are expected", expected[i][0],
                     checkpoints.count, expected[i][1]);
        drop(&checkpoints);
    }
    kx_model_close(model);
}

typedef struct stop_at {
    int steps;
    collected checkpoints;
    size_t denoise_begins_at;
} stop_at;

static void stop_progress(void *user, const kx_progress *progress)
{
    stop_at *stop = user;
    if (strcmp(progress->stage, "denoise") != 0) return;
    if (stop->denoise_begins_at == 0) stop->denoise_begins_at = 1 + progress->done;
    stop->steps = (int)progress->image * STEPS + (int)progress->done;
}

static int stop_cancelled(void *user)
{
    return ((stop_at *)user)->steps >= 4;
}

static void stop_checkpoint(void *user, const void *data, size_t bytes)
{
    collect(&((stop_at *)user)->checkpoints, data, bytes);
}

/* A seed that was drawn is in the checkpoint; progress goes on where the checkpoint stands. */
static void a_cancelled_edit_goes_on_later(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    kx_edit_request request = small_request(2);
    request.seed_is_random = 1;
    request.checkpoint_steps = 2;
    stop_at stop = {0};
    kx_callbacks callbacks = {stop_progress, stop_cancelled, &stop, NULL, stop_checkpoint};
    kx_result *result = NULL, *whole = NULL;
    assert_int_equal(kx_edit_run(model, &request, &callbacks, &result, &err), KX_ERR_CANCELLED);
    assert_int_equal(stop.checkpoints.count, 2);
    request.resume = stop.checkpoints.data[1];
    request.resume_bytes = stop.checkpoints.bytes[1];
    request.checkpoint_steps = 0;
    stop_at second = {.steps = -100};
    callbacks = (kx_callbacks){stop_progress, NULL, &second, NULL, NULL};
    err = (kx_error){0};
    assert_ok(kx_edit_run(model, &request, &callbacks, &result, &err));
    assert_int_equal(second.denoise_begins_at, 1 + 1);
    request = small_request(2);
    request.seed = result->images[0].seed;
    whole = test_edit(model, &request);
    test_same_pictures("cancelled and resumed", whole, result);
    drop(&stop.checkpoints);
    kx_result_free(result);
    kx_result_free(whole);
    kx_model_close(model);
}

/* ---- What is refused ---- */

typedef void change(kx_edit_request *request);
static kx_picture other;

static void other_prompt(kx_edit_request *r)
{
    r->prompt = "A boat in the harbor";
}
static void other_seed(kx_edit_request *r)
{
    r->seed++;
}
static void other_steps(kx_edit_request *r)
{
    r->steps++;
}
static void other_guidance(kx_edit_request *r)
{
    r->guidance = 3;
}
static void other_size(kx_edit_request *r)
{
    r->height_px = 64;
}
static void other_crop(kx_edit_request *r)
{
    r->height_px = 47;
}
static void other_count(kx_edit_request *r)
{
    r->num_images = 2;
}
static void other_stream(kx_edit_request *r)
{
    r->noise_stream = KX_NOISE_TORCH_BF16;
}
static void other_cache(kx_edit_request *r)
{
    r->cache = KX_CACHE_TEACACHE;
}
static void other_pixels(kx_edit_request *r)
{
    r->references[0].picture = &other;
}
static void no_reference(kx_edit_request *r)
{
    r->num_references = 0;
}
static void two_references(kx_edit_request *r)
{
    r->references[1].picture = &reference;
    r->num_references = 2;
}
static void to_a_dump(kx_edit_request *r)
{
    r->dump_file = test_path_in(test_temporary_folder(), "resumed.safetensors");
}

typedef struct other_edit {
    const char *name;
    change *make;
    kx_status status;
    const char *words;
} other_edit;

static const other_edit other_edits[] = {
    {"another prompt", other_prompt, KX_ERR_INPUT, "is of another edit"},
    {"another seed", other_seed, KX_ERR_INPUT, "is of another edit"},
    {"other steps", other_steps, KX_ERR_INPUT, "is of another edit"},
    {"another guidance", other_guidance, KX_ERR_INPUT, "is of another edit"},
    {"another size", other_size, KX_ERR_INPUT, "is of another edit"},
    {"another crop", other_crop, KX_ERR_INPUT, "is of another edit"},
    {"another count", other_count, KX_ERR_INPUT, "is of another edit"},
    {"another noise stream", other_stream, KX_ERR_INPUT, "is of another edit"},
    {"a step cache", other_cache, KX_ERR_INPUT, "is of another edit"},
    {"one other pixel", other_pixels, KX_ERR_INPUT, "is of another edit"},
    {"no reference", no_reference, KX_ERR_INPUT, "is of another edit"},
    {"two references", two_references, KX_ERR_INPUT, "is of another edit"},
    {"a dump", to_a_dump, KX_ERR_USAGE, "a dump holds every step"},
};

static void a_checkpoint_of_another_edit_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    collected checkpoints = {0};
    kx_edit_request request = small_request(1);
    kx_result *whole = edit_with_checkpoints(model, request, 2, &checkpoints), *result = NULL;
    other = test_paint(32, 32, 1);
    other.rgb[100] ^= 1;
    for (size_t i = 0; i < sizeof other_edits / sizeof other_edits[0]; i++) {
        kx_edit_request changed = request;
        other_edits[i].make(&changed);
        kx_status status = resume(model, changed, checkpoints.data[0], checkpoints.bytes[0], &result, &err);
        test_refused(other_edits[i].name, &err, status, other_edits[i].status, other_edits[i].words);
        assert_null(result);
    }
    assert_ok(resume(model, request, checkpoints.data[0], checkpoints.bytes[0], &result, &err));
    test_same_pictures("after refusals", whole, result);
    kx_result_free(result);
    kx_result_free(whole);
    kx_picture_free(&other);
    drop(&checkpoints);
    kx_model_close(model);
}

static void a_checkpoint_of_another_model_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *tiny = test_open_tiny(2), *patched = NULL, *moved = NULL;
    collected checkpoints = {0};
    kx_edit_request request = small_request(1);
    kx_result *whole = edit_with_checkpoints(tiny, request, 2, &checkpoints), *result = NULL;
    assert_ok(test_open_model(test_linked_model("checkpoint-moved", NULL), 2, &moved, &err));
    assert_ok(resume(moved, request, checkpoints.data[0], checkpoints.bytes[0], &result, &err));
    test_same_pictures("the same model in another folder", whole, result);
    kx_result_free(result);
    result = NULL;
    const char *folder = test_linked_model("checkpoint-patched", NULL);
    test_patch_weight(folder, "vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.weight", 3, 0x3f80);
    assert_ok(test_open_model(folder, 2, &patched, &err));
    kx_status status = resume(patched, request, checkpoints.data[0], checkpoints.bytes[0], &result, &err);
    test_refused("one other weight", &err, status, KX_ERR_INPUT, "is of another model");
    kx_result_free(whole);
    drop(&checkpoints);
    kx_model_close(tiny);
    kx_model_close(moved);
    kx_model_close(patched);
}

static void a_checkpoint_of_another_kernel_set_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_options options = test_model_options(test_tiny_model());
    options.cpu = "portable";
    kx_model *portable = test_open_with(options), *fastest = test_open_tiny(2);
    collected checkpoints = {0};
    kx_edit_request request = small_request(1);
    kx_result *whole = edit_with_checkpoints(portable, request, 2, &checkpoints), *result = NULL;
    kx_status status = resume(fastest, request, checkpoints.data[0], checkpoints.bytes[0], &result, &err);
    if (status == KX_OK)
        print_message("# this machine has the portable kernels alone\n");
    else
        test_refused("portable kernels", &err, status, KX_ERR_INPUT, "with the kernel set portable");
    kx_result_free(result);
    kx_result_free(whole);
    drop(&checkpoints);
    kx_model_close(portable);
    kx_model_close(fastest);
}

/* Every length and every byte of the header, and some of the latents. The blob is exactly as long as is said,
 * so that the address sanitizer sees a read behind it. */
static void a_damaged_checkpoint_is_refused(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model *model = test_open_tiny(2);
    collected checkpoints = {0};
    kx_edit_request request = small_request(1);
    kx_result_free(edit_with_checkpoints(model, request, 2, &checkpoints));
    const uint8_t *good = checkpoints.data[0];
    size_t bytes = checkpoints.bytes[0];
    kx_result *result = NULL;
    uint32_t header_bytes;
    memcpy(&header_bytes, good + 12, sizeof header_bytes);
    assert_int_equal(header_bytes, HEADER_BYTES);
    for (size_t length = 0; length <= bytes + 4; length += length < 160 ? 1 : 61) {
        if (length == bytes) continue;
        uint8_t *cut = calloc(1, length + (length == 0));
        assert_non_null(cut);
        memcpy(cut, good, length < bytes ? length : bytes);
        kx_status status = resume(model, request, cut, length, &result, &err);
        test_refused("another length", &err, status, KX_ERR_INPUT, "the checkpoint is");
        free(cut);
    }
    for (size_t at = 0; at < bytes; at += at < HEADER_BYTES ? 1 : 97) {
        uint8_t *damaged = malloc(bytes);
        assert_non_null(damaged);
        memcpy(damaged, good, bytes);
        damaged[at] ^= 0x10;
        char what[64];
        snprintf(what, sizeof what, "a flipped bit in byte %zu", at);
        kx_status status = resume(model, request, damaged, bytes, &result, &err);
        test_refused(what, &err, status, KX_ERR_INPUT, "the checkpoint");
        free(damaged);
    }
    drop(&checkpoints);
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
        cmocka_unit_test(every_checkpoint_leads_to_the_same_bytes),
        cmocka_unit_test(checkpoints_come_as_often_as_asked),
        cmocka_unit_test(a_cancelled_edit_goes_on_later),
        cmocka_unit_test(a_checkpoint_of_another_edit_is_refused),
        cmocka_unit_test(a_checkpoint_of_another_model_is_refused),
        cmocka_unit_test(a_checkpoint_of_another_kernel_set_is_refused),
        cmocka_unit_test(a_damaged_checkpoint_is_refused),
    };
    return cmocka_run_group_tests(tests, paint_reference, free_reference);
}
