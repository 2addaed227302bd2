/* Who is asking: addresses, networks of trusted proxies, and what those proxies say in X-Forwarded-*. */
#pragma once

#include "base/arena.h"
#include "service/http/http_head.h"

#include <sys/socket.h>

enum { KX_HTTP_NETWORKS_MAX = 32 };

typedef struct kx_address { /* IPv4 stands as ::ffff:a.b.c.d */
    uint8_t bytes[16];
} kx_address;

typedef struct kx_networks {
    struct {
        kx_address address;
        unsigned bits;
    } of[KX_HTTP_NETWORKS_MAX];
    size_t count;
} kx_networks;

#define KX_ADDRESS_TEXT_BYTES 48

bool kx_address_of(const struct sockaddr *from, kx_address *address);
/* A plain address; also "1.2.3.4:5678" and "[::1]:80", as some proxies write them. */
bool kx_address_parse(const char *text, size_t length, kx_address *address);
void kx_address_format(const kx_address *address, char text[KX_ADDRESS_TEXT_BYTES]);
bool kx_address_is_loopback(const kx_address *address);

/* "127.0.0.1,10.0.0.0/8,::1"; `list` may be NULL. Errors: KX_ERR_USAGE. */
kx_status kx_networks_parse(kx_networks *networks, const char *list, kx_error *err);
bool kx_networks_have(const kx_networks *networks, const kx_address *address);

/* The right-most address of X-Forwarded-For that is no trusted proxy. `peer` is a trusted one. */
void kx_forwarded_client(const kx_head *head, const kx_networks *trusted, const kx_address *peer,
                         kx_address *client);
/* The last item of a list header, when it is of the right form; NULL otherwise. */
const char *kx_forwarded_proto(const kx_head *head, kx_arena *arena);
const char *kx_forwarded_host(const kx_head *head, kx_arena *arena);
const char *kx_forwarded_prefix(const kx_head *head, kx_arena *arena); /* "/a/b" */
/* A request id may be taken over when it is 1 to 64 letters, digits, ".", "_" or "-". */
bool kx_forwarded_id_is_plain(const char *text);
