#include "text_test_support.h"

#include "base/file.h"
#include "base/json_file.h"
#include "base/limits.h"
#include "engine/text/synthetic.h"
#include "engine/text/t5_tokenizer.h"

enum { MAX_TOKENS = 512 };

static kx_t5_tokenizer *open_folder(const char *folder)
{
    kx_error err = {0};
    kx_t5_tokenizer *t5 = NULL;
    assert_ok(kx_t5_tokenizer_open(&t5, folder, &err));
    return t5;
}

static kx_token_count encode(const kx_t5_tokenizer *t5, const char *text, int32_t *ids)
{
    kx_error err = {0};
    kx_token_count count;
    assert_ok(kx_t5_tokenizer_encode(t5, text, strlen(text), MAX_TOKENS, ids, &count, &err));
    return count;
}

/* `expected` ends with -1; the end token is not in it. */
static void assert_tokens(const kx_t5_tokenizer *t5, const char *text, const int32_t *expected)
{
    int32_t ids[MAX_TOKENS], eos = kx_t5_tokenizer_eos_id(t5);
    size_t length = 0;
    kx_token_count count = encode(t5, text, ids);
    while (expected[length] >= 0) length++;
    assert_ids(text, ids, expected, length);
    assert_ids(text, ids + length, &eos, 1);
    assert_int_equal(count.used, length + 1);
    assert_int_equal(count.cut, 0);
    for (size_t i = length + 1; i < MAX_TOKENS; i++) assert_int_equal(ids[i], kx_t5_tokenizer_pad_id(t5));
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
    kx_t5_tokenizer *t5 = open_folder(test_shared_path("models/flux1-dev-config/tokenizer_2"));
    json_array_foreach(json_object_get(root, "prompts"), index, row)
    {
        int32_t ids[MAX_TOKENS];
        const char *text = json_string_value(json_object_get(row, "text"));
        const json_t *expected = json_object_get(row, "t5");
        size_t whole = (size_t)json_integer_value(json_object_get(row, "t5_untruncated_len"));
        kx_token_count count = encode(t5, text, ids);
        for (size_t i = 0; i < MAX_TOKENS; i++) {
            int32_t id =
                i < json_array_size(expected) ? (int32_t)json_integer_value(json_array_get(expected, i)) : 0;
            assert_ids(text, ids + i, &id, 1);
        }
        assert_int_equal(count.used, json_array_size(expected));
        assert_int_equal(count.used + count.cut, whole);
        rows++;
    }
    assert_true(rows >= 98);
    json_decref(root);
    kx_t5_tokenizer_close(t5);
}

static void the_published_tokenizer_is_described(void **state)
{
    (void)state;
    kx_t5_tokenizer *t5 = open_folder(test_shared_path("models/flux1-dev-config/tokenizer_2"));
    assert_int_equal(kx_t5_tokenizer_vocabulary_size(t5), 32100);
    assert_int_equal(kx_t5_tokenizer_max_id(t5), 32099);
    assert_int_equal(kx_t5_tokenizer_eos_id(t5), 1);
    assert_int_equal(kx_t5_tokenizer_pad_id(t5), 0);
    assert_int_equal(kx_t5_tokenizer_unk_id(t5), 2);
    assert_int_equal(kx_t5_tokenizer_max_tokens(t5), 512);
    assert_in_range(kx_t5_tokenizer_bytes(t5), 1 << 19, 3 << 20);
    kx_t5_tokenizer_close(t5);
}

/* Scores: _ -2, a b c -3, _a -2.5 (7), ab -3.5 (8), _ab -5 (9), bc -4 (10), _ca -4 (11), abc -9 (12), cc -6
 * (13); unknown characters -19. */
static void the_best_cover_is_found(void **state)
{
    (void)state;
    kx_t5_tokenizer *t5 = open_folder(test_source_path("tests/data/text/t5-plain"));
    assert_int_equal(kx_t5_tokenizer_vocabulary_size(t5), 17);
    assert_int_equal(kx_t5_tokenizer_max_id(t5), 16);
    assert_int_equal(kx_t5_tokenizer_max_tokens(t5), 512);
    assert_tokens(t5, "", NO_TOKENS);
    assert_tokens(t5, "a", TOKENS(7));
    assert_tokens(t5, "ab", TOKENS(9));          /* -5 before _a b and _ ab, -5.5 */
    assert_tokens(t5, "abc", TOKENS(7, 10));     /* -6.5 before _ab c, -8 */
    assert_tokens(t5, "bc a", TOKENS(3, 10, 7)); /* a marker alone where no piece begins with it */
    assert_tokens(t5, "cab", TOKENS(11, 5));     /* _ca b -7 before _ c ab -8.5 */
    assert_tokens(t5, "cc", TOKENS(3, 13));      /* a tie with c c: the first found stays */
    assert_tokens(t5, "ccc", TOKENS(3, 6, 13));  /* and so do its own ties: the cover with cc is met first */
    kx_t5_tokenizer_close(t5);
}

static void unknown_characters_fuse(void **state)
{
    (void)state;
    kx_t5_tokenizer *t5 = open_folder(test_source_path("tests/data/text/t5-plain"));
    assert_tokens(t5, "x", TOKENS(3, 2));
    assert_tokens(t5, "x\xe7\x8c\xabz", TOKENS(3, 2));
    assert_tokens(t5, "xay", TOKENS(3, 2, 4, 2));
    assert_tokens(t5, "x y", TOKENS(3, 2, 3, 2));
    assert_tokens(t5, "\n", TOKENS(3, 2)); /* without a normaliser this is a character like others */
    kx_t5_tokenizer_close(t5);
}

static void markers_and_added_tokens_have_their_places(void **state)
{
    (void)state;
    kx_t5_tokenizer *t5 = open_folder(test_source_path("tests/data/text/t5-plain"));
    assert_tokens(t5, " a", TOKENS(7)); /* the space is the marker */
    assert_tokens(t5,
                  "\xe2\x96\x81"
                  "a",
                  TOKENS(7));
    assert_tokens(t5, "a  b ", TOKENS(7, 3, 3, 5, 3));
    assert_tokens(t5, "a</s>a", TOKENS(7, 1, 4)); /* the marker is for the first text only */
    assert_tokens(t5, "</s>a", TOKENS(1, 4));
    assert_tokens(t5, "a<extra> <pad>", TOKENS(7, 16, 3, 0));
    kx_t5_tokenizer_close(t5);
}

static void the_normaliser_of_the_file_is_applied(void **state)
{
    (void)state;
    kx_t5_tokenizer *t5 = open_folder(test_source_path("tests/data/text/t5-charsmap"));
    assert_tokens(t5, "A\nbc  \t\xc2\x85", TOKENS(7, 3, 10));
    assert_tokens(t5, "a   a", TOKENS(7, 7));
    assert_tokens(t5, "   A", TOKENS(7));
    assert_tokens(t5, " \n ", NO_TOKENS);
    assert_tokens(t5, "\xef\xac\x81", TOKENS(3, 14, 15)); /* a ligature */
    assert_tokens(t5,
                  "bA\xcc\x81"
                  "c",
                  TOKENS(3, 5, 4, 6)); /* A with an accent is one cluster: all of it becomes a */
    assert_tokens(t5, "A </s>", TOKENS(7, 1));
    kx_t5_tokenizer_close(t5);
}

static void a_long_prompt_is_cut_and_counted(void **state)
{
    (void)state;
    kx_error err = {0};
    int32_t ids[9];
    kx_token_count count;
    kx_t5_tokenizer *t5 = open_folder(test_source_path("tests/data/text/t5-plain"));
    for (size_t letters = 6; letters <= 9; letters++) { /* bbbb... is a marker and the letters */
        ids[8] = -5;
        assert_ok(kx_t5_tokenizer_encode(t5, "bbbbbbbbb", letters, 8, ids, &count, &err));
        assert_int_equal(count.used, 8);
        assert_int_equal(count.cut, letters - 6);
        assert_int_equal(ids[0], 3);
        assert_int_equal(ids[6], 5);
        assert_int_equal(ids[7], 1);
        assert_int_equal(ids[8], -5);
    }
    assert_ok(kx_t5_tokenizer_encode(t5, "bb", 2, 1, ids, &count, &err));
    assert_int_equal(ids[0], 1);
    assert_int_equal(count.cut, 3);
    kx_t5_tokenizer_close(t5);
}

static void a_bad_prompt_is_refused(void **state)
{
    (void)state;
    int32_t ids[MAX_TOKENS];
    kx_token_count count;
    kx_t5_tokenizer *t5 = open_folder(test_source_path("tests/data/text/t5-plain"));
    kx_error err = {0};
    assert_int_equal(kx_t5_tokenizer_encode(t5, "ab\xed\xa0\x80", 5, MAX_TOKENS, ids, &count, &err),
                     KX_ERR_INPUT);
    assert_says(&err, KX_ERR_INPUT, "position 2");
    err = (kx_error){0};
    size_t length;
    char *text = repeated("a", KX_LIMIT_PROMPT_BYTES + 1, &length);
    assert_int_equal(kx_t5_tokenizer_encode(t5, text, length, MAX_TOKENS, ids, &count, &err), KX_ERR_INPUT);
    assert_says(&err, KX_ERR_INPUT, "1048577 bytes");
    free(text);
    kx_t5_tokenizer_close(t5);
}

static void a_megabyte_is_quick(void **state)
{
    (void)state;
    static const char *const texts[] = {"x",
                                        "the cat sat ",
                                        "\xcc\x81\xcc\xa3",
                                        "</s>",
                                        "<extra_id_",
                                        "\xe7\x8c\xab",
                                        "     ",
                                        "\xe2\x96\x81",
                                        "\xf0\x9f\x87\xa6",
                                        "\xf0\x9f\x91\xa8\xe2\x80\x8d",
                                        "\xef\xb7\xba"};
    const char *folders[2] = {test_source_path("tests/data/text/t5-charsmap"), NULL};
    const char *shared = getenv("KONTEXT_SHARED");
    char published[2048];
    snprintf(published, sizeof published, "%s/models/flux1-dev-config/tokenizer_2",
             shared != NULL ? shared : "");
    if (kx_file_exists(published)) folders[1] = published;
    for (size_t f = 0; f < 2 && folders[f] != NULL; f++) {
        kx_t5_tokenizer *t5 = open_folder(folders[f]);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            int32_t ids[MAX_TOKENS];
            kx_token_count count;
            kx_error err = {0};
            size_t length;
            char *text = repeated(texts[i], KX_LIMIT_PROMPT_BYTES, &length);
            double start = seconds_now();
            kx_status status = kx_t5_tokenizer_encode(t5, text, length, MAX_TOKENS, ids, &count, &err);
            double seconds = seconds_now() - start;
            print_message("# \"%s\": %zu tokens in %.3f s\n", texts[i], count.used + count.cut, seconds);
            /* U+FDFA becomes 33 bytes, so a megabyte of it is over the limit of what may come out. */
            if (status != KX_OK) assert_says(&err, KX_ERR_INPUT, "grows beyond");
            assert_true(seconds < 20); /* quadratic work would take hours; sanitizers take their part */
            free(text);
        }
        kx_t5_tokenizer_close(t5);
    }
}

static void what_is_written_can_be_read(void **state)
{
    (void)state;
    kx_error err = {0};
    char folder[2048], path[2100];
    size_t vocabulary = 0, bytes[2];
    int32_t ids[MAX_TOKENS];
    snprintf(folder, sizeof folder, "%s/made/tokenizer_2", test_temporary_folder());
    assert_ok(kx_t5_tokenizer_write_synthetic(folder, &vocabulary, &err));
    assert_in_range(vocabulary, 300, 1000);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    uint8_t *first = test_read_file(path, &bytes[0]);
    assert_ok(kx_t5_tokenizer_write_synthetic(folder, NULL, &err));
    uint8_t *second = test_read_file(path, &bytes[1]);
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(first, second, bytes[0]);
    free(first);
    free(second);
    kx_t5_tokenizer *t5 = open_folder(folder);
    assert_int_equal(kx_t5_tokenizer_vocabulary_size(t5), vocabulary);
    assert_int_equal(kx_t5_tokenizer_max_id(t5), vocabulary - 1);
    kx_token_count count = encode(t5, "make the cat wear a red hat", ids);
    assert_int_equal(count.used, 8); /* each word is a piece */
    count = encode(t5, "!\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`{|}~", ids);
    for (size_t i = 0; i < count.used; i++) assert_int_not_equal(ids[i], kx_t5_tokenizer_unk_id(t5));
    kx_t5_tokenizer_close(t5);
}

/* ---- Broken files ---- */

#define META   "\"pre_tokenizer\": {\"type\": \"Metaspace\"}, "
#define PIECES "[\"<pad>\", 0], [\"</s>\", 0], [\"<unk>\", 0]"
#define WITH(before, pieces, after)                                                                          \
    "{" META before "\"model\": {\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\": [" pieces "]}" after "}"
#define MODEL          "\"model\": {\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\": [" PIECES "]}"
#define NORMAL(object) WITH("\"normalizer\": " object ", ", PIECES, "")
#define MAP(text)      NORMAL("{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"" text "\"}")

static void broken_files_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *whole, *config, *words;
    } cases[] = {
        {NULL, NULL, "tokenizer.json: the file is missing"},
        {"", NULL, "tokenizer.json: not valid JSON"},
        {"[]", NULL, "tokenizer.json: expected an object, found an array"},
        {"{}", NULL, "\"model\": expected an object, found nothing"},
        {"{\"model\": {}}", NULL, "\"model\": the type is missing"},
        {"{\"model\": {\"type\": 1}}", NULL,
         "\"model\": the type is missing: expected a string, found an integer"},
        {"{\"model\": {\"type\": \"BPE\"}}", NULL, "the model type is not Unigram"},
        {"{\"model\": {\"type\": \"Unigram\", \"byte_fallback\": true}}", NULL, "\"byte_fallback\" is true"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": {}}}", NULL,
         "\"vocab\": expected an array, found an object"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", NULL, "the vocabulary has 0 entries"},
        {WITH("", PIECES ", [\"a\"]", ""), NULL, "entry 3 of the vocabulary: expected a piece and its score"},
        {WITH("", PIECES ", [\"a\", \"0\"]", ""), NULL, "entry 3 of the vocabulary: expected a piece"},
        {WITH("", PIECES ", [\"a\", null]", ""), NULL, "entry 3 of the vocabulary: expected a piece"},
        {WITH("", PIECES ", [\"a\", 1e999]", ""), NULL, "real number overflow"},
        {WITH("", PIECES ", [\"a\", NaN]", ""), NULL, "not valid JSON"},
        {WITH("", PIECES ", [\"\", 0]", ""), NULL, "entry 3 is empty"},
        {WITH("", PIECES ", [\"a\", 0], [\"b\", 0], [\"a\", 0]", ""), NULL,
         "entries 3 and 5 are the same text"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]]}}", NULL,
         "\"unk_id\": expected a whole number"},
        {"{\"model\": {\"type\": \"Unigram\", \"unk_id\": null, \"vocab\": [[\"a\", 0]]}}", NULL,
         "\"unk_id\": expected"},
        {"{\"model\": {\"type\": \"Unigram\", \"unk_id\": 1, \"vocab\": [[\"a\", 0]]}}", NULL,
         "\"unk_id\" is 1"},
        {"{" MODEL "}", NULL, "\"pre_tokenizer\": expected an object, found nothing"},
        {"{" MODEL ", \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}}", NULL, "only Metaspace"},
        {"{" MODEL ", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": []}}", NULL,
         "expected an object"},
        {"{" MODEL ", \"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"ab\"}}", NULL,
         "expected one character"},
        {"{" MODEL ", \"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\"}}", NULL,
         "expected one character"},
        {"{" MODEL ", \"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"last\"}}", NULL,
         "prepend_scheme"},
        {NORMAL("{\"type\": \"NFKC\"}"), NULL, "a step is not Precompiled"},
        {NORMAL("{\"type\": \"Replace\", \"pattern\": {\"String\": \"x\"}, \"content\": \"y\"}"), NULL,
         "only the pattern"},
        {NORMAL("{\"type\": \"Sequence\", \"normalizers\": [7]}"), NULL,
         "\"normalizer\": expected an object"},
        {NORMAL("{\"type\": \"Strip\", \"strip_left\": 0}"), NULL, "\"strip_left\": expected true or false"},
        {NORMAL("{\"type\": \"Precompiled\"}"), NULL,
         "\"precompiled_charsmap\": expected a string, found nothing"},
        {MAP("AAA"), NULL, "has 3 characters of base64"},
        {MAP("A*AA"), NULL, "character 1 is not base64"},
        {MAP("AAA="), NULL, "the character map is 2 bytes"},
        {MAP("AAAAAA=="), NULL, "says that its trie has 0 bytes"},
        {MAP("CAAAAAAAAAA="), NULL, "says that its trie has 8 bytes, of 4 behind"},
        {MAP("AwAAAAAAAAA="), NULL, "a multiple of 4"},
        {WITH("\"added_tokens\": {}, ", PIECES, ""), NULL, "\"added_tokens\": expected an array"},
        {WITH("\"added_tokens\": [{\"content\": \"x\"}], ", PIECES, ""), NULL,
         "an added token: expected a whole number"},
        {WITH("\"added_tokens\": [{\"content\": \"x\", \"id\": 1}], ", PIECES, ""), NULL,
         "belongs to another piece"},
        {WITH("\"added_tokens\": [{\"content\": \"</s>\", \"id\": 7}], ", PIECES, ""), NULL,
         "has id 1 in the vocabulary"},
        {WITH("\"added_tokens\": [{\"content\": \"x\", \"id\": 7}, {\"content\": \"y\", \"id\": 7}], ",
              PIECES, ""),
         NULL, "two added tokens have the id 7"},
        {WITH("\"added_tokens\": [{\"content\": \"x\", \"id\": 7}, {\"content\": \"x\", \"id\": 8}], ",
              PIECES, ""),
         NULL, "are the same text"},
        {WITH("", "[\"</s>\", 0], [\"x\", 0], [\"<unk>\", 0]", ""), NULL,
         "lacks the pad_token, which is \"<pad>\""},
        {WITH("", PIECES, ""), "{\"eos_token\": \"[e]\"}", "lacks the eos_token, which is \"[e]\""},
        {WITH("", PIECES, ""), "{", "tokenizer_config.json: not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_t5_tokenizer *t5 = NULL;
        kx_error err = {0};
        kx_t5_tokenizer_files files = {
            .whole = file_of("tokenizer.json", cases[i].whole),
            .config = file_of("tokenizer_config.json", cases[i].config),
            .special = file_of("special_tokens_map.json", NULL),
        };
        kx_t5_tokenizer_read(&t5, &files, &err);
        assert_says(&err, KX_ERR_MODEL, cases[i].words);
        assert_sentence(&err);
        assert_null(t5);
    }
}

static void older_and_odd_files_work(void **state)
{
    (void)state;
    static const struct {
        const char *whole, *config, *text;
        int32_t ids[8];
    } cases[] = {
        /* The older form: words at white space, each with a marker. */
        {"{" MODEL
         ", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"WhitespaceSplit\"}, "
         "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"add_prefix_space\": true}]}}",
         NULL,
         " a\n\tb ",
         {2, 2, 1, 0, 0, 0, 0, 0}},
        /* No marker at all, and not a word at each. */
        {"{" MODEL
         ", \"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"never\", \"split\": false}}",
         NULL,
         "a b c",
         {2, 1, 0, 0, 0, 0, 0, 0}},
        {"{" MODEL ", \"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"never\"}}",
         NULL,
         "a b c",
         {2, 2, 2, 1, 0, 0, 0, 0}},
        /* Names of special tokens from the configuration; a charsmap that is empty. */
        {"{" META "\"added_tokens\": [{\"content\": \"[E]\", \"id\": 9, \"normalized\": true, \"rstrip\": "
         "true}], \"normalizer\": "
         "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"\"}, " MODEL "}",
         "{\"eos_token\": {\"content\": \"[E]\"}}",
         "[E]  x",
         {9, 2, 9, 0, 0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_t5_tokenizer *t5 = NULL;
        kx_error err = {0};
        int32_t ids[8];
        kx_token_count count;
        kx_t5_tokenizer_files files = {
            .whole = file_of("tokenizer.json", cases[i].whole),
            .config = file_of("tokenizer_config.json", cases[i].config),
            .special = file_of("special_tokens_map.json", NULL),
        };
        assert_ok(kx_t5_tokenizer_read(&t5, &files, &err));
        assert_ok(kx_t5_tokenizer_encode(t5, cases[i].text, strlen(cases[i].text), 8, ids, &count, &err));
        assert_ids(cases[i].whole, ids, cases[i].ids, 8);
        kx_t5_tokenizer_close(t5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reference_prompt_gives_its_ids),
        cmocka_unit_test(the_published_tokenizer_is_described),
        cmocka_unit_test(the_best_cover_is_found),
        cmocka_unit_test(unknown_characters_fuse),
        cmocka_unit_test(markers_and_added_tokens_have_their_places),
        cmocka_unit_test(the_normaliser_of_the_file_is_applied),
        cmocka_unit_test(a_long_prompt_is_cut_and_counted),
        cmocka_unit_test(a_bad_prompt_is_refused),
        cmocka_unit_test(a_megabyte_is_quick),
        cmocka_unit_test(what_is_written_can_be_read),
        cmocka_unit_test(broken_files_are_refused_with_a_sentence),
        cmocka_unit_test(older_and_odd_files_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
