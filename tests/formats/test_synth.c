#include "formats_test_support.h"

#include "engine/formats/model_folder.h"
#include "engine/formats/synth.h"
#include "engine/formats/synth_shapes.h"
#include "engine/formats/verify.h"

#include <dirent.h>
#include <math.h>

static const kx_synth_options tiny = {.preset = KX_SYNTH_TINY, .seed = 1, .clip_vocab = 514, .t5_vocab = 300};

static kx_status add_tokenizers(void *context, const char *folder, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_file_make_directory(path_in(folder, "tokenizer"), err));
    KX_TRY(kx_file_make_directory(path_in(folder, "tokenizer_2"), err));
    write_text_file(path_in(folder, "tokenizer/vocab.json"), "{}");
    if (context != NULL)
        status = kx_error_set(err, *(kx_status *)context, __FILE__, __LINE__, "no tokenizer");
out:
    return status;
}

static size_t entries_in(const char *folder)
{
    DIR *directory = opendir(folder);
    size_t count = 0;
    if (directory == NULL) return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void one_seed_makes_one_model(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *folders[3];
    static const char *const files[] = {"model_index.json",
                                        "kontext.json",
                                        "scheduler/scheduler_config.json",
                                        "transformer/config.json",
                                        "transformer/diffusion_pytorch_model.safetensors",
                                        "vae/config.json",
                                        "vae/diffusion_pytorch_model.safetensors",
                                        "text_encoder/config.json",
                                        "text_encoder/model.safetensors",
                                        "text_encoder_2/config.json",
                                        "text_encoder_2/model.safetensors"};
    for (int i = 0; i < 3; i++) {
        char name[16];
        kx_synth_options options = tiny;
        snprintf(name, sizeof name, "synth-%d", i);
        folders[i] = path_in(test_temporary_folder(), name);
        options.seed = i == 2 ? 2 : 1;
        assert_ok(kx_synth_write(folders[i], &options, NULL, &err));
    }
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        size_t bytes[3];
        uint8_t *data[3];
        for (int i = 0; i < 3; i++) data[i] = test_read_file(path_in(folders[i], files[f]), &bytes[i]);
        assert_int_equal(bytes[0], bytes[1]);
        assert_memory_equal(data[0], data[1], bytes[0]);
        if (strstr(files[f], "safetensors") != NULL)
            assert_true(bytes[0] == bytes[2] && memcmp(data[0], data[2], bytes[0]) != 0);
        for (int i = 0; i < 3; i++) free(data[i]);
    }
}

/* The bytes belong to the format of the preset: other programs' results are compared on them. */
static void the_bytes_are_the_known_ones(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *folder = path_in(test_temporary_folder(), "known");
    assert_ok(kx_synth_write(folder, &tiny, NULL, &err));
    size_t bytes;
    uint8_t *data =
        test_read_file(path_in(folder, "transformer/diffusion_pytorch_model.safetensors"), &bytes);
    assert_string_equal(test_sha256(data, bytes),
                        "5e99a338b807c49deed04b179a3441357beba5802949764ec51c1a72608bd31f");
    free(data);
}

/* name -> count, sum and sum of squares of the tensor's numbers */
static void assert_spread(const kx_part *part, const char *name, double mean, double deviation)
{
    kx_error err = {0};
    kx_weight weight;
    bool found;
    assert_ok(part->source.find(part->source.context, name, &weight, &found, &err));
    assert_true(found);
    size_t count = (size_t)(kx_weight_rows(&weight) * kx_weight_cols(&weight));
    float *values = malloc(count * sizeof *values);
    double sum = 0, squares = 0;
    kx_weight_read_f32(&weight, values);
    for (size_t i = 0; i < count; i++) sum += values[i];
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - sum / (double)count) * (values[i] - sum / (double)count);
    free(values);
    double error = 6 * deviation / sqrt((double)count);
    if (fabs(sum / (double)count - mean) > error || fabs(sqrt(squares / (double)count) - deviation) > error)
        fail_msg("%s: mean %g, deviation %g; %g, %g are expected", name, sum / (double)count,
                 sqrt(squares / (double)count), mean, deviation);
}

static void the_tiny_model_is_a_model(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_files *files = NULL;
    kx_synth_options options = tiny;
    options.add_files = add_tokenizers;
    const char *folder = path_in(test_temporary_folder(), "new/parents/model");
    assert_ok(kx_synth_write(folder, &options, NULL, &err));
    assert_int_equal(entries_in(path_in(test_temporary_folder(), "new/parents")), 1);
    assert_ok(kx_model_files_open(&files, folder, NULL, &err));
    assert_int_equal(files->parts[KX_PART_TRANSFORMER].num_tensors, 126);
    assert_int_equal(files->parts[KX_PART_VAE].num_tensors, 240);
    assert_string_equal(files->configs.kontext.name, "synthetic tiny, seed 1");
    assert_int_equal(files->configs.kontext.native_area.value, 128 * 128);
    assert_int_equal(files->configs.kontext.max_text_tokens.value, 64);
    assert_int_equal(files->configs.clip.eos_token_id.value, 2);
    for (size_t i = 0; i < files->configs.kontext.num_preferred_sizes; i++) {
        kx_size size = files->configs.kontext.preferred_sizes[i];
        assert_true(abs(size.width_px * size.height_px - 128 * 128) < 1700);
    }
    assert_ok(kx_verify_model(files, NULL, &err));
    const kx_part *transformer = &files->parts[KX_PART_TRANSFORMER];
    assert_spread(transformer, "double_blocks.1.img_mlp.0.weight", 0, 1 / sqrt(96));
    assert_spread(transformer, "double_blocks.1.img_attn.norm.query_norm.scale", 1, 0.1);
    assert_spread(&files->parts[KX_PART_T5], "shared.weight", 0, 1);
    assert_spread(&files->parts[KX_PART_VAE], "decoder.up.2.block.0.conv1.weight", 0, 1 / sqrt(64 * 9));
    kx_weight table;
    int64_t shape[2] = {384, 64};
    assert_ok(kx_weight_need(&files->parts[KX_PART_T5].source, "shared.weight", 2, shape, &table, &err));
    kx_model_files_close(files);
}

static void the_large_presets_have_the_true_sizes(void **state)
{
    (void)state;
    static const uint64_t full[KX_PART_COUNT] = {11901408320, 83819683, 123060480,
                                                 4762310656}; /* specification */
    for (int preset = KX_SYNTH_SLICE; preset <= KX_SYNTH_FULL; preset++) {
        kx_error err = {0};
        kx_arena arena = {0};
        kx_synth_options options = {.preset = (kx_synth_preset)preset};
        kx_synth_sizes sizes = kx_synth_sizes_of(&options);
        for (int kind = 0; kind < KX_PART_COUNT; kind++) {
            kx_synth_list list = {.arena = &arena};
            assert_ok(kx_synth_list_part(&list, &sizes, (kx_part_kind)kind, &err));
            if (preset == KX_SYNTH_FULL) assert_int_equal(list.bytes, 2 * full[kind]);
            if (preset == KX_SYNTH_FULL && kind == KX_PART_TRANSFORMER) assert_int_equal(list.count, 1160);
            if (preset == KX_SYNTH_SLICE) assert_true(list.bytes < 3000000000u);
        }
        kx_arena_free(&arena);
    }
}

static void shards_hold_the_same_model(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_files *files[2];
    for (int i = 0; i < 2; i++) {
        kx_synth_options options = tiny;
        options.add_files = add_tokenizers;
        options.shard_bytes = i == 0 ? 0 : 300000;
        const char *folder = path_in(test_temporary_folder(), i == 0 ? "one-file" : "many-files");
        assert_ok(kx_synth_write(folder, &options, NULL, &err));
        assert_ok(kx_model_files_open(&files[i], folder, NULL, &err));
    }
    assert_int_equal(files[0]->num_files, 4);
    assert_true(files[1]->parts[KX_PART_TRANSFORMER].num_files > 3);
    for (int kind = 0; kind < KX_PART_COUNT; kind++) {
        const kx_part *whole = &files[0]->parts[kind], *cut = &files[1]->parts[kind];
        assert_int_equal(whole->num_entries, cut->num_entries);
        for (size_t i = 0; i < whole->num_entries; i++) {
            const kx_safetensors_tensor *a = whole->entries[i].tensor, *b = cut->entries[i].tensor;
            assert_string_equal(a->name, b->name);
            assert_int_equal(a->bytes, b->bytes);
            assert_memory_equal(a->data, b->data, a->bytes);
        }
        for (size_t i = 0; i < cut->num_files && cut->num_files > 1; i++)
            assert_true(cut->files[i]->bytes < 320000);
    }
    for (int i = 0; i < 2; i++) kx_model_files_close(files[i]);
}

/* ---- All or nothing ----------------------------------------------------------------------------------- */

typedef struct watch {
    uint64_t stop_at; /* bytes */
    uint64_t done, total;
    size_t reports;
    bool backwards;
} watch;

static void note_progress(void *user, const kx_progress *progress)
{
    watch *w = user;
    if (progress->done < w->done) w->backwards = true;
    w->done = progress->done;
    w->total = progress->total;
    w->reports++;
}

static int is_cancelled(void *user)
{
    const watch *w = user;
    return w->done >= w->stop_at;
}

static void cancelling_leaves_nothing(void **state)
{
    (void)state;
    kx_error err = {0};
    watch w = {.stop_at = UINT64_MAX};
    kx_callbacks callbacks = {.progress = note_progress, .cancelled = is_cancelled, .user = &w};
    const char *root = fresh_folder("cancel");
    assert_ok(kx_synth_write(path_in(root, "whole"), &tiny, &callbacks, &err));
    assert_int_equal(w.done, w.total);
    assert_false(w.backwards);
    uint64_t total = w.total;
    for (uint64_t i = 0; i < 6; i++) {
        w = (watch){.stop_at = total * i / 6};
        kx_status status = kx_synth_write(path_in(root, "deep/er/model"), &tiny, &callbacks, &err);
        assert_says(&err, status, KX_ERR_CANCELLED, "cancelled");
        assert_int_equal(entries_in(root), 1);
    }
    kx_status reason = KX_ERR_OUTPUT;
    kx_synth_options options = tiny;
    options.add_files = add_tokenizers;
    options.context = &reason;
    kx_status status = kx_synth_write(path_in(root, "other"), &options, NULL, &err);
    assert_says(&err, status, KX_ERR_OUTPUT, "no tokenizer");
    assert_int_equal(entries_in(root), 1);
}

static void existing_things_are_not_touched(void **state)
{
    (void)state;
    kx_error err = {0};
    const char *folder = fresh_folder("occupied");
    write_text_file(path_in(folder, "letter.txt"), "dear reader");
    kx_status status = kx_synth_write(folder, &tiny, NULL, &err);
    assert_says(&err, status, KX_ERR_OUTPUT, "is not empty");
    status = kx_synth_write(path_in(folder, "letter.txt"), &tiny, NULL, &err);
    assert_says(&err, status, KX_ERR_OUTPUT, "is not a directory");
    assert_int_equal(entries_in(folder), 1);
    assert_ok(kx_synth_write(fresh_folder("vacant"), &tiny, NULL, &err));
    assert_true(kx_file_exists(path_in(test_temporary_folder(), "vacant/model_index.json")));
}

/* ---- Verify ------------------------------------------------------------------------------------------- */

static void every_type_shows_its_bad_numbers(void **state)
{
    (void)state;
    static const struct {
        kx_dtype dtype;
        uint64_t bad[3];
        uint64_t good[4];
    } cases[] = {
        {KX_F32, {0x7f800000, 0xff800000, 0x7fc00001}, {0x7f7fffff, 0xff7fffff, 0x80000000, 1}},
        {KX_BF16, {0x7f80, 0xff80, 0x7fc0}, {0x7f7f, 0xff7f, 0x8000, 1}},
        {KX_F16, {0x7c00, 0xfc00, 0x7e01}, {0x7bff, 0xfbff, 0x8000, 1}},
        {KX_F8_E4M3, {0x7f, 0xff, 0x7f}, {0x7e, 0xfe, 0x80, 1}},
        {KX_F8_E5M2, {0x7c, 0xfc, 0x7d}, {0x7b, 0xfb, 0x80, 1}},
        {KX_F64, {0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000001}, {0x7fefffffffffffff, 1, 2, 3}},
    };
    enum { COUNT = 37 };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t size = kx_dtype_bytes(cases[c].dtype), element;
        uint8_t data[COUNT * 8 + 1];
        kx_safetensors_tensor tensor = {
            .dtype = cases[c].dtype, .rank = 1, .count = COUNT, .bytes = COUNT * size, .data = data + 1};
        for (size_t bad = 0; bad < 3; bad++) {
            for (size_t at = 0; at < COUNT; at++) {
                for (size_t i = 0; i < COUNT; i++) memcpy(data + 1 + i * size, &cases[c].good[i % 4], size);
                assert_true(kx_verify_tensor(&tensor, &element));
                memcpy(data + 1 + at * size, &cases[c].bad[bad], size);
                assert_false(kx_verify_tensor(&tensor, &element));
                assert_int_equal(element, at);
            }
        }
    }
    uint32_t ones = UINT32_MAX;
    kx_safetensors_tensor whole = {.dtype = KX_I32, .count = 1, .bytes = 4, .data = (uint8_t *)&ones};
    size_t element;
    assert_true(kx_verify_tensor(&whole, &element));
}

static void a_bad_number_is_found_and_named(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_model_files *files = NULL;
    kx_synth_options options = tiny;
    options.add_files = add_tokenizers;
    const char *folder = path_in(test_temporary_folder(), "verify");
    assert_ok(kx_synth_write(folder, &options, NULL, &err));
    /* A NaN in the last element of the file's last tensor. */
    const char *path = path_in(folder, "vae/diffusion_pytorch_model.safetensors");
    FILE *file = fopen(path, "r+b");
    static const uint8_t nan_bits[2] = {0xc0, 0x7f};
    fseek(file, -2, SEEK_END);
    assert_int_equal(fwrite(nan_bits, 1, 2, file), 2);
    fclose(file);
    assert_ok(kx_model_files_open(&files, folder, NULL, &err));
    kx_status status = kx_verify_model(files, NULL, &err);
    assert_says(
        &err, status, KX_ERR_MODEL,
        "vae/diffusion_pytorch_model.safetensors: tensor decoder.conv_out.bias: element 2 of 3 is not");
    watch w = {.stop_at = 1};
    kx_callbacks callbacks = {.progress = note_progress, .cancelled = is_cancelled, .user = &w};
    status = kx_verify_model(files, &callbacks, &err);
    assert_says(&err, status, KX_ERR_CANCELLED, "cancelled");
    assert_true(w.reports >= 1);
    kx_model_files_close(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_makes_one_model),
        cmocka_unit_test(the_bytes_are_the_known_ones),
        cmocka_unit_test(the_tiny_model_is_a_model),
        cmocka_unit_test(the_large_presets_have_the_true_sizes),
        cmocka_unit_test(shards_hold_the_same_model),
        cmocka_unit_test(cancelling_leaves_nothing),
        cmocka_unit_test(existing_things_are_not_touched),
        cmocka_unit_test(every_type_shows_its_bad_numbers),
        cmocka_unit_test(a_bad_number_is_found_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
