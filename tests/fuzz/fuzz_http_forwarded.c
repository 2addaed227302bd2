/* The first line is a list of trusted networks, the rest a head with X-Forwarded-* lines. */
#include "service/http/http_forwarded.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const kx_head *head, const kx_networks *trusted)
{
    kx_arena arena = {0};
    kx_address peer = {.bytes = {[10] = 0xff, 0xff, 127, 0, 0, 1}}, client, again;
    char text[KX_ADDRESS_TEXT_BYTES];
    kx_forwarded_client(head, trusted, &peer, &client);
    kx_address_format(&client, text);
    if (!kx_http_address_parse(text, strlen(text), &again) || memcmp(&again, &client, sizeof client) != 0)
        abort();
    const char *host = kx_forwarded_host(head, &arena), *prefix = kx_forwarded_prefix(head, &arena);
    const char *proto = kx_forwarded_proto(head, &arena);
    if (host != NULL && strpbrk(host, "/\"'<> ,\r\n") != NULL) abort();
    if (prefix != NULL && (strpbrk(prefix, "\"'<> ,\r\n") != NULL || strstr(prefix, "//") != NULL)) abort();
    if (proto != NULL && strcmp(proto, "http") != 0 && strcmp(proto, "https") != 0) abort();
    kx_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kx_head head;
    kx_networks trusted;
    kx_refusal refusal;
    kx_error err = {0};
    if (size > KX_HTTP_HEAD_BYTES) return 0;
    char *text = malloc(size + 1);
    if (text == NULL) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char *rest = strchr(text, '\n');
    if (rest != NULL) {
        *rest++ = '\0';
        bool good = kx_networks_parse(&trusted, text, &err) == KX_OK;
        if (!good && err.status != KX_ERR_USAGE) abort();
        if (good && kx_head_parse(&head, rest, size - (size_t)(rest - text), &refusal)) look(&head, &trusted);
        kx_networks_free(&trusted);
    }
    free(text);
    return 0;
}
