/* Whole edits on a tiny model with random weights: every kind of request works, and equal requests give equal
 * bytes. */
#include "pipeline_test_support.h"

#include <math.h>

/* ---- Many kinds of edits ---- */

typedef struct mixed_job {
    const char *prompt;
    int num_references;
    int sizes[KX_MAX_REFERENCES][2];
    kx_reference_scheme scheme;
    kx_ref_size ref_size;
    int given[2];
    int output[2]; /* 0, 0: not asked for */
    double aspect[2];
    int expected[2];
    unsigned num_images;
    uint64_t ref_pixels;
    kx_noise_stream noise;
} mixed_job;

static const mixed_job mixed_jobs[] = {
    {"a", 0, .expected = {128, 128}},
    {"Make the sky green", 1, {{128, 128}}, .expected = {128, 128}},
    {"odd size", 1, {{64, 64}}, .ref_size = KX_REF_SIZE_NATIVE, .output = {100, 75}, .expected = {100, 75}},
    {"the smallest", 0, .output = {16, 16}, .expected = {16, 16}},
    {"narrow", 1, {{300, 20}}, .output = {17, 200}, .expected = {17, 200}},
    {"preferred", 1, {{320, 200}}, .expected = {176, 96}},
    {"one pixel", 1, {{1, 1}}, .output = {48, 48}, .expected = {48, 48}},
    {"native", 1, {{75, 100}}, .ref_size = KX_REF_SIZE_NATIVE, .expected = {64, 96}},
    {"given", 1, {{75, 100}}, .ref_size = KX_REF_SIZE_GIVEN, .given = {50, 100}, .expected = {48, 96}},
    {"two beside each other", 2, {{64, 64}, {100, 50}}, .ref_size = KX_REF_SIZE_NATIVE, .expected = {64, 64}},
    {"two in layers",
     2,
     {{64, 64}, {100, 50}},
     KX_REFERENCES_INDEX,
     KX_REF_SIZE_NATIVE,
     .expected = {64, 64}},
    {"two on a canvas",
     2,
     {{64, 64}, {100, 50}},
     KX_REFERENCES_STITCH,
     .output = {64, 64},
     .expected = {64, 64}},
    {"three on a canvas",
     3,
     {{64, 80}, {100, 50}, {9, 200}},
     KX_REFERENCES_STITCH,
     KX_REF_SIZE_NATIVE,
     .expected = {64, 80}},
    {"three",
     3,
     {{64, 64}, {32, 96}, {96, 32}},
     .ref_size = KX_REF_SIZE_NATIVE,
     .output = {33, 47},
     .expected = {33, 47}},
    {"four",
     4,
     {{64, 64}, {32, 96}, {96, 32}, {16, 16}},
     .ref_size = KX_REF_SIZE_NATIVE,
     .expected = {64, 64}},
    {"four in layers",
     4,
     {{64, 64}, {32, 96}, {96, 32}, {16, 16}},
     KX_REFERENCES_INDEX,
     KX_REF_SIZE_GIVEN,
     .given = {32, 32},
     .output = {80, 64},
     .expected = {80, 64}},
    {"four in a budget",
     4,
     {{64, 64}, {64, 64}, {64, 64}, {64, 64}},
     .ref_pixels = 4096,
     .output = {64, 48},
     .expected = {64, 48}},
    {"aspect", 1, {{64, 64}}, .ref_size = KX_REF_SIZE_NATIVE, .aspect = {4, 1}, .expected = {256, 64}},
    {"three results", 1, {{64, 64}}, .ref_size = KX_REF_SIZE_NATIVE, .expected = {64, 64}, .num_images = 3},
    {"an emoji \xf0\x9f\x8e\xa8, \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 0, .output = {64, 64},
     .expected = {64, 64}, .noise = KX_NOISE_TORCH_BF16},
    {"old noise", 0, .output = {64, 64}, .expected = {64, 64}, .noise = KX_NOISE_TORCH_BF16_OLD},
};
enum { MIXED_JOBS = sizeof mixed_jobs / sizeof mixed_jobs[0] };

static kx_result *run_mixed(kx_model *model, const mixed_job *job)
{
    kx_picture pictures[KX_MAX_REFERENCES] = {0};
    kx_edit_request request = test_request(job->prompt);
    request.steps = 1;
    request.num_references = (size_t)job->num_references;
    for (int k = 0; k < job->num_references; k++) {
        pictures[k] = test_paint(job->sizes[k][0], job->sizes[k][1], (unsigned)k + 1);
        request.references[k].picture = &pictures[k];
    }
    request.scheme = job->scheme;
    request.ref_size = job->ref_size;
    request.ref_width_px = job->given[0];
    request.ref_height_px = job->given[1];
    request.width_px = job->output[0];
    request.height_px = job->output[1];
    request.aspect_w = job->aspect[0];
    request.aspect_h = job->aspect[1];
    request.num_images = job->num_images > 0 ? job->num_images : 1;
    request.ref_pixels = job->ref_pixels;
    request.noise_stream = job->noise;
    kx_result *result = test_edit(model, &request);
    for (int k = 0; k < job->num_references; k++) kx_picture_free(&pictures[k]);
    return result;
}

/* Colours of a picture of random weights lie all over the range. */
static void assert_a_picture(const mixed_job *job, const kx_picture *picture)
{
    if (picture->width_px != job->expected[0] || picture->height_px != job->expected[1])
        fail_msg("%s: the result is %dx%d, %dx%d is expected", job->prompt, picture->width_px,
                 picture->height_px, job->expected[0], job->expected[1]);
    size_t bytes = 3 * (size_t)picture->width_px * (size_t)picture->height_px;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < bytes; i++) {
        sum += picture->rgb[i];
        squares += (double)picture->rgb[i] * picture->rgb[i];
    }
    double mean = sum / (double)bytes, deviation = sqrt(fmax(squares / (double)bytes - mean * mean, 0));
    if (deviation < 4)
        fail_msg("%s: the result is flat: mean %.1f, deviation %.2f", job->prompt, mean, deviation);
}

static void twenty_kinds_of_edits_on_one_model(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(0);
    for (int i = 0; i < MIXED_JOBS; i++) {
        const mixed_job *job = &mixed_jobs[i];
        kx_result *result = run_mixed(model, job);
        assert_int_equal(result->num_images, job->num_images > 0 ? job->num_images : 1);
        assert_int_equal(result->num_references, job->num_references);
        assert_int_equal(result->steps, 1);
        assert_true(result->guidance == 2.5);
        assert_true(result->clip_tokens >= 3 && result->t5_tokens >= 2);
        assert_true(result->seconds.total > 0 && result->seconds.denoise > 0);
        for (size_t k = 0; k < result->num_images; k++) {
            assert_a_picture(job, &result->images[k].picture);
            assert_int_equal(result->images[k].seed, 7 + k);
        }
        kx_result_free(result);
    }
    kx_model_close(model);
}

/* ---- Equal requests, equal bytes ---- */

static void any_number_of_threads_gives_the_same_bytes_twice(void **state)
{
    (void)state;
    static const int chosen[] = {2, 9, 14};
    kx_model *one = test_open_tiny(1), *two = test_open_tiny(2), *five = test_open_tiny(5);
    for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++) {
        const mixed_job *job = &mixed_jobs[chosen[i]];
        kx_result *first = run_mixed(one, job), *again = run_mixed(one, job);
        kx_result *with_two = run_mixed(two, job), *with_five = run_mixed(five, job);
        test_same_pictures("twice in a row", again, first);
        test_same_pictures("one and two threads", with_two, first);
        test_same_pictures("one and five threads", with_five, first);
        kx_result_free(first);
        kx_result_free(again);
        kx_result_free(with_two);
        kx_result_free(with_five);
    }
    kx_model_close(one);
    kx_model_close(two);
    kx_model_close(five);
}

static void image_k_is_the_edit_with_seed_plus_k(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(0);
    kx_picture picture = test_paint(64, 48, 3);
    kx_edit_request request = test_request("Three of them");
    request.references[0].picture = &picture;
    request.num_references = 1;
    request.ref_size = KX_REF_SIZE_NATIVE;
    request.num_images = 3;
    kx_result *three = test_edit(model, &request);
    request.num_images = 1;
    for (unsigned k = 0; k < 3; k++) {
        request.seed = 7 + k;
        kx_result *single = test_edit(model, &request);
        const kx_picture *a = &three->images[k].picture, *b = &single->images[0].picture;
        assert_int_equal(three->images[k].seed, single->images[0].seed);
        assert_memory_equal(a->rgb, b->rgb, 3 * 64 * 48);
        if (k > 0) assert_true(memcmp(a->rgb, three->images[0].picture.rgb, 3 * 64 * 48) != 0);
        kx_result_free(single);
    }
    kx_result_free(three);
    kx_picture_free(&picture);
    kx_model_close(model);
}

static void a_drawn_seed_can_be_used_again(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(0);
    kx_edit_request request = test_request("Any");
    request.width_px = request.height_px = 32;
    request.seed_is_random = 1;
    kx_result *first = test_edit(model, &request), *other = test_edit(model, &request);
    assert_true(first->images[0].seed != other->images[0].seed);
    request.seed_is_random = 0;
    request.seed = first->images[0].seed;
    kx_result *again = test_edit(model, &request);
    test_same_pictures("a drawn seed and the same given", again, first);
    kx_result_free(first);
    kx_result_free(other);
    kx_result_free(again);
    kx_model_close(model);
}

/* Whether a change of the request moves the result. */
static void every_part_of_a_request_counts(void **state)
{
    (void)state;
    kx_model *model = test_open_tiny(0);
    kx_picture pictures[2] = {test_paint(64, 64, 1), test_paint(64, 64, 2)};
    kx_edit_request base = test_request("Make it red"), changed[8];
    base.references[0].picture = &pictures[0];
    base.references[1].picture = &pictures[1];
    base.num_references = 2;
    base.ref_size = KX_REF_SIZE_NATIVE;
    for (int i = 0; i < 8; i++) changed[i] = base;
    changed[0].prompt = "Make it blue";
    changed[1].seed = 8;
    changed[2].guidance = 4;
    changed[3].steps = 3;
    changed[4].scheme = KX_REFERENCES_INDEX;
    changed[5].references[0].picture = &pictures[1];
    changed[5].references[1].picture = &pictures[0];
    changed[6].num_references = 1;
    changed[7].noise_stream = KX_NOISE_TORCH_BF16_OLD;
    kx_result *result = test_edit(model, &base);
    for (int i = 0; i < 8; i++) {
        kx_result *other = test_edit(model, &changed[i]);
        if (memcmp(other->images[0].picture.rgb, result->images[0].picture.rgb, 3 * 64 * 64) == 0)
            fail_msg("change %d of the request does not change the result", i);
        kx_result_free(other);
    }
    kx_result_free(result);
    kx_picture_free(&pictures[0]);
    kx_picture_free(&pictures[1]);
    kx_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_kinds_of_edits_on_one_model),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bytes_twice),
        cmocka_unit_test(image_k_is_the_edit_with_seed_plus_k),
        cmocka_unit_test(a_drawn_seed_can_be_used_again),
        cmocka_unit_test(every_part_of_a_request_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
