#include "service/fetch/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* A host whose last label looks like a number is taken for an address by some resolvers ("127.1",
 * "0x7f.0.0.1", "2130706433", "0177.0.0.1"): unless it is a canonical address, it is refused. */
static bool ends_in_number(const char *host)
{
    const char *dot = strrchr(host, '.');
    const char *label = dot != NULL ? dot + 1 : host;
    size_t length = strlen(label);
    if (strspn(label, "0123456789") == length) return true;
    if (label[0] != '0' || label[1] != 'x') return false;
    for (label += 2; *label != '\0'; label++)
        if (!is_hex(*label)) return false;
    return true;
}

/* Labels of 1 to 63 letters, digits, hyphens and underscores. Names in other scripts must come as xn--:
 * mapping them here would turn look-alike digits and dots into an address. */
static kx_status check_name(const char *host, kx_error *err)
{
    kx_status status = KX_OK;
    size_t label = 0;
    for (const char *p = host;; p++) {
        bool is_end = *p == '\0' || *p == '.';
        if (is_end) {
            KX_FAIL_IF(label == 0, err, KX_ERR_INPUT, "the URL's host has an empty part");
            KX_FAIL_IF(label > 63, err, KX_ERR_INPUT,
                       "the URL's host has a part of %zu bytes, the limit is 63", label);
            label = 0;
            if (*p == '\0') break;
            continue;
        }
        label++;
        bool is_plain = is_digit(*p) || (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '_';
        KX_FAIL_IF((unsigned char)*p >= 0x80, err, KX_ERR_INPUT,
                   "the URL's host is not ASCII, names in other scripts are written in their xn-- form");
        KX_FAIL_IF(!is_plain, err, KX_ERR_INPUT,
                   "the URL's host has a byte that is no letter, digit, hyphen or dot");
    }
out:
    return status;
}

static kx_status take_host(kx_url *url, const char *text, size_t length, kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(length == 0, err, KX_ERR_INPUT, "the URL has no host");
    KX_FAIL_IF(length > KX_HOST_BYTES_MAX, err, KX_ERR_INPUT, "the URL's host is %zu bytes, the limit is %d",
               length, KX_HOST_BYTES_MAX);
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        url->host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    url->host[length] = '\0';
out:
    return status;
}

static kx_status parse_port(kx_url *url, const char *text, size_t length, kx_error *err)
{
    kx_status status = KX_OK;
    unsigned port = 0;
    for (size_t i = 0; i < length && i < 6; i++) {
        KX_FAIL_IF(!is_digit(text[i]), err, KX_ERR_INPUT, "the URL's port is not a number");
        port = 10 * port + (unsigned)(text[i] - '0');
    }
    KX_FAIL_IF(length < 1 || length > 5 || port < 1 || port > 65535, err, KX_ERR_INPUT,
               "the URL's port is not one from 1 to 65535");
    url->port = port;
out:
    return status;
}

static kx_status parse_bracketed(kx_url *url, const char *text, size_t length, size_t *used, kx_error *err)
{
    kx_status status = KX_OK;
    const char *end = memchr(text, ']', length);
    KX_FAIL_IF(end == NULL, err, KX_ERR_INPUT, "the URL's host opens a bracket and does not close it");
    KX_TRY(take_host(url, text + 1, (size_t)(end - text) - 1, err));
    bool good = strchr(url->host, ':') != NULL && kx_address_parse(&url->address, url->host);
    KX_FAIL_IF(!good, err, KX_ERR_INPUT, "the URL's host in brackets is not an IPv6 address");
    url->is_address = true;
    *used = (size_t)(end - text) + 1;
out:
    return status;
}

static kx_status parse_host(kx_url *url, const char *text, size_t length, size_t *used, kx_error *err)
{
    kx_status status = KX_OK;
    if (length > 0 && text[0] == '[') return parse_bracketed(url, text, length, used, err);
    const char *colon = memchr(text, ':', length);
    *used = colon != NULL ? (size_t)(colon - text) : length;
    KX_TRY(take_host(url, text, *used, err));
    KX_TRY(check_name(url->host, err));
    url->is_address = kx_address_parse(&url->address, url->host);
    KX_FAIL_IF(!url->is_address && ends_in_number(url->host), err, KX_ERR_INPUT,
               "the URL's host ends in a number and is not an address of four decimal numbers");
out:
    return status;
}

static kx_status parse_authority(kx_url *url, const char *text, size_t length, kx_error *err)
{
    kx_status status = KX_OK;
    size_t used = 0;
    KX_FAIL_IF(memchr(text, '@', length) != NULL, err, KX_ERR_INPUT,
               "the URL names a user, that is not allowed");
    KX_TRY(parse_host(url, text, length, &used, err));
    url->port = url->is_https ? 443 : 80;
    if (used == length) goto out;
    KX_FAIL_IF(text[used] != ':', err, KX_ERR_INPUT,
               "the URL's host is followed by something that is no port");
    KX_TRY(parse_port(url, text + used + 1, length - used - 1, err));
out:
    return status;
}

kx_status kx_url_parse(kx_url *url, const char *text, kx_error *err)
{
    kx_status status = KX_OK;
    size_t bytes = strlen(text);
    *url = (kx_url){0};
    KX_FAIL_IF(bytes > KX_URL_BYTES_MAX, err, KX_ERR_INPUT, "the URL is %zu bytes, the limit is %d", bytes,
               KX_URL_BYTES_MAX);
    for (const char *p = text; *p != '\0'; p++) {
        KX_FAIL_IF((unsigned char)*p <= 0x20 || *p == 0x7f, err, KX_ERR_INPUT,
                   "the URL has a space or a control byte");
        KX_FAIL_IF(*p == '\\', err, KX_ERR_INPUT, "the URL has a backslash");
    }
    url->is_https = strncasecmp(text, "https://", 8) == 0;
    KX_FAIL_IF(!url->is_https && strncasecmp(text, "http://", 7) != 0, err, KX_ERR_INPUT,
               "the URL does not begin with http:// or https://");
    const char *authority = text + (url->is_https ? 8 : 7);
    size_t length = strcspn(authority, "/?#");
    KX_TRY(parse_authority(url, authority, length, err));
    url->target = authority + length;
    url->target_bytes = strcspn(url->target, "#");
out:
    return status;
}

static kx_status write_target(const kx_url *url, kx_bytes *out, kx_error *err)
{
    kx_status status = KX_OK;
    if (url->target_bytes == 0 || url->target[0] != '/') KX_TRY(kx_bytes_append(out, "/", 1, err));
    for (size_t i = 0; i < url->target_bytes; i++) {
        char code[4];
        unsigned char c = (unsigned char)url->target[i];
        bool is_plain = c > 0x20 && c < 0x7f && strchr("\"<>^`{|}", c) == NULL;
        if (is_plain) {
            KX_TRY(kx_bytes_append(out, &c, 1, err));
            continue;
        }
        snprintf(code, sizeof code, "%%%02X", c);
        KX_TRY(kx_bytes_append(out, code, 3, err));
    }
    KX_TRY(kx_bytes_append(out, "", 1, err));
out:
    return status;
}

kx_status kx_url_write(const kx_url *url, kx_bytes *out, kx_error *err)
{
    kx_status status = KX_OK;
    char front[KX_HOST_BYTES_MAX + 32];
    bool is_v6 = strchr(url->host, ':') != NULL;
    int length = snprintf(front, sizeof front, "%s://%s%s%s:%u", url->is_https ? "https" : "http",
                          is_v6 ? "[" : "", url->host, is_v6 ? "]" : "", url->port);
    KX_TRY(kx_bytes_append(out, front, (size_t)length, err));
    KX_TRY(write_target(url, out, err));
out:
    return status;
}
