#include "test_support.h"

#include "service/fetch/fetch.h"
#include "service/fetch/url.h"

#include <string.h>

static void good_urls_are_rebuilt(void **state)
{
    static const char *const rows[][2] = {
        {"http://example.com", "http://example.com:80/"},
        {"HTTPS://Example.COM/a/B.png?x=1&y=%20#part", "https://example.com:443/a/B.png?x=1&y=%20"},
        {"https://example.com?x=@:/\?#", "https://example.com:443/?x=@:/?"},
        {"http://a_b-c.example:8080/", "http://a_b-c.example:8080/"},
        {"http://8.8.8.8/a", "http://8.8.8.8:80/a"},
        {"http://[2606:4700::1111]:81/a", "http://[2606:4700::1111]:81/a"},
        {"https://xn--bcher-kva.example/", "https://xn--bcher-kva.example:443/"},
        {"http://example.com/b\xc3\xbc\"<{|}>.png", "http://example.com:80/b%C3%BC%22%3C%7B%7C%7D%3E.png"},
        {"http://example.com/@user:pass", "http://example.com:80/@user:pass"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kx_error err = {0};
        kx_url url;
        kx_bytes text = {.cap = 65536};
        assert_ok(kx_url_parse(&url, rows[i][0], &err));
        assert_ok(kx_url_write(&url, &text, &err));
        assert_string_equal((const char *)text.data, rows[i][1]);
        kx_bytes_free(&text);
    }
}

/* Each is wrong by itself, whatever networks are allowed. */
static const char *const malformed[] = {
    "",
    "example.com/a.png",
    "/etc/passwd",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "http:/example.com/",
    "http:example.com/",
    "http://",
    "http:///a",
    "http://?x",
    " http://example.com/",
    "http://example.com/a b",
    "http://example.com/a\tb",
    "http://example.com/a\r\nHost: x",
    "http://exam\nple.com/",
    "http://example.com\x7f/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\example.com/",
    "http://user@example.com/",
    "http://user:pass@example.com/",
    "http://example.com@127.0.0.1/",
    "http://@example.com/",
    "http://example.com:/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:99999999999/",
    "http://example.com:8o/",
    "http://example.com:-1/",
    "http://example.com:+80/",
    "http://example.com:80:80/",
    "http://example..com/",
    "http://.example.com/",
    "http://example.com./",
    "http://ex%61mple.com/",
    "http://exa,mple.com/",
    "http://exa*mple.com/",
    "http://ex\xc3\xa4mple.com/",
    "http://[::1/",
    "http://::1/",
    "http://[]/",
    "http://[::g]/",
    "http://[::1]x/",
    "http://[127.0.0.1]/",
    "http://[example.com]/",
    "http://[::1%25lo]/",
    "http://[::1%lo]/",
    "http://[fe80::1%25eth0]/",
    "http://[v1.a]/",
    /* spellings of 127.0.0.1 that some resolvers understand */
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0177.0.0.01/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.0x1/",
    "http://127.0.0.01/",
    "http://00127.0.0.1/",
    "http://127.0.0.1.0/",
    "http://127.0.0.256/",
    "http://0/",
    "http://0x/",
    "http://1.2.3.4.5/",
    "http://127%2e0%2e0%2e1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%00.example.com/",
    "http://127\343\200\2020.0.1/",                       /* ideographic full stop */
    "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", /* fullwidth digits */
    "http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", /* circled digits */
    "http://[::ffff:0x7f.0.0.1]/",
    "http://[::ffff:127.1]/",
};

/* Written as they should be, and not public. */
static const char *const not_public[] = {
    "http://127.0.0.1/",
    "http://127.255.255.254:8080/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/",
    "http://169.254.169.254/latest/meta-data/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://192.168.1.1/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://198.51.100.7/",
    "http://203.0.113.7/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::FFFF:7f00:1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[::7f00:1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:808:808::1]/",
    "http://[2001::1]/",
    "http://[2001:db8::1]/",
    "http://[2001:20::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
};

static const char *const public[] = {
    "http://1.1.1.1/",        "http://100.63.255.255/",     "http://100.128.0.1/",
    "http://172.15.0.1/",     "http://172.32.0.1/",         "http://223.255.255.1/",
    "http://[2606:4700::1]/", "http://[2a00:1450::1]/",     "http://[::ffff:8.8.8.8]/",
    "http://[2001:200::1]/",  "http://[64:ff9b::808:808]/", "http://localhost.example/",
};

static kx_fetch *open_fetch(const char *allow)
{
    kx_error err = {0};
    kx_fetch *fetch = NULL;
    kx_fetch_options options = {.allow = allow, .max_bytes = 1000, .timeout_s = 5, .redirects = 3};
    assert_ok(kx_fetch_open(&fetch, &options, &err));
    return fetch;
}

static void every_odd_spelling_is_refused(void **state)
{
    (void)state;
    kx_fetch *fetch = open_fetch("0.0.0.0/0,::/0");
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        kx_error err = {0};
        if (kx_fetch_check_url(fetch, malformed[i], &err) != KX_ERR_INPUT)
            fail_msg("accepted: %s", malformed[i]);
        assert_non_null(strstr(err.message, "URL"));
    }
    kx_fetch_close(fetch);
}

static void addresses_that_are_not_public_are_refused(void **state)
{
    (void)state;
    kx_fetch *fetch = open_fetch(NULL);
    for (size_t i = 0; i < sizeof not_public / sizeof not_public[0]; i++) {
        kx_error err = {0};
        if (kx_fetch_check_url(fetch, not_public[i], &err) != KX_ERR_INPUT)
            fail_msg("accepted: %s", not_public[i]);
        assert_string_equal(err.message, "the URL's host is an address that is not public");
    }
    for (size_t i = 0; i < sizeof public / sizeof public[0]; i++) {
        kx_error err = {0};
        if (kx_fetch_check_url(fetch, public[i], &err) != KX_OK) fail_msg("%s: %s", public[i], err.message);
    }
    kx_fetch_close(fetch);
}

static void allowed_networks_open_exactly_what_they_name(void **state)
{
    (void)state;
    kx_error err = {0};
    kx_fetch *fetch = open_fetch(" 127.0.0.1, 10.0.0.0/9,fd00::/8 ,");
    assert_ok(kx_fetch_check_url(fetch, "http://127.0.0.1:81/", &err));
    assert_ok(kx_fetch_check_url(fetch, "http://[::ffff:127.0.0.1]/", &err));
    assert_ok(kx_fetch_check_url(fetch, "http://10.127.255.255/", &err));
    assert_ok(kx_fetch_check_url(fetch, "http://[fdff::1]/", &err));
    assert_int_equal(kx_fetch_check_url(fetch, "http://127.0.0.2/", &err), KX_ERR_INPUT);
    err = (kx_error){0};
    assert_int_equal(kx_fetch_check_url(fetch, "http://10.128.0.0/", &err), KX_ERR_INPUT);
    err = (kx_error){0};
    assert_int_equal(kx_fetch_check_url(fetch, "http://[::1]/", &err), KX_ERR_INPUT);
    kx_fetch_close(fetch);
}

static void a_list_of_networks_with_a_slip_is_refused(void **state)
{
    static const char *const rows[] = {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x",
                                       "10.0.0/8",   "::1/129",     "localhost", "10.0.0.0/-1",
                                       "/8",         "fe80::1/64"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kx_error err = {0};
        kx_fetch *fetch = NULL;
        kx_fetch_options options = {.allow = rows[i]};
        if (kx_fetch_open(&fetch, &options, &err) != KX_ERR_USAGE) fail_msg("accepted: %s", rows[i]);
        assert_non_null(strstr(err.message, rows[i]));
        assert_null(fetch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_are_rebuilt),
        cmocka_unit_test(every_odd_spelling_is_refused),
        cmocka_unit_test(addresses_that_are_not_public_are_refused),
        cmocka_unit_test(allowed_networks_open_exactly_what_they_name),
        cmocka_unit_test(a_list_of_networks_with_a_slip_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
