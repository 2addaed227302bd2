#include "service/http/http_forwarded.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static bool is_port(const char *text, size_t length)
{
    if (length < 2 || length > 6 || text[0] != ':') return false;
    for (size_t i = 1; i < length; i++)
        if (text[i] < '0' || text[i] > '9') return false;
    return true;
}

/* Cuts a port off: of "[v6]:port" and of "v4:port". False: brackets that do not close, a port that is none.
 */
static bool cut_port(const char **text, size_t *length)
{
    bool is_bracketed = *length > 0 && **text == '[';
    const char *end = memchr(*text, is_bracketed ? ']' : ':', *length);
    if (end == NULL) return !is_bracketed;
    const char *rest = is_bracketed ? end + 1 : end;
    size_t rest_length = *length - (size_t)(rest - *text);
    if (!is_bracketed && memchr(end + 1, ':', rest_length - 1) != NULL) return true; /* a bare v6 */
    if (rest_length > 0 && !is_port(rest, rest_length)) return false;
    *length = (size_t)(end - *text) - is_bracketed;
    *text += is_bracketed;
    return true;
}

bool kx_http_address_parse(const char *text, size_t length, kx_address *address)
{
    char copy[INET6_ADDRSTRLEN];
    if (!cut_port(&text, &length) || length == 0 || length >= sizeof copy) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return kx_address_parse(address, copy);
}

void kx_address_format(const kx_address *address, char text[KX_ADDRESS_TEXT_BYTES])
{
    bool is_v4 = kx_address_is_v4(address);
    if (inet_ntop(is_v4 ? AF_INET : AF_INET6, address->bytes + (is_v4 ? 12 : 0), text,
                  KX_ADDRESS_TEXT_BYTES) == NULL)
        text[0] = '\0';
}

bool kx_address_is_loopback(const kx_address *address)
{
    static const uint8_t v6[16] = {[15] = 1};
    return kx_address_is_v4(address) ? address->bytes[12] == 127 : memcmp(address->bytes, v6, 16) == 0;
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
        if (!kx_http_address_parse(item, item_length, &next)) return false;
        *client = next;
        if (!kx_networks_hold(trusted, &next)) return false;
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
