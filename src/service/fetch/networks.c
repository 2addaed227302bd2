#include "service/fetch/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

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

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t nat64_prefix[12] = {0x00, 0x64, 0xff, 0x9b};
#define MAPPED_BITS 96u

static bool holds(const kx_network *network, const kx_fetch_address *address)
{
    unsigned whole = network->prefix / 8, rest = network->prefix % 8;
    if (memcmp(network->address.bytes, address->bytes, whole) != 0) return false;
    if (rest == 0) return true;
    unsigned different = (unsigned)network->address.bytes[whole] ^ address->bytes[whole];
    return different >> (8 - rest) == 0;
}

static kx_fetch_address map_v4(const uint8_t v4[4])
{
    kx_fetch_address address;
    memcpy(address.bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(address.bytes + sizeof mapped_prefix, v4, 4);
    return address;
}

bool kx_fetch_address_is_v4(const kx_fetch_address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool kx_fetch_address_parse(kx_fetch_address *address, const char *text)
{
    uint8_t v4[4];
    if (inet_pton(AF_INET6, text, address->bytes) == 1) return true;
    if (inet_pton(AF_INET, text, v4) != 1) return false;
    *address = map_v4(v4);
    return true;
}

bool kx_fetch_address_from_socket(kx_fetch_address *address, const struct sockaddr *socket)
{
    if (socket->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, socket, sizeof v6);
        memcpy(address->bytes, &v6.sin6_addr, sizeof address->bytes);
        return true;
    }
    if (socket->sa_family != AF_INET) return false;
    struct sockaddr_in v4;
    memcpy(&v4, socket, sizeof v4);
    uint8_t bytes[4];
    memcpy(bytes, &v4.sin_addr, sizeof bytes);
    *address = map_v4(bytes);
    return true;
}

/* ---- Lists of networks ---- */

/* "10.0.0.0/8" without white space around it. Bits behind the prefix must be zero: 10.0.0.1/8 is more likely
 * a slip than a wish. */
static bool parse_network(kx_network *network, char *text)
{
    char *slash = strchr(text, '/');
    if (slash != NULL) *slash = '\0';
    if (!kx_fetch_address_parse(&network->address, text)) return false;
    bool is_v4 = strchr(text, ':') == NULL;
    unsigned most = is_v4 ? 32 : 128, prefix = 0;
    if (slash == NULL) {
        prefix = most;
    } else {
        const char *digits = slash + 1;
        size_t length = strlen(digits);
        if (length < 1 || length > 3 || strspn(digits, "0123456789") != length) return false;
        for (; *digits != '\0'; digits++) prefix = 10 * prefix + (unsigned)(*digits - '0');
        if (prefix > most) return false;
    }
    network->prefix = is_v4 ? MAPPED_BITS + prefix : prefix;
    for (unsigned bit = network->prefix; bit < 128; bit++)
        if (network->address.bytes[bit / 8] >> (7 - bit % 8) & 1) return false;
    return true;
}

kx_status kx_fetch_networks_parse(kx_fetch_networks *networks, const char *text, kx_error *err)
{
    kx_status status = KX_OK;
    *networks = (kx_fetch_networks){0};
    if (text == NULL) goto out;
    size_t most = 1;
    for (const char *p = text; *p != '\0'; p++) most += *p == ',';
    KX_TRY(KX_ARENA_ARRAY(&networks->arena, most, &networks->items, err));
    for (const char *p = text; *p != '\0';) {
        char part[80];
        p += strspn(p, ", \t");
        size_t length = strcspn(p, ", \t");
        if (length == 0) continue;
        KX_FAIL_IF(length >= sizeof part, err, KX_ERR_USAGE,
                   "'%.40s...' is no network, something like 10.0.0.0/8 or ::1 is expected", p);
        memcpy(part, p, length);
        part[length] = '\0';
        p += length;
        KX_FAIL_IF(!parse_network(&networks->items[networks->count], part), err, KX_ERR_USAGE,
                   "'%.*s' is no network, something like 10.0.0.0/8 or ::1 is expected", (int)length,
                   p - length);
        networks->count++;
    }
out:
    if (status != KX_OK) kx_fetch_networks_free(networks);
    return status;
}

bool kx_fetch_networks_hold(const kx_fetch_networks *networks, const kx_fetch_address *address)
{
    for (size_t i = 0; i < networks->count; i++)
        if (holds(&networks->items[i], address)) return true;
    return false;
}

void kx_fetch_networks_free(kx_fetch_networks *networks)
{
    kx_arena_free(&networks->arena);
    *networks = (kx_fetch_networks){0};
}

/* ---- Judgement ---- */

static bool is_special(const kx_fetch_address *address)
{
    if (kx_fetch_address_is_v4(address)) {
        for (size_t i = 0; i < sizeof special_v4_rows / sizeof special_v4_rows[0]; i++) {
            const special_v4 *row = &special_v4_rows[i];
            kx_network network = {map_v4(row->bytes), MAPPED_BITS + row->prefix};
            if (holds(&network, address)) return true;
        }
        return false;
    }
    for (size_t i = 0; i < sizeof special_v6_rows / sizeof special_v6_rows[0]; i++)
        if (holds(&special_v6_rows[i], address)) return true;
    return false;
}

bool kx_fetch_address_is_reachable(const kx_fetch_address *address, const kx_fetch_networks *allowed)
{
    if (kx_fetch_networks_hold(allowed, address)) return true;
    if (memcmp(address->bytes, nat64_prefix, sizeof nat64_prefix) != 0) return !is_special(address);
    kx_fetch_address inner = map_v4(address->bytes + sizeof nat64_prefix);
    return kx_fetch_networks_hold(allowed, &inner) || !is_special(&inner);
}
