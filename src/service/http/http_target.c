#include "service/http/http_target.h"

#include <string.h>
#include <strings.h>
#include <utf8proc.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool is_utf8(const char *text, size_t length)
{
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t used = utf8proc_iterate(bytes + i, (utf8proc_ssize_t)(length - i), &point);
        if (used <= 0) return false;
        i += (size_t)used;
    }
    return true;
}

bool kx_target_decode(char *text, bool is_query)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        char c = *in;
        if (c == '%') {
            int high = hex_value(in[1]);
            int low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0) return false;
            c = (char)(high * 16 + low);
            in += 2;
            bool is_control = (unsigned char)c < ' ' || c == 0x7f;
            bool is_break = is_query && (c == '\n' || c == '\r' || c == '\t');
            if (is_control && !is_break) return false;
        } else if (c == '+' && is_query) {
            c = ' ';
        }
        *out++ = c;
    }
    *out = '\0';
    return is_utf8(text, (size_t)(out - text));
}

static bool refuse(kx_refusal *refusal, int status, const char *sentence)
{
    *refusal = (kx_refusal){status, sentence};
    return false;
}

/* "http://host:80/path" -> authority and the path behind it. */
static bool split_authority(kx_target *target, char **text, kx_arena *arena, kx_refusal *refusal)
{
    size_t scheme = strncasecmp(*text, "http://", 7) == 0    ? 7
                    : strncasecmp(*text, "https://", 8) == 0 ? 8
                                                             : 0;
    if (scheme == 0) return refuse(refusal, 400, "the address does not begin with \"/\"");
    char *authority = *text + scheme;
    size_t length = strcspn(authority, "/?#");
    kx_error err = {0};
    char *copy = NULL;
    if (kx_arena_copy_text(arena, authority, length, &copy, &err) != KX_OK)
        return refuse(refusal, 503, "out of memory");
    if (!kx_http_is_host(copy)) return refuse(refusal, 400, "the address names no host");
    target->authority = copy;
    *text = authority + length;
    return true;
}

static bool parse_segment(kx_target *target, char *segment, kx_refusal *refusal)
{
    if (!kx_target_decode(segment, false))
        return refuse(refusal, 400, "the path holds a wrong percent escape, or bytes that no path has");
    if (strpbrk(segment, "/\\") != NULL) return refuse(refusal, 400, "the path holds an encoded slash");
    if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
        return refuse(refusal, 400, "the path holds a \".\" or \"..\" segment");
    if (target->num_segments == KX_HTTP_SEGMENTS_MAX)
        return refuse(refusal, 400, "the path has more than 32 segments");
    target->segments[target->num_segments++] = segment;
    return true;
}

static bool parse_path(kx_target *target, char *path, kx_arena *arena, kx_refusal *refusal)
{
    kx_error err = {0};
    void *joined = NULL;
    if (kx_arena_take(arena, strlen(path) + 2, &joined, &err) != KX_OK)
        return refuse(refusal, 503, "out of memory");
    char *out = joined;
    target->path = out;
    bool is_root = path[0] == '\0' || strcmp(path, "/") == 0;
    for (char *segment = is_root ? NULL : path + 1; segment != NULL;) {
        char *next = strchr(segment, '/');
        if (next != NULL) *next++ = '\0';
        if (!parse_segment(target, segment, refusal)) return false;
        size_t bytes = strlen(segment);
        *out++ = '/';
        memcpy(out, segment, bytes);
        out += bytes;
        segment = next;
    }
    if (is_root) *out++ = '/';
    *out = '\0';
    return true;
}

/* Before its parameters are decoded in place. */
static bool keep_query(kx_target *target, const char *query, kx_arena *arena)
{
    kx_error err = {0};
    char *copy = NULL;
    target->query = "";
    if (query == NULL) return true;
    if (kx_arena_copy_text(arena, query, strlen(query), &copy, &err) != KX_OK) return false;
    target->query = copy;
    return true;
}

static bool parse_query(kx_target *target, char *query, kx_refusal *refusal)
{
    while (query != NULL) {
        char *next = strchr(query, '&');
        if (next != NULL) *next++ = '\0';
        char *value = strchr(query, '=');
        if (value != NULL) *value++ = '\0';
        if (!kx_target_decode(query, true) || (value != NULL && !kx_target_decode(value, true)))
            return refuse(refusal, 400, "the query holds a wrong percent escape, or bytes that no text has");
        if (*query != '\0') {
            if (target->num_queries == KX_HTTP_QUERIES_MAX)
                return refuse(refusal, 400, "the query has more than 64 parameters");
            target->queries[target->num_queries++] = (kx_http_pair){query, value == NULL ? "" : value};
        }
        query = next;
    }
    return true;
}

bool kx_target_parse(kx_target *target, const char *text, kx_arena *arena, kx_refusal *refusal)
{
    kx_error err = {0};
    char *copy = NULL;
    *target = (kx_target){.path = "/"};
    if (kx_arena_copy_text(arena, text, strlen(text), &copy, &err) != KX_OK)
        return refuse(refusal, 503, "out of memory");
    if (strchr(copy, '#') != NULL) return refuse(refusal, 400, "the address holds a fragment");
    if (strcmp(copy, "*") == 0) {
        target->path = "*";
        return true;
    }
    if (copy[0] != '/' && !split_authority(target, &copy, arena, refusal)) return false;
    char *query = strchr(copy, '?');
    if (query != NULL) *query++ = '\0';
    if (!keep_query(target, query, arena)) return refuse(refusal, 503, "out of memory");
    return parse_path(target, copy, arena, refusal) && parse_query(target, query, refusal);
}
