/* Who is asking: what trusted proxies say in X-Forwarded-*. */
#pragma once

#include "base/arena.h"
#include "service/common/networks.h"
#include "service/http/http_head.h"

#define KX_ADDRESS_TEXT_BYTES 48

/* An address with or without a port: "1.2.3.4:5678" and "[::1]:80", as hosts and some proxies write them. */
bool kx_http_address_parse(const char *text, size_t length, kx_address *address);
void kx_address_format(const kx_address *address, char text[KX_ADDRESS_TEXT_BYTES]);
bool kx_address_is_loopback(const kx_address *address);

/* The right-most address of X-Forwarded-For that is no trusted proxy. `peer` is a trusted one. */
void kx_forwarded_client(const kx_head *head, const kx_networks *trusted, const kx_address *peer,
                         kx_address *client);
/* The last item of a list header, when it is of the right form; NULL otherwise. */
const char *kx_forwarded_proto(const kx_head *head, kx_arena *arena);
const char *kx_forwarded_host(const kx_head *head, kx_arena *arena);
const char *kx_forwarded_prefix(const kx_head *head, kx_arena *arena); /* "/a/b" */
/* A request id may be taken over when it is 1 to 64 letters, digits, ".", "_" or "-". */
bool kx_forwarded_id_is_plain(const char *text);
