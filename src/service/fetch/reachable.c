#include "service/fetch/reachable.h"

#include <string.h>

/* What is no public unicast address. Source: IANA's registries "IPv4 Special-Purpose Address Registry" and
 * "IPv6 Special-Purpose Address Registry" (RFC 6890 and the documents named there), "IPv4 Multicast Address
 * Space", "Internet Protocol Version 6 Address Space". Prefixes of IPv4 rows count from the mapped form's bit
 * 96. */
typedef struct special_v4 {
    uint8_t bytes[4];
    unsigned prefix;
} special_v4;

static const special_v4 special_v4_rows[] = {
    {{0, 0, 0, 0}, 8},        /* this network */
    {{10, 0, 0, 0}, 8},       /* private use */
    {{100, 64, 0, 0}, 10},    /* carrier's shared space; a cloud's metadata at 100.100.100.200 */
    {{127, 0, 0, 0}, 8},      /* loopback */
    {{168, 63, 129, 16}, 32}, /* in no registry: a cloud's platform address, reached from its machines only */
    {{169, 254, 0, 0}, 16},   /* link-local; clouds' metadata at 169.254.169.254 */
    {{172, 16, 0, 0}, 12},    /* private use */
    {{192, 0, 0, 0}, 24},     /* IETF protocol assignments; a cloud's metadata at 192.0.0.192 */
    {{192, 0, 2, 0}, 24},     /* documentation */
    {{192, 88, 99, 0}, 24},   /* 6to4 relays, deprecated */
    {{192, 168, 0, 0}, 16},   /* private use */
    {{198, 18, 0, 0}, 15},    /* benchmarks */
    {{198, 51, 100, 0}, 24},  /* documentation */
    {{203, 0, 113, 0}, 24},   /* documentation */
    {{224, 0, 0, 0}, 4},      /* multicast */
    {{240, 0, 0, 0}, 4},      /* reserved, and the limited broadcast */
};

/* Global unicast is 2000::/3; the first three rows are all the rest: unspecified, loopback, IPv4-compatible,
 * local NAT64, discard, segment routing, unique local, link-local, site-local, multicast. */
static const kx_network special_v6_rows[] = {
    {{{0x00}}, 3},
    {{{0x40}}, 2},
    {{{0x80}}, 1},
    {{{0x20, 0x01}}, 23},             /* IETF protocol assignments: Teredo, benchmarks, ORCHID */
    {{{0x20, 0x01, 0x0d, 0xb8}}, 32}, /* documentation */
    {{{0x20, 0x02}}, 16},             /* 6to4, deprecated: any IPv4 address can be inside */
    {{{0x3f, 0xff}}, 20},             /* documentation */
};

static const uint8_t nat64_prefix[12] = {0x00, 0x64, 0xff, 0x9b};

static bool is_special(const kx_address *address)
{
    if (kx_address_is_v4(address)) {
        for (size_t i = 0; i < sizeof special_v4_rows / sizeof special_v4_rows[0]; i++) {
            const special_v4 *row = &special_v4_rows[i];
            kx_network network = {kx_address_from_v4(row->bytes), KX_MAPPED_BITS + row->prefix};
            if (kx_network_holds(&network, address)) return true;
        }
        return false;
    }
    for (size_t i = 0; i < sizeof special_v6_rows / sizeof special_v6_rows[0]; i++)
        if (kx_network_holds(&special_v6_rows[i], address)) return true;
    return false;
}

bool kx_fetch_address_is_reachable(const kx_address *address, const kx_networks *allowed)
{
    if (kx_networks_hold(allowed, address)) return true;
    if (memcmp(address->bytes, nat64_prefix, sizeof nat64_prefix) != 0) return !is_special(address);
    kx_address inner = kx_address_from_v4(address->bytes + sizeof nat64_prefix);
    return kx_networks_hold(allowed, &inner) || !is_special(&inner);
}
