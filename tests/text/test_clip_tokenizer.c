#include "text_test_support.h"

#include "base/file.h"
#include "base/json_file.h"
#include "base/limits.h"
#include "engine/text/clip_tokenizer.h"
#include "engine/text/synthetic.h"

enum { MAX_TOKENS = 77 };

static kx_clip_tokenizer *open_folder(const char *folder)
{
    kx_error err = {0};
    kx_clip_tokenizer *clip = NULL;
    assert_ok(kx_clip_tokenizer_open(&clip, folder, &err));
    return clip;
}

static kx_token_count encode(const kx_clip_tokenizer *clip, const char *text, int32_t *ids)
{
    kx_error err = {0};
    kx_token_count count;
    assert_ok(kx_clip_tokenizer_encode(clip, text, strlen(text), MAX_TOKENS, ids, &count, &err));
    return count;
}

/* `expected` ends with -1; start and end tokens are not in it. */
static void assert_tokens(const kx_clip_tokenizer *clip, const char *text, const int32_t *expected)
{
    int32_t ids[MAX_TOKENS], bos = kx_clip_tokenizer_bos_id(clip), eos = kx_clip_tokenizer_eos_id(clip);
    size_t length = 0;
    kx_token_count count = encode(clip, text, ids);
    while (expected[length] >= 0) length++;
    assert_ids(text, ids, &bos, 1);
    assert_ids(text, ids + 1, expected, length);
    assert_ids(text, ids + 1 + length, &eos, 1);
    assert_int_equal(count.used, length + 2);
    assert_int_equal(count.cut, 0);
    for (size_t i = length + 2; i < MAX_TOKENS; i++) assert_int_equal(ids[i], kx_clip_tokenizer_pad_id(clip));
}
#define TOKENS(...) ((const int32_t[]){__VA_ARGS__, -1})
#define NO_TOKENS   ((const int32_t[]){-1})

static void every_reference_prompt_gives_its_ids(void **state)
{
    (void)state;
    kx_error err = {0};
    json_t *root = NULL, *row;
    size_t index, rows = 0;
    assert_ok(kx_json_file_load(&root, test_shared_path("golden/tokens.json"), 1 << 24, KX_ERR_INPUT, &err));
    kx_clip_tokenizer *clip = open_folder(test_shared_path("models/flux1-dev-config/tokenizer"));
    json_array_foreach(json_object_get(root, "prompts"), index, row)
    {
        int32_t ids[MAX_TOKENS];
        const char *text = json_string_value(json_object_get(row, "text"));
        const json_t *expected = json_object_get(row, "clip");
        size_t whole = (size_t)json_integer_value(json_object_get(row, "clip_untruncated_len"));
        kx_token_count count = encode(clip, text, ids);
        for (size_t i = 0; i < MAX_TOKENS; i++) {
            int32_t id = i < json_array_size(expected)
                             ? (int32_t)json_integer_value(json_array_get(expected, i))
                             : 49407;
            assert_ids(text, ids + i, &id, 1);
        }
        assert_int_equal(count.used + count.cut, whole);
        assert_int_equal(count.used, whole < MAX_TOKENS ? whole : MAX_TOKENS);
        size_t eot = (size_t)json_integer_value(json_object_get(row, "clip_eot_pos"));
        assert_int_equal(kx_clip_tokenizer_pooled_position(ids, MAX_TOKENS, 2), eot);
        assert_int_equal(kx_clip_tokenizer_pooled_position(ids, MAX_TOKENS, 49407), eot);
        rows++;
    }
    assert_true(rows >= 98);
    json_decref(root);
    kx_clip_tokenizer_close(clip);
}

static void the_published_tokenizer_is_described(void **state)
{
    (void)state;
    kx_clip_tokenizer *clip = open_folder(test_shared_path("models/flux1-dev-config/tokenizer"));
    assert_int_equal(kx_clip_tokenizer_vocabulary_size(clip), 49408);
    assert_int_equal(kx_clip_tokenizer_max_id(clip), 49407);
    assert_int_equal(kx_clip_tokenizer_bos_id(clip), 49406);
    assert_int_equal(kx_clip_tokenizer_eos_id(clip), 49407);
    assert_int_equal(kx_clip_tokenizer_pad_id(clip), 49407);
    assert_int_equal(kx_clip_tokenizer_max_tokens(clip), 77);
    assert_in_range(kx_clip_tokenizer_bytes(clip), 1 << 20, 3 << 20);
    kx_clip_tokenizer_close(clip);
}

/* Ids by hand: byte b from 33 to 126 is b - 33, 161..172 are 94.., 174..255 are 106.., the others 188..; +256
 * at the end of a word; 512 and 513 start and end. */
static void a_byte_vocabulary_without_merges_works(void **state)
{
    (void)state;
    kx_clip_tokenizer *clip = open_folder(test_source_path("tests/data/text/clip-bytes"));
    assert_int_equal(kx_clip_tokenizer_vocabulary_size(clip), 514);
    assert_int_equal(kx_clip_tokenizer_eos_id(clip), 513);
    assert_tokens(clip, "", NO_TOKENS);
    assert_tokens(clip, " \t\r\n ", NO_TOKENS);
    assert_tokens(clip, "Hi you", TOKENS(71, 328, 88, 78, 340));
    assert_tokens(clip, "it's", TOKENS(72, 339, 6, 338));
    assert_tokens(clip, "a12", TOKENS(320, 272, 273));  /* each digit is a word */
    assert_tokens(clip, "!?a", TOKENS(0, 286, 320));    /* other characters stay together */
    assert_tokens(clip, "\xc3\x89", TOKENS(127, 358));  /* E acute -> C3 A9 */
    assert_tokens(clip, "E\xcc\x81", TOKENS(127, 358)); /* the same, composed */
    assert_tokens(clip, "\xf0\x9f\x98\x80", TOKENS(172, 253, 246, 478));
    assert_tokens(clip, "\xc4\xb0",
                  TOKENS(328, 136, 485)); /* I with dot -> i, and a word of a dot above: CC 87 */
    kx_clip_tokenizer_close(clip);
}

static void special_tokens_in_a_prompt_are_ids(void **state)
{
    (void)state;
    int32_t ids[MAX_TOKENS];
    kx_clip_tokenizer *clip = open_folder(test_source_path("tests/data/text/clip-bytes"));
    assert_tokens(clip, "a<|endoftext|>b", TOKENS(320, 513, 321));
    encode(clip, "a<|endoftext|>b", ids);
    assert_int_equal(kx_clip_tokenizer_pooled_position(ids, MAX_TOKENS, 513), 2);
    assert_int_equal(kx_clip_tokenizer_pooled_position(ids, MAX_TOKENS, 2), 2);
    assert_int_equal(kx_clip_tokenizer_pooled_position(ids, MAX_TOKENS, 9999), 0);
    encode(clip, "<|ENDOFTEXT|>", ids); /* only the exact words are */
    assert_int_equal(ids[1], '<' - 33);
    kx_clip_tokenizer_close(clip);
}

static void merges_of_a_single_file_are_used(void **state)
{
    (void)state;
    kx_clip_tokenizer *clip = open_folder(test_source_path("tests/data/text/clip-merges"));
    assert_int_equal(kx_clip_tokenizer_vocabulary_size(clip), 520);
    assert_int_equal(kx_clip_tokenizer_eos_id(clip), 519);
    /* 512 th, 513 the|, 514 an, 515 and|, 516 ca, 517 cat| */
    assert_tokens(clip, "The cat and", TOKENS(513, 517, 515));
    assert_tokens(clip, "cats than", TOKENS(516, 't' - 33, 's' - 33 + 256, 512, 'a' - 33, 'n' - 33 + 256));
    kx_clip_tokenizer_close(clip);
}

static void a_long_prompt_is_cut_and_counted(void **state)
{
    (void)state;
    kx_error err = {0};
    int32_t ids[MAX_TOKENS + 1];
    char text[200];
    kx_token_count count;
    kx_clip_tokenizer *clip = open_folder(test_source_path("tests/data/text/clip-bytes"));
    memset(text, '7', sizeof text);
    for (size_t digits = 74; digits <= 77; digits++) {
        ids[MAX_TOKENS] = -5;
        assert_ok(kx_clip_tokenizer_encode(clip, text, digits, MAX_TOKENS, ids, &count, &err));
        assert_int_equal(count.used, digits < 75 ? digits + 2 : 77);
        assert_int_equal(count.cut, digits < 75 ? 0 : digits - 75);
        assert_int_equal(ids[count.used - 1], 513);
        assert_int_equal(ids[MAX_TOKENS], -5);
    }
    assert_ok(kx_clip_tokenizer_encode(clip, text, 5, 2, ids, &count, &err));
    assert_int_equal(ids[0], 512);
    assert_int_equal(ids[1], 513);
    assert_int_equal(count.cut, 5);
    kx_clip_tokenizer_close(clip);
}

static void a_bad_prompt_is_refused(void **state)
{
    (void)state;
    int32_t ids[MAX_TOKENS];
    kx_token_count count;
    kx_clip_tokenizer *clip = open_folder(test_source_path("tests/data/text/clip-bytes"));
    kx_error err = {0};
    assert_int_equal(kx_clip_tokenizer_encode(clip, "ab\xff", 3, MAX_TOKENS, ids, &count, &err),
                     KX_ERR_INPUT);
    assert_says(&err, KX_ERR_INPUT, "position 2");
    err = (kx_error){0};
    size_t length;
    char *text = repeated("a", KX_LIMIT_PROMPT_BYTES + 1, &length);
    assert_int_equal(kx_clip_tokenizer_encode(clip, text, length, MAX_TOKENS, ids, &count, &err),
                     KX_ERR_INPUT);
    assert_says(&err, KX_ERR_INPUT, "1048577 bytes");
    free(text);
    kx_clip_tokenizer_close(clip);
}

/* A megabyte of what is hard: one word, words, marks out of order, tokens, half tokens, characters that grow.
 */
static void a_megabyte_is_quick(void **state)
{
    (void)state;
    static const char *const texts[] = {"x",
                                        "the cat sat ",
                                        "a\xcc\x81\xcc\xa3",
                                        "\xcc\x81\xcc\xa3",
                                        "<|endoftext|>",
                                        "<|endoftext",
                                        "\xf0\x9d\x85\xa0",
                                        "\xce\x90",
                                        "'",
                                        "\xe7\x8c\xab",
                                        "     "};
    const char *folders[2] = {test_source_path("tests/data/text/clip-bytes"), NULL};
    const char *shared = getenv("KONTEXT_SHARED");
    char published[2048];
    snprintf(published, sizeof published, "%s/models/flux1-dev-config/tokenizer",
             shared != NULL ? shared : "");
    if (kx_file_exists(published)) folders[1] = published;
    for (size_t f = 0; f < 2 && folders[f] != NULL; f++) {
        kx_clip_tokenizer *clip = open_folder(folders[f]);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            int32_t ids[MAX_TOKENS];
            kx_token_count count;
            kx_error err = {0};
            size_t length;
            char *text = repeated(texts[i], KX_LIMIT_PROMPT_BYTES, &length);
            double start = seconds_now();
            assert_ok(kx_clip_tokenizer_encode(clip, text, length, MAX_TOKENS, ids, &count, &err));
            double seconds = seconds_now() - start;
            print_message("# \"%s\": %zu tokens in %.3f s\n", texts[i], count.used + count.cut, seconds);
            assert_true(seconds < 20); /* quadratic work would take hours; sanitizers take their part */
            free(text);
        }
        kx_clip_tokenizer_close(clip);
    }
}

static void what_is_written_is_the_byte_vocabulary(void **state)
{
    (void)state;
    kx_error err = {0};
    char folder[2048], path[2100];
    size_t vocabulary = 0, bytes[2];
    snprintf(folder, sizeof folder, "%s/made/tokenizer", test_temporary_folder());
    assert_ok(kx_clip_tokenizer_write_synthetic(folder, &vocabulary, &err));
    assert_int_equal(vocabulary, 514);
    snprintf(path, sizeof path, "%s/vocab.json", folder);
    uint8_t *first = test_read_file(path, &bytes[0]);
    assert_ok(kx_clip_tokenizer_write_synthetic(folder, NULL, &err));
    uint8_t *second = test_read_file(path, &bytes[1]);
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(first, second, bytes[0]);
    json_t *made = json_loadb((char *)first, bytes[0], 0, NULL);
    json_t *known = json_load_file(test_source_path("tests/data/text/clip-bytes/vocab.json"), 0, NULL);
    assert_true(json_equal(made, known));
    kx_clip_tokenizer *clip = open_folder(folder);
    assert_int_equal(kx_clip_tokenizer_vocabulary_size(clip), 514);
    assert_int_equal(kx_clip_tokenizer_max_id(clip), 513);
    assert_int_equal(kx_clip_tokenizer_max_tokens(clip), 77);
    assert_tokens(clip, "Hi you", TOKENS(71, 328, 88, 78, 340));
    kx_clip_tokenizer_close(clip);
    json_decref(made);
    json_decref(known);
    free(first);
    free(second);
    err = (kx_error){0};
    snprintf(folder, sizeof folder, "%s/vocab.json/below", test_temporary_folder());
    test_write_file("vocab.json", "x", 1);
    assert_int_equal(kx_clip_tokenizer_write_synthetic(folder, NULL, &err), KX_ERR_OUTPUT);
}

/* ---- Broken files ---- */

#define SPECIALS "\"<|startoftext|>\": 7, \"<|endoftext|>\": 8"
#define GOOD     "{\"a\": 0, \"b</w>\": 1, \"ab</w>\": 2, " SPECIALS "}"

static void broken_files_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *vocab, *merges, *config, *whole, *words;
    } cases[] = {
        {NULL, NULL, NULL, NULL, "vocab.json: the file is missing, and so are"},
        {GOOD, NULL, NULL, NULL, "merges.txt: the file is missing"},
        {NULL, "", NULL, NULL, "vocab.json: the file is missing"},
        {"", "", NULL, NULL, "vocab.json: not valid JSON at line 1"},
        {"[1]", "", NULL, NULL, "vocab.json: expected an object, found an array"},
        {"{}", "", NULL, NULL, "the vocabulary is empty"},
        {"{\"a\": \"0\"}", "", NULL, NULL,
         "entry 0 of the vocabulary: expected a whole number, found a string"},
        {"{\"a\": -1}", "", NULL, NULL, "the id -1 is not between"},
        {"{\"a\": 99999999}", "", NULL, NULL, "the id 99999999 is not between"},
        {"{\"a\": 1, \"b\": 1}", "", NULL, NULL, "entry 1 of the vocabulary: the id 1 stands twice"},
        {"{\"a\": 1, \"a\": 2}", "", NULL, NULL, "duplicate"},
        {"{\"a\": 0}", "", NULL, NULL, "lacks the bos_token, which is \"<|startoftext|>\""},
        {"{\"a\": 0, \"<|startoftext|>\": 1}", "", NULL, NULL, "lacks the eos_token"},
        {GOOD, "#version: 0.2\na b</w>\na c\n", NULL, NULL, "merges.txt: line 3: the right piece is not"},
        {GOOD, "a b</w> a\n", NULL, NULL, "merges.txt: line 1: expected two pieces"},
        {GOOD, "ab\n", NULL, NULL, "merges.txt: line 1: expected two pieces"},
        {GOOD, "\n a\n", NULL, NULL, "merges.txt: line 2: expected two pieces"},
        {GOOD, "c a", NULL, NULL, "line 1: the left piece is not in the vocabulary"},
        {GOOD, "a a", NULL, NULL, "line 1: the merged piece is not in the vocabulary"},
        {GOOD, "", "[]", NULL, "tokenizer_config.json: expected an object"},
        {GOOD, "", "{\"eos_token\": 5}", NULL, "a token: expected an object, found a real"},
        {GOOD, "", "{\"eos_token\": {\"content\": null}}", NULL,
         "\"content\": expected a string, found null"},
        {GOOD, "", "{\"eos_token\": \"</s>\"}", NULL, "lacks the eos_token, which is \"</s>\""},
        {GOOD, "", "{\"added_tokens_decoder\": []}", NULL, "\"added_tokens_decoder\": expected an object"},
        {GOOD, "", "{\"added_tokens_decoder\": {\"-1\": {\"content\": \"x\"}}}", NULL, "a key is not an id"},
        {GOOD, "", "{\"added_tokens_decoder\": {\"8x\": {\"content\": \"x\"}}}", NULL, "a key is not an id"},
        {GOOD, "", "{\"added_tokens_decoder\": {\"3\": {}}}", NULL,
         "\"content\": expected a string, found nothing"},
        {GOOD, "", "{\"added_tokens_decoder\": {\"3\": {\"content\": \"a\"}}}", NULL,
         "has id 0 in the vocabulary"},
        {GOOD, "", "{\"added_tokens_decoder\": {\"2\": {\"content\": \"x\"}}}", NULL,
         "belongs to another piece"},
        {GOOD, "", "{\"added_tokens_decoder\": {\"9\": {\"content\": \"x\"}, \"10\": {\"content\": \"x\"}}}",
         NULL, "are the same text"},
        {GOOD, "", "{\"added_tokens_decoder\": {\"9\": {\"content\": \"x\", \"lstrip\": 1}}}", NULL,
         "lstrip of a token: expected true or false"},
        {NULL, NULL, NULL, "{}", "tokenizer.json: \"model\": expected an object, found nothing"},
        {NULL, NULL, NULL, "{\"model\": {\"vocab\": {}}}", "\"type\": expected a string, found nothing"},
        {NULL, NULL, NULL, "{\"model\": {\"type\": \"Unigram\"}}", "the model type is not BPE"},
        {NULL, NULL, NULL, "{\"model\": {\"type\": \"BPE\", \"vocab\": []}}",
         "\"vocab\": expected an object"},
        {NULL, NULL, NULL, "{\"model\": {\"type\": \"BPE\", \"vocab\": " GOOD "}}",
         "\"merges\": expected an array"},
        {NULL, NULL, NULL, "{\"model\": {\"type\": \"BPE\", \"vocab\": " GOOD ", \"merges\": [\"a\"]}}",
         "merge 0: expected two pieces"},
        {NULL, NULL, NULL, "{\"model\": {\"type\": \"BPE\", \"vocab\": " GOOD ", \"merges\": [[\"a\", 1]]}}",
         "merge 0: expected two pieces"},
        {NULL, NULL, NULL,
         "{\"added_tokens\": 1, \"model\": {\"type\": \"BPE\", \"vocab\": " GOOD ", \"merges\": []}}",
         "\"added_tokens\": expected an array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_clip_tokenizer *clip = NULL;
        kx_error err = {0};
        kx_clip_tokenizer_files files = {
            .vocab = file_of("vocab.json", cases[i].vocab),
            .merges = file_of("merges.txt", cases[i].merges),
            .whole = file_of("tokenizer.json", cases[i].whole),
            .config = file_of("tokenizer_config.json", cases[i].config),
            .special = file_of("special_tokens_map.json", NULL),
        };
        kx_clip_tokenizer_read(&clip, &files, &err);
        assert_says(&err, KX_ERR_MODEL, cases[i].words);
        assert_sentence(&err);
        assert_null(clip);
    }
}

/* Bytes that the vocabulary lacks become the unknown token; flags and names come from the files. */
static void odd_files_work(void **state)
{
    (void)state;
    kx_clip_tokenizer *clip = NULL;
    kx_error err = {0};
    kx_clip_tokenizer_files files = {
        .vocab = file_of("vocab.json",
                         "{\"a\": 0, \"b</w>\": 1, \"ab</w>\": 2, \"[s]\": 3, \"[e]\": 4, \"!\": 5}"),
        .merges = file_of("merges.txt", "a b</w>\r\n\r\n"),
        .config =
            file_of("tokenizer_config.json",
                    "{\"bos_token\": {\"content\": \"[s]\"}, \"eos_token\": null, \"pad_token\": \"!\", "
                    "\"model_max_length\": 1000000000000000019884624838656, \"added_tokens_decoder\": "
                    "{\"9\": {\"content\": \"[B]\", \"normalized\": true, \"lstrip\": true}}}"),
        .special = file_of("special_tokens_map.json", "{\"eos_token\": \"[e]\", \"bos_token\": \"[x]\"}"),
    };
    assert_ok(kx_clip_tokenizer_read(&clip, &files, &err));
    assert_int_equal(kx_clip_tokenizer_bos_id(clip), 3);
    assert_int_equal(kx_clip_tokenizer_pad_id(clip), 5);
    assert_int_equal(kx_clip_tokenizer_max_id(clip), 9);
    assert_int_equal(kx_clip_tokenizer_vocabulary_size(clip), 7);
    assert_int_equal(kx_clip_tokenizer_max_tokens(clip), 77);
    assert_tokens(clip, "ab xab!", TOKENS(2, 4, 2, 5));
    assert_tokens(clip, "ab [b]ab [B]", TOKENS(2, 9, 2, 9)); /* found after the lower case */
    kx_clip_tokenizer_close(clip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reference_prompt_gives_its_ids),
        cmocka_unit_test(the_published_tokenizer_is_described),
        cmocka_unit_test(a_byte_vocabulary_without_merges_works),
        cmocka_unit_test(special_tokens_in_a_prompt_are_ids),
        cmocka_unit_test(merges_of_a_single_file_are_used),
        cmocka_unit_test(a_long_prompt_is_cut_and_counted),
        cmocka_unit_test(a_bad_prompt_is_refused),
        cmocka_unit_test(a_megabyte_is_quick),
        cmocka_unit_test(what_is_written_is_the_byte_vocabulary),
        cmocka_unit_test(broken_files_are_refused_with_a_sentence),
        cmocka_unit_test(odd_files_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
