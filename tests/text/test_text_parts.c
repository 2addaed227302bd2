#include "text_test_support.h"

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/charsmap.h"
#include "engine/text/trie.h"
#include "engine/text/unicode_nfc.h"
#include "engine/text/utf8.h"

/* ---- UTF-8 ---- */

static void good_utf8_passes_and_decodes_back(void **state)
{
    (void)state;
    kx_error err = {0};
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t bytes[4];
        size_t length, written = kx_utf8_encode(code, bytes);
        bool surrogate = code >= 0xd800 && code < 0xe000;
        err = (kx_error){0};
        kx_status status = kx_text_check_utf8((const char *)bytes, written, &err);
        if ((status == KX_OK) == surrogate) fail_msg("U+%04X", code);
        if (!surrogate) assert_int_equal(kx_utf8_decode(bytes, &length), code);
        if (!surrogate) assert_int_equal(length, written);
    }
    assert_int_equal(kx_text_check_utf8(NULL, 0, &(kx_error){0}), KX_OK);
}

static void bad_utf8_is_refused_at_its_place(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "ab\x80",
        "ab\xc0\xaf",
        "ab\xc1\xbf",
        "ab\xc3",
        "ab\xe0\x9f\xbf",
        "ab\xe2\x96",
        "ab\xed\xa0\x80",
        "ab\xf0\x8f\xbf\xbf",
        "ab\xf4\x90\x80\x80",
        "ab\xf5\x80\x80\x80",
        "ab\xff",
        "ab\xf0\x9f\x98",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kx_error err = {0};
        assert_int_equal(kx_text_check_utf8(bad[i], strlen(bad[i]), &err), KX_ERR_INPUT);
        assert_says(&err, KX_ERR_INPUT, "at position 2 of");
    }
}

static void white_space_is_unicodes(void **state)
{
    (void)state;
    size_t count = 0;
    for (uint32_t code = 0; code < 0x110000; code++) count += kx_unicode_is_space(code);
    assert_int_equal(count, 25); /* PropList.txt: White_Space has 25 code points */
    assert_true(kx_unicode_is_space(0x85) && kx_unicode_is_space(0x3000) && !kx_unicode_is_space(0x200b));
}

/* ---- NFC ---- */

static void assert_nfc(const char *text, const char *expected)
{
    kx_error err = {0};
    kx_bytes codes = {.cap = 1 << 16};
    char back[256] = {0};
    size_t used = 0;
    assert_ok(kx_unicode_nfc((const uint8_t *)text, strlen(text), &codes, &err));
    for (size_t i = 0; i < codes.size / 4; i++)
        used += kx_utf8_encode(((const uint32_t *)(const void *)codes.data)[i], (uint8_t *)back + used);
    assert_string_equal(back, expected);
    kx_bytes_free(&codes);
}

static void text_is_composed(void **state)
{
    (void)state;
    assert_nfc("plain", "plain");
    assert_nfc("e\xcc\x81", "\xc3\xa9");                                /* e + acute */
    assert_nfc("\xe2\x84\xab", "\xc3\x85");                             /* Angstrom sign */
    assert_nfc("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"); /* jamo */
    assert_nfc("a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81"); /* marks change places: dot below first */
    assert_nfc("\xef\xac\x81", "\xef\xac\x81");              /* a ligature is not canonical */
}

/* ---- Trie ---- */

static void the_trie_finds_the_longest_key(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_arena arena = {0};
    kx_trie trie;
    size_t length = 0;
    static const char *const words[] = {"abc", "a", "ab", "b", "\xff\xff", "abcdef"};
    kx_trie_key keys[6];
    for (int i = 0; i < 6; i++) keys[i] = (kx_trie_key){(const uint8_t *)words[i], strlen(words[i]), i};
    assert_ok(kx_trie_build(&trie, keys, 6, &arena, "words", &err));
    assert_int_equal(trie.nodes, 10); /* root, a ab abc abcd abcde abcdef, b, ff ffff */
    assert_int_equal(kx_trie_longest(&trie, (const uint8_t *)"abcdex", 6, &length), 0);
    assert_int_equal(length, 3);
    assert_int_equal(kx_trie_longest(&trie, (const uint8_t *)"ab", 2, &length), 2);
    assert_int_equal(kx_trie_longest(&trie, (const uint8_t *)"\xff\xff\xff", 3, &length), 4);
    assert_int_equal(kx_trie_longest(&trie, (const uint8_t *)"c", 1, &length), -1);
    assert_int_equal(kx_trie_longest(&(kx_trie){0}, (const uint8_t *)"c", 1, &length), -1);
    keys[0] = keys[1];
    assert_int_equal(kx_trie_build(&trie, keys, 6, &arena, "words", &err), KX_ERR_MODEL);
    assert_says(&err, KX_ERR_MODEL, "are the same text");
    kx_arena_free(&arena);
}

/* ---- Added tokens ---- */

/* Spans as text: "[3]" for a token, "(abc)" for plain text. */
static void assert_spans(const kx_added_tokens *set, const char *text, const char *expected)
{
    char found[256] = {0};
    kx_added_iterator it = kx_added_tokens_start(set, (const uint8_t *)text, strlen(text));
    for (kx_added_span span; kx_added_tokens_next(&it, &span);) {
        size_t used = strlen(found);
        if (span.id >= 0)
            snprintf(found + used, sizeof found - used, "[%d]", span.id);
        else
            snprintf(found + used, sizeof found - used, "(%.*s)", (int)(span.end - span.start),
                     text + span.start);
    }
    assert_string_equal(found, expected);
}

static void added_tokens_are_cut_out(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_arena arena = {0};
    kx_added_tokens set;
    const kx_added_token tokens[] = {
        {.content = "<a>", .bytes = 3, .id = 1},
        {.content = "<a><b>", .bytes = 6, .id = 2},
        {.content = "<l>", .bytes = 3, .id = 3, .strips_left = true},
        {.content = "<r>", .bytes = 3, .id = 4, .strips_right = true},
        {.content = "cat", .bytes = 3, .id = 5, .single_word = true},
        {.content = "<n>", .bytes = 3, .id = 6, .normalized = true},
        {.content = "", .bytes = 0, .id = 7},
    };
    assert_ok(kx_added_tokens_build(&set, tokens, 7, false, &arena, "tokens", &err));
    assert_spans(&set, "", "");
    assert_spans(&set, "x", "(x)");
    assert_spans(&set, "<a>", "[1]");
    assert_spans(&set, "x<a><b>y", "(x)[2](y)");
    assert_spans(&set, "<a> <b>", "[1]( <b>)");
    assert_spans(&set, "x \xe3\x80\x80<l> y", "(x)[3]( y)");
    assert_spans(&set, "  <l><l>", "[3][3]");
    assert_spans(&set, "x <r> \t<l>y<r>  ", "(x )[4][3](y)[4]");
    assert_spans(&set, "cat cats _cat (cat)", "[5]( cats _cat ()[5]())");
    assert_spans(&set, "<n>", "(<n>)");
    kx_arena_free(&arena);
}

/* ---- Byte symbols ---- */

static void byte_symbols_are_gpt2s(void **state)
{
    (void)state;
    assert_int_equal(kx_bpe_byte_symbol('!'), '!');
    assert_int_equal(kx_bpe_byte_symbol(0), 256);
    assert_int_equal(kx_bpe_byte_symbol(' '), 288);  /* the well-known G with a dot */
    assert_int_equal(kx_bpe_byte_symbol('\n'), 266); /* C with a dot */
    assert_int_equal(kx_bpe_byte_symbol(173), 323);
    assert_int_equal(kx_bpe_byte_symbol(255), 255);
}

static void merges_go_by_rank_then_from_the_left(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_arena arena = {0};
    kx_bpe bpe = {0};
    kx_bytes scratch = {.cap = 1 << 20};
    int32_t ids[16];
    /* Byte b is symbol b, at the end 256 + b. 600 = aa, 601 = aa+aa, 602 = ab|, 603 = ba, 604 = ba b|. */
    for (int b = 0; b < 256; b++) bpe.symbols[0][b] = b, bpe.symbols[1][b] = 256 + b;
    assert_ok(kx_bpe_create_merges(&bpe, 5, &arena, &err));
    kx_bpe_put_merge(&bpe, (kx_bpe_merge){'a', 'a', 3, 600});
    kx_bpe_put_merge(&bpe, (kx_bpe_merge){600, 600, 4, 601});
    kx_bpe_put_merge(&bpe, (kx_bpe_merge){'a', 256 + 'b', 1, 602});
    kx_bpe_put_merge(&bpe, (kx_bpe_merge){'b', 'a', 0, 603});
    kx_bpe_put_merge(&bpe, (kx_bpe_merge){603, 256 + 'b', 5, 604});
    static const struct {
        const char *word;
        size_t count;
        int32_t ids[4];
    } cases[] = {
        {"a", 1, {256 + 'a'}},
        {"ab", 1, {602}},
        {"aaab", 2, {600, 602}},            /* rank 1 before rank 3 */
        {"aaaax", 2, {601, 256 + 'x'}},     /* from the left: aa aa, then both */
        {"aaax", 3, {600, 'a', 256 + 'x'}}, /* from the left: not a aa */
        {"bab", 1, {604}},                  /* rank 0 takes the a away from rank 1 */
        {"aaaa", 3, {600, 'a', 256 + 'a'}}, /* the last symbol is another one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kx_token_sink sink = {ids, 16, 0};
        assert_ok(kx_bpe_encode_word(&bpe, (const uint8_t *)cases[i].word, strlen(cases[i].word), &scratch,
                                     &sink, &err));
        assert_ids(cases[i].word, ids, cases[i].ids, cases[i].count);
        assert_int_equal(sink.total, cases[i].count);
    }
    kx_bytes_free(&scratch);
    kx_arena_free(&arena);
}

/* ---- Character maps ---- */

enum { UNITS = 512 };

/* A made-up map: "A" -> "bc", U+00E9 -> "e". The root's children are at 256 ^ byte; a leaf's value is at the
 * unit that the last byte's unit points to. */
static size_t make_charsmap(uint8_t *blob)
{
    uint32_t units[UNITS] = {0};
    static const char strings[] = "bc\0e"; /* at 0 and 3 */
    units[0] = 256u << 10;
    units[256 ^ 'A'] = 'A' | 0x100 | (uint32_t)((256 ^ 'A') ^ 10) << 10;
    units[10] = 0x80000000u | 0;
    units[256 ^ 0xc3] = 0xc3 | (uint32_t)((256 ^ 0xc3) ^ 0) << 10; /* children at 0 ^ byte */
    units[0xa9] = 0xa9 | 0x100 | (uint32_t)(0xa9 ^ 11) << 10;
    units[11] = 0x80000000u | 3;
    for (size_t i = 0; i < UNITS; i++)
        for (size_t k = 0; k < 4; k++) blob[4 + 4 * i + k] = (uint8_t)(units[i] >> 8 * k);
    for (size_t k = 0; k < 4; k++) blob[k] = (uint8_t)((size_t)(4 * UNITS) >> 8 * k);
    memcpy(blob + 4 + 4 * UNITS, strings, sizeof strings);
    return 4 + 4 * UNITS + sizeof strings;
}

static void a_charsmap_replaces(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_arena arena = {0};
    kx_charsmap map = {0};
    kx_bytes out = {.cap = 100};
    uint8_t blob[8 + 4 * UNITS + 16];
    size_t bytes = make_charsmap(blob);
    assert_ok(kx_charsmap_read(&map, blob, bytes, "map", &arena, &err));
    /* The third A stands in a cluster of 3 bytes (with an acute accent), which goes as a whole; the fourth in
     * a cluster of 7 bytes, where only the A goes. */
    const char *text = "xA\xc3\xa9\xc3\xaa"
                       "A\xcc\x81"
                       "A\xcc\x81\xcc\x81\xcc\x81";
    assert_ok(kx_charsmap_apply(&map, (const uint8_t *)text, strlen(text), &out, &err));
    assert_ok(kx_bytes_append(&out, "", 1, &err));
    assert_string_equal((char *)out.data, "xbce\xc3\xaa"
                                          "bc"
                                          "bc\xcc\x81\xcc\x81\xcc\x81");
    out.size = 0;
    out.cap = 5;
    assert_int_equal(kx_charsmap_apply(&map, (const uint8_t *)"AAA", 3, &out, &err), KX_ERR_INPUT);
    kx_bytes_free(&out);
    kx_arena_free(&arena);
}

static kx_status apply_blob(const uint8_t *blob, size_t bytes, kx_error *err)
{
    kx_arena arena = {0};
    kx_charsmap map = {0};
    kx_bytes out = {.cap = 1 << 20};
    const char *text = "AAA \xc3\xa9 \xf0\x9f\x98\x80";
    kx_status status = kx_charsmap_read(&map, blob, bytes, "map", &arena, err);
    if (status == KX_OK) status = kx_charsmap_apply(&map, (const uint8_t *)text, strlen(text), &out, err);
    kx_bytes_free(&out);
    kx_arena_free(&arena);
    return status;
}

static void a_charsmap_that_lies_is_refused(void **state)
{
    (void)state;
    uint8_t good[8 + 4 * UNITS + 16], blob[sizeof good];
    size_t bytes = make_charsmap(good);
    kx_error err = {0};
    assert_ok(apply_blob(good, bytes, &err));
    for (size_t cut = 0; cut < 4 + 4 * UNITS; cut += 7) { /* the trie does not fit */
        uint8_t *exact = malloc(cut + 1);
        err = (kx_error){0};
        memcpy(exact, good, cut);
        assert_int_equal(apply_blob(exact, cut, &err), KX_ERR_MODEL);
        free(exact);
    }
    static const struct {
        size_t unit;
        uint32_t value;
        const char *words; /* NULL: fine, finds nothing */
    } changes[] = {
        {10, 0x80000000u | 5000, "points outside"},
        {10, 0xffffffffu, "points outside"},
        {256 ^ 'A', 'A' | 0x100 | 0x7ffffc00u, "points outside"}, /* the leaf lies outside */
        {0, 0xfffffe00u, NULL},                                   /* so do the root's children */
        {0, 0, NULL},
        {256 ^ 'A', 'A', NULL},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        err = (kx_error){0};
        memcpy(blob, good, bytes);
        for (size_t k = 0; k < 4; k++)
            blob[4 + 4 * changes[i].unit + k] = (uint8_t)(changes[i].value >> 8 * k);
        kx_status status = apply_blob(blob, bytes, &err);
        assert_int_equal(status, changes[i].words == NULL ? KX_OK : KX_ERR_MODEL);
        if (changes[i].words != NULL) assert_says(&err, KX_ERR_MODEL, changes[i].words);
    }
    memcpy(blob, good, bytes); /* strings that are not UTF-8 */
    blob[4 + 4 * UNITS] = 0xff;
    err = (kx_error){0};
    assert_int_equal(apply_blob(blob, bytes, &err), KX_ERR_MODEL);
    memcpy(blob, good, bytes); /* a value in the middle of a character */
    memcpy(blob + 4 + 4 * UNITS, "x\xc3\xa9", 4);
    blob[4 + 4 * 10] = 2;
    err = (kx_error){0};
    assert_int_equal(apply_blob(blob, bytes, &err), KX_ERR_MODEL);
    assert_says(&err, KX_ERR_MODEL, "middle of a character");
}

static void any_charsmap_ends(void **state)
{
    (void)state;
    uint8_t blob[8 + 4 * UNITS + 16];
    uint64_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        kx_error err = {0};
        size_t bytes = make_charsmap(blob);
        for (int change = 0; change < 40; change++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            blob[4 + (seed >> 33) % (bytes - 4)] = (uint8_t)(seed >> 20);
        }
        kx_status status = apply_blob(blob, bytes, &err);
        if (status != KX_OK) assert_int_equal(status, KX_ERR_MODEL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_utf8_passes_and_decodes_back),
        cmocka_unit_test(bad_utf8_is_refused_at_its_place),
        cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(text_is_composed),
        cmocka_unit_test(the_trie_finds_the_longest_key),
        cmocka_unit_test(added_tokens_are_cut_out),
        cmocka_unit_test(byte_symbols_are_gpt2s),
        cmocka_unit_test(merges_go_by_rank_then_from_the_left),
        cmocka_unit_test(a_charsmap_replaces),
        cmocka_unit_test(a_charsmap_that_lies_is_refused),
        cmocka_unit_test(any_charsmap_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
