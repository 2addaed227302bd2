/* Edits in bf16 and int8: near the exact ones, the same bytes for any number of threads, packed once. */
#include "pipeline_test_support.h"

#include <math.h>

static kx_model *open_in(kx_precision precision, unsigned threads)
{
    kx_model_options options = test_model_options(test_tiny_model());
    options.precision = precision;
    options.threads = threads;
    return test_open_with(options);
}

static kx_edit_request request_with(const kx_picture *reference)
{
    kx_edit_request request = test_request("A red boat on a lake");
    request.num_references = 1;
    request.references[0].picture = reference;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.width_px = 112;
    request.height_px = 80;
    return request;
}

static double psnr(const kx_result *a, const kx_result *b)
{
    const kx_picture *x = &a->images[0].picture, *y = &b->images[0].picture;
    double sum = 0, count = 3.0 * x->width_px * x->height_px;
    assert_true(x->width_px == y->width_px && x->height_px == y->height_px);
    for (int64_t i = 0; i < (int64_t)count; i++)
        sum += (double)(x->rgb[i] - y->rgb[i]) * (x->rgb[i] - y->rgb[i]);
    return sum == 0 ? 99 : 10 * log10(255.0 * 255.0 * count / sum);
}

/* The bounds are a few dB under what was seen (in decibels from f32: bf16 and int8). */
static void lower_precisions_are_near_the_exact_one(void **state)
{
    (void)state;
    kx_picture reference = test_paint(96, 64, 1);
    kx_edit_request request = request_with(&reference);
    kx_model *exact = open_in(KX_PRECISION_F32, 2);
    kx_result *expected = test_edit(exact, &request);
    static const struct {
        kx_precision precision;
        double least;
    } cases[] = {{KX_PRECISION_BF16, 45}, {KX_PRECISION_INT8, 38}};
    for (size_t i = 0; i < 2; i++) {
        kx_result *first = NULL;
        for (unsigned threads = 1; threads <= 3; threads++) {
            kx_model *model = open_in(cases[i].precision, threads);
            kx_result *result = test_edit(model, &request), *again = test_edit(model, &request);
            test_same_pictures("the second edit of a model", result, again);
            double distance = psnr(result, expected);
            if (threads == 1)
                print_message("# %s: %.1f dB from f32\n", kx_precision_name(cases[i].precision), distance);
            assert_true(distance >= cases[i].least && distance < 99);
            if (first == NULL)
                first = result;
            else
                test_same_pictures("another number of threads", result, first);
            if (result != first) kx_result_free(result);
            kx_result_free(again);
            kx_model_close(model);
        }
        kx_result_free(first);
    }
    kx_result_free(expected);
    kx_model_close(exact);
    kx_picture_free(&reference);
}

/* How far tensor `name` of a dump is from that of another. */
static double distance_of(const char *name, const kx_safetensors *dump, const kx_safetensors *exact)
{
    const kx_safetensors_tensor *a = kx_safetensors_find(dump, name), *b = kx_safetensors_find(exact, name);
    assert_true(a != NULL && b != NULL && a->count == b->count);
    return test_compare_f32((const float *)(const void *)a->data, (const float *)(const void *)b->data,
                            a->count)
        .relative_l2;
}

/* The upper bounds are some three times what was seen. */
static void both_text_encoders_are_computed_in_the_precision(void **state)
{
    (void)state;
    kx_error err = {0};
    static const double most[] = {[KX_PRECISION_BF16] = 6e-3, [KX_PRECISION_INT8] = 3e-2};
    static const char *const names[] = {"clip.pooled", "t5.embeds"};
    kx_safetensors dumps[KX_PRECISION_INT8 + 1] = {0};
    for (int p = KX_PRECISION_F32; p <= KX_PRECISION_INT8; p++) {
        kx_edit_request request = test_request("A red boat on a lake");
        kx_model *model = open_in((kx_precision)p, 1);
        request.dump_file = test_path_in(test_temporary_folder(), kx_precision_name((kx_precision)p));
        kx_result_free(test_edit(model, &request));
        kx_model_close(model);
        assert_ok(kx_safetensors_open(&dumps[p], request.dump_file, KX_ERR_INPUT, &err));
    }
    for (int p = KX_PRECISION_BF16; p <= KX_PRECISION_INT8; p++) {
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            double distance = distance_of(names[k], &dumps[p], &dumps[KX_PRECISION_F32]);
            print_message("# %s of %s: %.1e from f32\n", names[k], kx_precision_name((kx_precision)p),
                          distance);
            assert_true(distance > 1e-4 && distance < most[p]);
        }
    }
    for (int p = KX_PRECISION_F32; p <= KX_PRECISION_INT8; p++) kx_safetensors_close(&dumps[p]);
}

typedef struct pack_watch {
    int calls, stop_at;
    uint64_t done, total;
    double seconds;
} pack_watch;

static void watch_pack(void *user, const kx_progress *progress)
{
    pack_watch *watch = user;
    if (strcmp(progress->stage, "pack") != 0) return;
    assert_true(progress->done >= watch->done && progress->done <= progress->total);
    watch->done = progress->done;
    watch->total = progress->total;
    watch->seconds = progress->seconds;
    watch->calls++;
}

static int stop_in_pack(void *user)
{
    const pack_watch *watch = user;
    return watch->stop_at > 0 && watch->calls >= watch->stop_at;
}

static void packing_is_done_once_and_can_be_cancelled(void **state)
{
    (void)state;
    kx_picture reference = test_paint(96, 64, 1);
    kx_edit_request request = request_with(&reference);
    kx_model *model = open_in(KX_PRECISION_INT8, 2);
    kx_result *result = NULL;
    kx_error err = {0};
    pack_watch watch = {.stop_at = 3};
    kx_callbacks callbacks = {.progress = watch_pack, .cancelled = stop_in_pack, .user = &watch};
    kx_status status = kx_edit_run(model, &request, &callbacks, &result, &err);
    test_refused("cancelled while packing", &err, status, KX_ERR_CANCELLED, "cancelled");
    assert_true(watch.done > 0 && watch.done < watch.total);
    uint64_t all = watch.total, left = all - watch.done;
    watch = (pack_watch){0};
    assert_int_equal(kx_edit_run(model, &request, &callbacks, &result, &err), KX_OK);
    assert_true(watch.done == watch.total && watch.total == left);
    assert_true(watch.seconds > 0 && result->seconds.load >= watch.seconds);
    kx_result_free(result);
    watch = (pack_watch){0};
    assert_int_equal(kx_edit_run(model, &request, &callbacks, &result, &err), KX_OK);
    assert_int_equal(watch.calls, 0);
    kx_result_free(result);
    kx_model_close(model);
    kx_picture_free(&reference);
}

/* The plan knows the packed matrices, before and after they are made. The edit is so small that they are an
 * eighth of it. */
static void the_plan_counts_packed_matrices(void **state)
{
    (void)state;
    kx_edit_request request = test_request("A boat");
    request.width_px = request.height_px = 64;
    kx_model *model = open_in(KX_PRECISION_INT8, 2);
    kx_plan *plan = NULL;
    kx_error err = {0};
    assert_int_equal(kx_edit_plan(model, &request, &plan, &err), KX_OK);
    uint64_t packed = 0;
    for (size_t i = 0; i < plan->num_buffers; i++)
        if (strcmp(plan->buffers[i].name, "packed matrices") == 0) packed = plan->buffers[i].bytes;
    assert_true(packed > 0 && packed < plan->peak_bytes);
    kx_result *result = test_edit(model, &request);
    double ratio = (double)result->peak_anonymous_bytes / (double)plan->peak_bytes;
    print_message("# planned %.1f MB, %.1f MB of it packed; held %.1f MB (%.3f)\n",
                  1e-6 * (double)plan->peak_bytes, 1e-6 * (double)packed,
                  1e-6 * (double)result->peak_anonymous_bytes, ratio);
    /* A sanitizer holds memory of its own. */
    if (!TEST_UNDER_SANITIZER && !(ratio >= 0.9 && ratio <= 1.1)) fail_msg("held / planned is %.3f", ratio);
    kx_plan_free(plan);
    assert_int_equal(kx_edit_plan(model, &request, &plan, &err), KX_OK);
    for (size_t i = 0; i < plan->num_buffers; i++)
        assert_string_not_equal(plan->buffers[i].name, "packed matrices");
    kx_plan_free(plan);
    kx_result_free(result);
    kx_model_close(model);
}

typedef struct kept_checkpoint {
    uint8_t bytes[1 << 20];
    size_t count;
} kept_checkpoint;

static void keep(void *user, const void *data, size_t bytes)
{
    kept_checkpoint *kept = user;
    assert_true(bytes <= sizeof kept->bytes);
    memcpy(kept->bytes, data, bytes);
    kept->count = bytes;
}

/* What can be refused is refused before anything is packed, and where every step is done nothing is packed.
 */
static void only_steps_are_packed_for(void **state)
{
    (void)state;
    static kept_checkpoint kept;
    pack_watch watch = {0};
    kx_callbacks callbacks = {.checkpoint = keep, .user = &kept};
    kx_edit_request request = test_request("A boat");
    request.width_px = request.height_px = 64;
    request.checkpoint_steps = 1;
    kx_error err = {0};
    kx_result *whole = NULL, *result = NULL;
    kx_model *model = open_in(KX_PRECISION_INT8, 2);
    assert_ok(kx_edit_run(model, &request, &callbacks, &whole, &err));
    kx_model_close(model);
    callbacks = (kx_callbacks){.progress = watch_pack, .user = &watch};
    model = open_in(KX_PRECISION_INT8, 2);
    request.noise_file = "/nowhere.safetensors";
    kx_status status = kx_edit_run(model, &request, &callbacks, &result, &err);
    test_refused("no noise", &err, status, KX_ERR_INPUT, "/nowhere.safetensors");
    request.noise_file = NULL;
    request.resume = kept.bytes;
    request.resume_bytes = kept.count;
    request.prompt = "A ship";
    status = kx_edit_run(model, &request, &callbacks, &result, &err);
    test_refused("another edit", &err, status, KX_ERR_INPUT, "is of another edit");
    request.prompt = "A boat";
    assert_ok(kx_edit_run(model, &request, &callbacks, &result, &err));
    test_same_pictures("decoded again", result, whole);
    assert_int_equal(watch.calls, 0);
    kx_result_free(result);
    kx_result_free(whole);
    kx_model_close(model);
}

static void a_checkpoint_of_another_precision_is_refused(void **state)
{
    (void)state;
    static kept_checkpoint kept;
    kx_edit_request request = test_request("A boat");
    request.width_px = request.height_px = 64;
    request.checkpoint_steps = 1;
    kx_callbacks callbacks = {.checkpoint = keep, .user = &kept};
    kx_error err = {0};
    kx_result *result = NULL;
    kx_model *model = open_in(KX_PRECISION_INT8, 2);
    assert_int_equal(kx_edit_run(model, &request, &callbacks, &result, &err), KX_OK);
    kx_result_free(result);
    kx_model_close(model);
    request.resume = kept.bytes;
    request.resume_bytes = kept.count;
    model = open_in(KX_PRECISION_F32, 2);
    kx_status status = kx_edit_run(model, &request, NULL, &result, &err);
    test_refused("int8 in f32", &err, status, KX_ERR_INPUT, "in precision int8, this model runs in f32");
    kx_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_precisions_are_near_the_exact_one),
        cmocka_unit_test(both_text_encoders_are_computed_in_the_precision),
        cmocka_unit_test(packing_is_done_once_and_can_be_cancelled),
        cmocka_unit_test(the_plan_counts_packed_matrices),
        cmocka_unit_test(only_steps_are_packed_for),
        cmocka_unit_test(a_checkpoint_of_another_precision_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
