#include "engine/formats/checksum.h"

#include <string.h>

static const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);

/* One to one in `lane` and in `word`, so that a single changed word always changes the lane. */
static uint64_t stir(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * odd;
    return lane ^ lane >> 29;
}

kx_checksum kx_checksum_start(void)
{
    kx_checksum sum = {.bytes = 0};
    for (int i = 0; i < KX_CHECKSUM_LANES; i++) sum.lanes[i] = odd * (uint64_t)(i + 1);
    return sum;
}

static void add_stripes(kx_checksum *sum, const uint8_t *data, size_t stripes)
{
    uint64_t a = sum->lanes[0], b = sum->lanes[1], c = sum->lanes[2], d = sum->lanes[3];
    for (; stripes > 0; stripes--, data += KX_CHECKSUM_STRIPE) {
        uint64_t words[KX_CHECKSUM_LANES];
        memcpy(words, data, sizeof words);
        a = stir(a, words[0]);
        b = stir(b, words[1]);
        c = stir(c, words[2]);
        d = stir(d, words[3]);
    }
    sum->lanes[0] = a;
    sum->lanes[1] = b;
    sum->lanes[2] = c;
    sum->lanes[3] = d;
}

void kx_checksum_add(kx_checksum *sum, const void *data, size_t bytes)
{
    const uint8_t *from = data;
    sum->bytes += bytes;
    if (sum->num_held > 0) {
        size_t room = KX_CHECKSUM_STRIPE - sum->num_held, some = bytes < room ? bytes : room;
        memcpy(sum->held + sum->num_held, from, some);
        sum->num_held += some;
        from += some;
        bytes -= some;
        if (sum->num_held < KX_CHECKSUM_STRIPE) return;
        add_stripes(sum, sum->held, 1);
        sum->num_held = 0;
    }
    add_stripes(sum, from, bytes / KX_CHECKSUM_STRIPE);
    sum->num_held = bytes % KX_CHECKSUM_STRIPE;
    if (sum->num_held > 0) memcpy(sum->held, from + bytes - sum->num_held, sum->num_held);
}

uint64_t kx_checksum_end(const kx_checksum *sum)
{
    kx_checksum whole = *sum;
    if (whole.num_held > 0) {
        memset(whole.held + whole.num_held, 0, KX_CHECKSUM_STRIPE - whole.num_held);
        add_stripes(&whole, whole.held, 1);
    }
    uint64_t value = whole.bytes;
    for (int i = 0; i < KX_CHECKSUM_LANES; i++) value = stir(value, whole.lanes[i]);
    return value ^ value >> 32;
}
