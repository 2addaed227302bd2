#include "test_support.h"

#include "service/common/networks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool holds(const kx_networks *networks, const char *text)
{
    kx_address address;
    assert_true(kx_address_parse(&address, text));
    return kx_networks_hold(networks, &address);
}

static void a_list_is_parted_by_commas_or_blanks(void **state)
{
    (void)state;
    static const char *const lists[] = {"10.0.0.0/8,127.0.0.1,::1", "10.0.0.0/8 127.0.0.1 ::1",
                                        " 10.0.0.0/8 ,\t127.0.0.1,, ::1 "};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        kx_networks networks;
        kx_error err = {0};
        assert_ok(kx_networks_parse(&networks, lists[i], &err));
        assert_int_equal(networks.count, 3);
        assert_true(holds(&networks, "10.1.2.3"));
        assert_true(holds(&networks, "::ffff:127.0.0.1"));
        assert_true(holds(&networks, "::1"));
        assert_false(holds(&networks, "11.0.0.1"));
        assert_false(holds(&networks, "127.0.0.2"));
        kx_networks_free(&networks);
    }
}

/* More than an arena gives at least, so that a list without room is found without a sanitizer, too. */
static void a_long_list_has_room(void **state)
{
    (void)state;
    enum { COUNT = 8000, BYTES = 16 };
    static const char parts[] = {',', ' ', '\t'};
    for (size_t k = 0; k < sizeof parts; k++) {
        kx_networks networks;
        kx_error err = {0};
        char *text = calloc(COUNT, BYTES);
        assert_non_null(text);
        size_t used = 0;
        for (int i = 0; i < COUNT; i++)
            used += (size_t)snprintf(text + used, BYTES, "10.0.%d.%d%c", i / 256, i % 256, parts[k]);
        assert_ok(kx_networks_parse(&networks, text, &err));
        free(text);
        assert_int_equal(networks.count, COUNT);
        assert_true(holds(&networks, "10.0.0.0"));
        assert_true(holds(&networks, "10.0.31.63"));
        assert_false(holds(&networks, "10.0.31.64"));
        kx_networks_free(&networks);
    }
}

static void what_is_no_network_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"10.0.0.0/33",  "10.0.0.1/8",     "::/129",     "10.0.0.0/",
                                      "10.0.0.0/8/8", "127.1",          "localhost",  "10.0.0.0/-1",
                                      "1.2.3.4.5",    "10.0.0.0/00008", "::1%lo/128", "[::1]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char list[64];
        kx_networks networks;
        kx_error err = {0};
        snprintf(list, sizeof list, "127.0.0.1, %s", bad[i]);
        assert_int_equal(kx_networks_parse(&networks, list, &err), KX_ERR_USAGE);
        assert_non_null(strstr(err.message, bad[i]));
        assert_int_equal(networks.count, 0);
    }
}

static void nothing_is_no_network(void **state)
{
    (void)state;
    static const char *const lists[] = {NULL, "", " ", ", ,\t"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        kx_networks networks;
        kx_error err = {0};
        assert_ok(kx_networks_parse(&networks, lists[i], &err));
        assert_int_equal(networks.count, 0);
        assert_false(holds(&networks, "127.0.0.1"));
        kx_networks_free(&networks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_parted_by_commas_or_blanks),
        cmocka_unit_test(a_long_list_has_room),
        cmocka_unit_test(what_is_no_network_is_named),
        cmocka_unit_test(nothing_is_no_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
