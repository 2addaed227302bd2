/* Addresses and networks: where outgoing requests may go, whose word about a client counts. An address is 16
 * bytes; an IPv4 one is held in its IPv4-mapped form (::ffff:a.b.c.d), so that both spellings are the same
 * address everywhere. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

#define KX_MAPPED_BITS 96u /* in front of an IPv4 address */

typedef struct kx_address {
    uint8_t bytes[16];
} kx_address;

typedef struct kx_network {
    kx_address address;
    unsigned prefix; /* leading bits that count, 0 to 128 */
} kx_network;

typedef struct kx_networks {
    kx_network *items;
    size_t count;
    kx_arena arena;
} kx_networks;

/* "127.0.0.1" or "::1"; nothing but the canonical four decimal numbers for IPv4. */
bool kx_address_parse(kx_address *address, const char *text);
/* False for a family that is neither IPv4 nor IPv6. */
bool kx_address_from_socket(kx_address *address, const struct sockaddr *socket);
kx_address kx_address_from_v4(const uint8_t v4[4]);
bool kx_address_is_v4(const kx_address *address);

/* "10.0.0.0/8, ::1": networks with or without a prefix, parted by commas or blanks; NULL and "" are none.
 * KX_ERR_USAGE names the part that is not a network. Free with kx_networks_free. */
kx_status kx_networks_parse(kx_networks *networks, const char *text, kx_error *err);
bool kx_network_holds(const kx_network *network, const kx_address *address);
bool kx_networks_hold(const kx_networks *networks, const kx_address *address);
void kx_networks_free(kx_networks *networks);
