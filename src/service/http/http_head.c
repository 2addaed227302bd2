#include "service/http/http_head.h"

#include <string.h>
#include <strings.h>

static bool is_token_byte(unsigned char c)
{
    if (c >= '0' && c <= '9') return true;
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool kx_http_is_token(const char *text)
{
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (!is_token_byte((unsigned char)*text)) return false;
    }
    return true;
}

bool kx_http_list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    while (*list != '\0') {
        list += strspn(list, " \t,");
        size_t item = strcspn(list, ",");
        size_t trimmed = item;
        while (trimmed > 0 && (list[trimmed - 1] == ' ' || list[trimmed - 1] == '\t')) trimmed--;
        if (trimmed == length && strncasecmp(list, word, length) == 0) return true;
        list += item;
    }
    return false;
}

bool kx_http_is_host(const char *text)
{
    size_t name;
    if (text[0] == '[') {
        name = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (name < 3 || text[name] != ']') return false;
        name++;
    } else {
        name = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_");
        if (name == 0) return false;
    }
    if (name > 255) return false;
    if (text[name] == '\0') return true;
    size_t digits = strspn(text + name + 1, "0123456789");
    return text[name] == ':' && digits > 0 && digits <= 5 && text[name + 1 + digits] == '\0';
}

static kx_head_scan broken(kx_refusal *refusal, int status, const char *sentence)
{
    *refusal = (kx_refusal){status, sentence};
    return KX_HEAD_BROKEN;
}

kx_head_scan kx_head_look(const char *bytes, size_t size, size_t *scanned, size_t *end, kx_refusal *refusal)
{
    if (size > 0 && !is_token_byte((unsigned char)bytes[0]))
        return broken(refusal, 400, "the request does not begin with a method");
    for (size_t i = *scanned; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool after_cr = i > 0 && bytes[i - 1] == '\r';
        if (after_cr != (c == '\n')) return broken(refusal, 400, "a line of the head does not end in CR LF");
        if ((c < ' ' && c != '\r' && c != '\n' && c != '\t') || c == 0x7f)
            return broken(refusal, 400, "the head holds a control byte");
        if (c == '\n' && i >= 3 && bytes[i - 2] == '\n') {
            *end = i + 1;
            return i + 1 > KX_HTTP_HEAD_BYTES ? broken(refusal, 431, "the head of the request is over 32 KiB")
                                              : KX_HEAD_WHOLE;
        }
    }
    *scanned = size;
    if (size > KX_HTTP_TARGET_BYTES + 64 && memchr(bytes, '\n', size) == NULL)
        return broken(refusal, 414, "the address is over 8 KiB");
    if (size > KX_HTTP_HEAD_BYTES) return broken(refusal, 431, "the head of the request is over 32 KiB");
    return KX_HEAD_MORE;
}

/* The text up to the next `stop`, terminated in place; NULL when there is none. */
static char *cut(char **rest, char stop)
{
    char *begin = *rest;
    char *at = strchr(begin, stop);
    if (at == NULL) return NULL;
    *at = '\0';
    *rest = at + 1;
    return begin;
}

static bool refuse(kx_refusal *refusal, int status, const char *sentence)
{
    *refusal = (kx_refusal){status, sentence};
    return false;
}

static bool parse_version(kx_head *head, const char *version, kx_refusal *refusal)
{
    bool is_http = strncmp(version, "HTTP/", 5) == 0 && version[5] >= '0' && version[5] <= '9' &&
                   version[6] == '.' && version[7] >= '0' && version[7] <= '9' && version[8] == '\0';
    if (!is_http) return refuse(refusal, 400, "the request line is not \"METHOD TARGET HTTP/1.1\"");
    if (version[5] != '1' || version[7] > '1')
        return refuse(refusal, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    head->is_http10 = version[7] == '0';
    return true;
}

static bool parse_request_line(kx_head *head, char *line, kx_refusal *refusal)
{
    char *rest = line;
    head->method = cut(&rest, ' ');
    head->target = head->method == NULL ? NULL : cut(&rest, ' ');
    if (head->target == NULL || !kx_http_is_token(head->method) || strlen(head->method) > 20)
        return refuse(refusal, 400, "the request line is not \"METHOD TARGET HTTP/1.1\"");
    if (strlen(head->target) > KX_HTTP_TARGET_BYTES) return refuse(refusal, 414, "the address is over 8 KiB");
    for (const char *c = head->target; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            return refuse(refusal, 400, "the address holds bytes that must be percent-encoded");
    }
    return parse_version(head, rest, refusal);
}

static bool parse_header_line(kx_head *head, char *line, kx_refusal *refusal)
{
    if (line[0] == ' ' || line[0] == '\t') return refuse(refusal, 400, "folded header lines are refused");
    char *value = line;
    char *name = cut(&value, ':');
    if (name == NULL || !kx_http_is_token(name))
        return refuse(refusal, 400, "a header line is not \"Name: value\"");
    value += strspn(value, " \t");
    size_t length = strlen(value);
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) length--;
    value[length] = '\0';
    if (head->num_headers == KX_HTTP_HEADERS_MAX)
        return refuse(refusal, 431, "the request has more than 100 header lines");
    head->headers[head->num_headers++] = (kx_http_header){name, value};
    return true;
}

const char *kx_head_find(const kx_head *head, const char *name)
{
    for (size_t i = 0; i < head->num_headers; i++) {
        if (strcasecmp(head->headers[i].name, name) == 0) return head->headers[i].value;
    }
    return NULL;
}

static size_t count_of(const kx_head *head, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < head->num_headers; i++) count += strcasecmp(head->headers[i].name, name) == 0;
    return count;
}

static bool parse_length(kx_head *head, const char *text, kx_refusal *refusal)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return refuse(refusal, 400, "Content-Length is not a plain number");
    for (; *text != '\0'; text++) head->length = head->length * 10 + (uint64_t)(*text - '0');
    head->has_length = true;
    return true;
}

static bool check_framing(kx_head *head, kx_refusal *refusal)
{
    static const char *const single[] = {"Host", "Content-Length", "Transfer-Encoding", "Content-Type",
                                         "Authorization"};
    static const char *const sentences[] = {"Host stands twice", "Content-Length stands twice",
                                            "Transfer-Encoding stands twice", "Content-Type stands twice",
                                            "Authorization stands twice"};
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        if (count_of(head, single[i]) > 1) return refuse(refusal, 400, sentences[i]);
    }
    const char *length = kx_head_find(head, "Content-Length");
    const char *coding = kx_head_find(head, "Transfer-Encoding");
    if (length != NULL && coding != NULL)
        return refuse(refusal, 400, "Content-Length and Transfer-Encoding stand together");
    if (coding != NULL && (head->is_http10 || strcasecmp(coding, "chunked") != 0))
        return refuse(refusal, 400, "the only transfer coding here is chunked, with HTTP/1.1");
    head->is_chunked = coding != NULL;
    return length == NULL || parse_length(head, length, refusal);
}

static bool check_rest(kx_head *head, kx_refusal *refusal)
{
    const char *host = kx_head_find(head, "Host");
    if (host == NULL && !head->is_http10) return refuse(refusal, 400, "the Host header is missing");
    if (host != NULL && *host != '\0' && !kx_http_is_host(host))
        return refuse(refusal, 400, "the Host header is not a host name");
    head->host = host == NULL ? "" : host;
    const char *expect = kx_head_find(head, "Expect");
    if (expect != NULL && strcasecmp(expect, "100-continue") != 0)
        return refuse(refusal, 417, "the only expectation known here is 100-continue");
    head->expects_continue = expect != NULL && !head->is_http10;
    head->keep_alive = !head->is_http10;
    for (size_t i = 0; i < head->num_headers; i++) {
        if (strcasecmp(head->headers[i].name, "Connection") != 0) continue;
        if (head->is_http10 && kx_http_list_has(head->headers[i].value, "keep-alive"))
            head->keep_alive = true;
        if (kx_http_list_has(head->headers[i].value, "close")) {
            head->keep_alive = false;
            break;
        }
    }
    return true;
}

bool kx_head_parse(kx_head *head, char *text, size_t bytes, kx_refusal *refusal)
{
    *head = (kx_head){.method = "", .target = "", .host = ""};
    if (memchr(text, '\0', bytes) != NULL) return refuse(refusal, 400, "the head holds a control byte");
    char *end = text + bytes;
    for (char *line = text; line < end;) {
        char *stop = memchr(line, '\r', (size_t)(end - line));
        if (stop == NULL || stop + 1 >= end || stop[1] != '\n')
            return refuse(refusal, 400, "a line of the head does not end in CR LF");
        *stop = '\0';
        bool is_first = line == text;
        if (is_first && !parse_request_line(head, line, refusal)) return false;
        if (!is_first && line == stop)
            return stop + 2 == end ? check_framing(head, refusal) && check_rest(head, refusal)
                                   : refuse(refusal, 400, "the head goes on behind its end");
        if (!is_first && !parse_header_line(head, line, refusal)) return false;
        line = stop + 2;
    }
    return refuse(refusal, 400, "the head has no end");
}
