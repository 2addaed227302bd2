/* Addresses, networks, and which of them are special. An address is 16 bytes; an IPv4 one is held in its
 * IPv4-mapped form (::ffff:a.b.c.d), so that both spellings are the same address everywhere. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

typedef struct kx_fetch_address {
    uint8_t bytes[16];
} kx_fetch_address;

typedef struct kx_network {
    kx_fetch_address address;
    unsigned prefix; /* leading bits that count, 0 to 128 */
} kx_network;

typedef struct kx_fetch_networks {
    kx_network *items;
    size_t count;
    kx_arena arena;
} kx_fetch_networks;

/* "127.0.0.1" or "::1"; nothing but the canonical four decimal numbers for IPv4. */
bool kx_fetch_address_parse(kx_fetch_address *address, const char *text);
/* False for a family that is neither IPv4 nor IPv6. */
bool kx_fetch_address_from_socket(kx_fetch_address *address, const struct sockaddr *socket);
bool kx_fetch_address_is_v4(const kx_fetch_address *address);

/* "10.0.0.0/8, ::1": networks with or without a prefix, parted by commas; NULL and "" are no networks.
 * KX_ERR_USAGE names the part that is not a network. Free with kx_fetch_networks_free. */
kx_status kx_fetch_networks_parse(kx_fetch_networks *networks, const char *text, kx_error *err);
bool kx_fetch_networks_hold(const kx_fetch_networks *networks, const kx_fetch_address *address);
void kx_fetch_networks_free(kx_fetch_networks *networks);

/* Whether a request may go to `address`: a public unicast one, or one that `allowed` holds. An address that
 * carries an IPv4 one for a translator (NAT64) is judged by that one. */
bool kx_fetch_address_is_reachable(const kx_fetch_address *address, const kx_fetch_networks *allowed);
