#include "test_support.h"

#include "service/common/crypto.h"
#include "service/common/settings.h"

#include <stdlib.h>
#include <string.h>

static void hashes_are_the_published_ones(void **state)
{
    (void)state;
    kx_error err = {0};
    char hex[KX_SHA256_HEX];
    kx_sha256 *hash = NULL;
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    kx_sha256_of("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    kx_sha256_of("abc", 3, hex);
    assert_string_equal(hex, abc);
    assert_ok(kx_sha256_open(&hash, &err));
    kx_sha256_add(hash, "a", 1);
    kx_sha256_add(hash, "", 0);
    kx_sha256_add(hash, "bc", 2);
    kx_sha256_close(hash, hex);
    assert_string_equal(hex, abc);
    kx_sha256_close(NULL, NULL);
}

static void signatures_are_the_published_ones(void **state)
{
    (void)state;
    char hex[KX_SHA256_HEX];
    /* RFC 4231, case 2. */
    kx_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    /* The webhook vector: the secret without its prefix, "id.timestamp.body". */
    static const char key[] = "test-secret-0123456789";
    static const char text[] = "0123456789abcdef0123456789abcdef.1700000000."
                               "{\"id\":\"0123456789abcdef0123456789abcdef\",\"status\":\"completed\"}";
    kx_hmac_sha256(key, strlen(key), text, strlen(text), hex);
    assert_string_equal(hex, "332a8e5bce640b83d0c902de6fbd7fc5a913d81839fb32b49d638becf2c49b3e");
    kx_hmac_sha256("", 0, "", 0, hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void random_names_differ(void **state)
{
    (void)state;
    kx_error err = {0};
    char a[101], b[101];
    for (size_t digits = 0; digits <= 100; digits++) {
        assert_ok(kx_random_hex(a, digits, &err));
        assert_int_equal(strlen(a), digits);
        assert_int_equal(strspn(a, "0123456789abcdef"), digits);
    }
    assert_ok(kx_random_hex(b, 100, &err));
    assert_string_not_equal(a, b);
    assert_true(kx_equal_in_constant_time("abc", "abc", 3));
    assert_false(kx_equal_in_constant_time("abc", "abd", 3));
}

static const char *encoded(const char *text, size_t bytes)
{
    static char room[512];
    kx_error err = {0};
    kx_bytes out = {.cap = sizeof room - 1};
    assert_ok(kx_base64_encode(text, bytes, &out, &err));
    if (out.size > 0) memcpy(room, out.data, out.size);
    room[out.size] = '\0';
    kx_bytes_free(&out);
    return room;
}

static void base64_is_the_published_form(void **state)
{
    (void)state;
    /* RFC 4648, section 10. */
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd", "//79"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(encoded(rows[i][0], strlen(rows[i][0])), rows[i][1]);
}

static void base64_of_every_length_comes_back(void **state)
{
    (void)state;
    kx_error err = {0};
    uint8_t data[100];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 151 + 7);
    for (size_t bytes = 0; bytes <= sizeof data; bytes++) {
        kx_bytes text = {.cap = 1000}, back = {.cap = 1000};
        assert_ok(kx_base64_encode(data, bytes, &text, &err));
        assert_ok(kx_base64_decode((const char *)text.data, text.size, &back, &err));
        assert_int_equal(back.size, bytes);
        if (bytes > 0) assert_memory_equal(back.data, data, bytes);
        kx_bytes_free(&text);
        kx_bytes_free(&back);
    }
}

static void base64_bends_a_little_and_then_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded, *words;
    } rows[] = {
        {"Zm9vYg", "foob", NULL},   {" Zm\r\n9v\tYg = = \n", "foob", NULL}, {"Zm9v====", NULL, "ends early"},
        {"Z", NULL, "ends early"},  {"Zm9vYg=", NULL, "ends early"},        {"Zm9v-_", NULL, "byte 4 "},
        {"Zm=9v", NULL, "byte 3 "}, {"\xc3\xa9", NULL, "byte 0 "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kx_error err = {0};
        kx_bytes out = {.cap = 100};
        kx_status status = kx_base64_decode(rows[i].text, strlen(rows[i].text), &out, &err);
        if (rows[i].decoded != NULL) {
            assert_ok(status);
            assert_int_equal(out.size, strlen(rows[i].decoded));
            assert_memory_equal(out.data, rows[i].decoded, out.size);
        } else {
            assert_int_equal(status, KX_ERR_INPUT);
            assert_non_null(strstr(err.message, rows[i].words));
            assert_int_equal(out.size, 0);
        }
        kx_bytes_free(&out);
    }
}

static void the_defaults_serve_one_box(void **state)
{
    (void)state;
    kx_settings settings = kx_settings_default();
    assert_string_equal(settings.listen, "127.0.0.1:8080");
    assert_non_null(settings.data);
    assert_null(settings.fetch_allow);
    assert_null(settings.trusted_proxies);
    assert_null(settings.test_clock);
    assert_true(settings.sync_window_ms <= 90000);
    assert_int_equal(settings.retention_s, 7 * 86400);
    assert_true(settings.max_connections >= 700);
    assert_true(settings.job_attempts > 0 && settings.concurrency > 0 && settings.max_queued > 0);
    /* Clients show amounts from 10000 dollars on as if they were millionths. */
    assert_true(settings.initial_balance_micro < INT64_C(10000) * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_the_published_ones),
        cmocka_unit_test(signatures_are_the_published_ones),
        cmocka_unit_test(random_names_differ),
        cmocka_unit_test(base64_is_the_published_form),
        cmocka_unit_test(base64_of_every_length_comes_back),
        cmocka_unit_test(base64_bends_a_little_and_then_refuses),
        cmocka_unit_test(the_defaults_serve_one_box),
    };
    return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
