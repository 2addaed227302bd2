/* Which addresses a request may go to. */
#pragma once

#include "service/common/networks.h"

/* Whether a request may go to `address`: a public unicast one, or one that `allowed` holds. An address that
 * carries an IPv4 one for a translator (NAT64) is judged by that one. */
bool kx_fetch_address_is_reachable(const kx_address *address, const kx_networks *allowed);
