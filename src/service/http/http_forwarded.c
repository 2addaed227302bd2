#include "service/http/http_forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const kx_address *address)
{
    return memcmp(address->bytes, mapped_prefix, 12) == 0;
}

static void set_v4(kx_address *address, const void *four_bytes)
{
    memcpy(address->bytes, mapped_prefix, 12);
    memcpy(address->bytes + 12, four_bytes, 4);
}

bool kx_address_of(const struct sockaddr *from, kx_address *address)
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, from, sizeof v4);
        set_v4(address, &v4.sin_addr);
        return true;
    }
    if (from->sa_family != AF_INET6) return false;
    struct sockaddr_in6 v6;
    memcpy(&v6, from, sizeof v6);
    memcpy(address->bytes, &v6.sin6_addr, 16);
    return true;
}

/* Cuts a port off: of "[v6]:port" and of "v4:port". False: brackets that do not close. */
static bool cut_port(const char **text, size_t *length)
{
    if (*length > 0 && **text == '[') {
        const char *end = memchr(*text, ']', *length);
        if (end == NULL) return false;
        *length = (size_t)(end - *text) - 1;
        (*text)++;
        return true;
    }
    const char *colon = memchr(*text, ':', *length);
    bool is_only = colon != NULL && memchr(colon + 1, ':', *length - (size_t)(colon - *text) - 1) == NULL;
    if (is_only) *length = (size_t)(colon - *text);
    return true;
}

bool kx_address_parse(const char *text, size_t length, kx_address *address)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t v4[4];
    if (!cut_port(&text, &length) || length == 0 || length >= sizeof copy) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (inet_pton(AF_INET, copy, v4) == 1) {
        set_v4(address, v4);
        return true;
    }
    return inet_pton(AF_INET6, copy, address->bytes) == 1;
}

void kx_address_format(const kx_address *address, char text[KX_ADDRESS_TEXT_BYTES])
{
    bool is_v4 = is_mapped(address);
    if (inet_ntop(is_v4 ? AF_INET : AF_INET6, address->bytes + (is_v4 ? 12 : 0), text,
                  KX_ADDRESS_TEXT_BYTES) == NULL)
        text[0] = '\0';
}

bool kx_address_is_loopback(const kx_address *address)
{
    static const uint8_t v6[16] = {[15] = 1};
    return is_mapped(address) ? address->bytes[12] == 127 : memcmp(address->bytes, v6, 16) == 0;
}

static bool parse_bits(const char *text, size_t length, unsigned most, unsigned *bits)
{
    if (length == 0 || length > 3) return false;
    *bits = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *bits = *bits * 10 + (unsigned)(text[i] - '0');
    }
    return *bits <= most;
}

static bool parse_network(kx_networks *networks, const char *text, size_t length)
{
    kx_address address;
    unsigned bits;
    const char *slash = memchr(text, '/', length);
    size_t name = slash == NULL ? length : (size_t)(slash - text);
    if (!kx_address_parse(text, name, &address)) return false;
    unsigned most = is_mapped(&address) ? 32 : 128;
    bits = most;
    if (slash != NULL && !parse_bits(slash + 1, length - name - 1, most, &bits)) return false;
    networks->of[networks->count].address = address;
    networks->of[networks->count++].bits = bits + (128 - most);
    return true;
}

kx_status kx_networks_parse(kx_networks *networks, const char *list, kx_error *err)
{
    kx_status status = KX_OK;
    *networks = (kx_networks){0};
    while (list != NULL && *list != '\0') {
        list += strspn(list, " ,\t");
        size_t length = strcspn(list, " ,\t");
        if (length == 0) break;
        KX_FAIL_IF(networks->count == KX_HTTP_NETWORKS_MAX, err, KX_ERR_USAGE,
                   "trusted proxies: at most %d networks can be named", KX_HTTP_NETWORKS_MAX);
        KX_FAIL_IF(!parse_network(networks, list, length), err, KX_ERR_USAGE,
                   "trusted proxies: \"%.*s\" is neither an address nor a network such as 10.0.0.0/8",
                   (int)(length > 100 ? 100 : length), list);
        list += length;
    }
out:
    return status;
}

bool kx_networks_have(const kx_networks *networks, const kx_address *address)
{
    for (size_t i = 0; i < networks->count; i++) {
        const uint8_t *network = networks->of[i].address.bytes;
        unsigned whole = networks->of[i].bits / 8, rest = networks->of[i].bits % 8;
        if (memcmp(network, address->bytes, whole) != 0) continue;
        if (rest == 0 || ((network[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0) return true;
    }
    return false;
}

/* Cuts the last item off text[0, *length). False: there is none. */
static bool last_item(const char *text, size_t *length, const char **item, size_t *item_length)
{
    size_t end = *length;
    if (end == 0) return false;
    size_t begin = end;
    while (begin > 0 && text[begin - 1] != ',') begin--;
    *length = begin == 0 ? 0 : begin - 1;
    while (begin < end && (text[begin] == ' ' || text[begin] == '\t')) begin++;
    while (end > begin && (text[end - 1] == ' ' || text[end - 1] == '\t')) end--;
    *item = text + begin;
    *item_length = end - begin;
    return true;
}

/* Goes from right to left; false when the walk ends in this line. */
static bool walk_line(const char *line, const kx_networks *trusted, kx_address *client)
{
    size_t length = strlen(line), item_length;
    const char *item;
    while (last_item(line, &length, &item, &item_length)) {
        kx_address next;
        if (!kx_address_parse(item, item_length, &next)) return false;
        *client = next;
        if (!kx_networks_have(trusted, &next)) return false;
    }
    return true;
}

void kx_forwarded_client(const kx_head *head, const kx_networks *trusted, const kx_address *peer,
                         kx_address *client)
{
    *client = *peer;
    for (size_t i = head->num_headers; i-- > 0;) {
        if (strcasecmp(head->headers[i].name, "X-Forwarded-For") != 0) continue;
        if (!walk_line(head->headers[i].value, trusted, client)) return;
    }
}

static const char *last_of(const kx_head *head, const char *name, kx_arena *arena)
{
    kx_error err = {0};
    char *copy = NULL;
    for (size_t i = head->num_headers; i-- > 0;) {
        if (strcasecmp(head->headers[i].name, name) != 0) continue;
        const char *item;
        size_t length = strlen(head->headers[i].value), item_length;
        if (!last_item(head->headers[i].value, &length, &item, &item_length)) return NULL;
        return kx_arena_copy_text(arena, item, item_length, &copy, &err) == KX_OK ? copy : NULL;
    }
    return NULL;
}

const char *kx_forwarded_proto(const kx_head *head, kx_arena *arena)
{
    const char *proto = last_of(head, "X-Forwarded-Proto", arena);
    if (proto == NULL) return NULL;
    return strcasecmp(proto, "https") == 0 ? "https" : strcasecmp(proto, "http") == 0 ? "http" : NULL;
}

const char *kx_forwarded_host(const kx_head *head, kx_arena *arena)
{
    const char *host = last_of(head, "X-Forwarded-Host", arena);
    return host != NULL && kx_http_is_host(host) ? host : NULL;
}

const char *kx_forwarded_prefix(const kx_head *head, kx_arena *arena)
{
    const char *prefix = last_of(head, "X-Forwarded-Prefix", arena);
    if (prefix == NULL || prefix[0] != '/' || strstr(prefix, "//") != NULL || strstr(prefix, "..") != NULL)
        return NULL;
    size_t length = strlen(prefix);
    size_t plain = strspn(prefix, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._~-/");
    if (plain != length || length > 200) return NULL;
    while (length > 0 && prefix[length - 1] == '/') length--;
    kx_error err = {0};
    char *copy = NULL;
    return kx_arena_copy_text(arena, prefix, length, &copy, &err) == KX_OK ? copy : NULL;
}

bool kx_forwarded_id_is_plain(const char *text)
{
    size_t length = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-");
    return length > 0 && length <= 64 && text[length] == '\0';
}
