#include "service/common/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool kx_network_holds(const kx_network *network, const kx_address *address)
{
    unsigned whole = network->prefix / 8, rest = network->prefix % 8;
    if (memcmp(network->address.bytes, address->bytes, whole) != 0) return false;
    if (rest == 0) return true;
    unsigned different = (unsigned)network->address.bytes[whole] ^ address->bytes[whole];
    return different >> (8 - rest) == 0;
}

kx_address kx_address_from_v4(const uint8_t v4[4])
{
    kx_address address;
    memcpy(address.bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(address.bytes + sizeof mapped_prefix, v4, 4);
    return address;
}

bool kx_address_is_v4(const kx_address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool kx_address_parse(kx_address *address, const char *text)
{
    uint8_t v4[4];
    if (inet_pton(AF_INET6, text, address->bytes) == 1) return true;
    if (inet_pton(AF_INET, text, v4) != 1) return false;
    *address = kx_address_from_v4(v4);
    return true;
}

bool kx_address_from_socket(kx_address *address, const struct sockaddr *socket)
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
    *address = kx_address_from_v4(bytes);
    return true;
}

/* ---- Lists of networks ---- */

/* "10.0.0.0/8" without white space around it. Bits behind the prefix must be zero: 10.0.0.1/8 is more likely
 * a slip than a wish. */
static bool parse_network(kx_network *network, char *text)
{
    char *slash = strchr(text, '/');
    if (slash != NULL) *slash = '\0';
    if (!kx_address_parse(&network->address, text)) return false;
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
    network->prefix = is_v4 ? KX_MAPPED_BITS + prefix : prefix;
    for (unsigned bit = network->prefix; bit < 128; bit++)
        if (network->address.bytes[bit / 8] >> (7 - bit % 8) & 1) return false;
    return true;
}

kx_status kx_networks_parse(kx_networks *networks, const char *text, kx_error *err)
{
    kx_status status = KX_OK;
    *networks = (kx_networks){0};
    if (text == NULL) goto out;
    size_t most = 1;
    for (const char *p = text; *p != '\0'; p++) most += *p == ',' || *p == ' ' || *p == '\t';
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
    if (status != KX_OK) kx_networks_free(networks);
    return status;
}

bool kx_networks_hold(const kx_networks *networks, const kx_address *address)
{
    for (size_t i = 0; i < networks->count; i++)
        if (kx_network_holds(&networks->items[i], address)) return true;
    return false;
}

void kx_networks_free(kx_networks *networks)
{
    kx_arena_free(&networks->arena);
    *networks = (kx_networks){0};
}
