#include "test_support.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *next_path(void)
{
    static char paths[8][4096];
    static unsigned next;
    return paths[next++ % 8];
}

const char *test_shared_path(const char *relative)
{
    const char *shared = getenv("KONTEXT_SHARED");
    char *path = next_path();
    snprintf(path, 4096, "%s/%s", shared != NULL ? shared : "../shared", relative);
    if (!kx_file_exists(path)) {
        print_message("# skipped: no reference data at %s\n", path);
        skip();
    }
    return path;
}

const char *test_source_path(const char *relative)
{
    const char *source = getenv("KONTEXT_SOURCE");
    char *path = next_path();
    snprintf(path, 4096, "%s/%s", source != NULL ? source : ".", relative);
    return path;
}

static char temporary_folder[1024];

static void remove_temporary_folder(void)
{
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", temporary_folder);
    if (system(command) != 0) fprintf(stderr, "cannot remove %s\n", temporary_folder);
}

const char *test_temporary_folder(void)
{
    if (temporary_folder[0] == '\0') {
        const char *base = getenv("TMPDIR");
        snprintf(temporary_folder, sizeof temporary_folder, "%s/kontext-test-XXXXXX", base != NULL ? base : "/tmp");
        if (mkdtemp(temporary_folder) == NULL) fail_msg("cannot make %s", temporary_folder);
        atexit(remove_temporary_folder);
    }
    return temporary_folder;
}

const char *test_write_file(const char *name, const void *data, size_t bytes)
{
    char *path = next_path();
    snprintf(path, 4096, "%s/%s", test_temporary_folder(), name);
    FILE *file = fopen(path, "wb");
    if (file == NULL) fail_msg("cannot write %s", path);
    size_t put = fwrite(data, 1, bytes, file);
    if (fclose(file) != 0 || put != bytes) fail_msg("cannot write %s", path);
    return path;
}

uint8_t *test_read_file(const char *path, size_t *bytes)
{
    kx_error err = {0};
    kx_bytes content = {.cap = (size_t)1 << 31};
    uint8_t zero = 0;
    if (kx_file_read(path, &content, KX_ERR_INPUT, &err) != KX_OK) fail_msg("%s", err.message);
    assert_ok(kx_bytes_append(&content, &zero, 1, &err));
    *bytes = content.size - 1;
    return content.data;
}

test_difference test_compare_f32(const float *a, const float *b, size_t count)
{
    test_difference d = {0};
    double sum = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = (double)a[i] - (double)b[i];
        if (!isfinite(difference)) return (test_difference){INFINITY, INFINITY, 0};
        sum += difference * difference;
        norm += (double)b[i] * (double)b[i];
        d.largest = fmax(d.largest, fabs(difference));
        d.scale = fmax(d.scale, fabs((double)b[i]));
    }
    d.relative_l2 = norm > 0 ? sqrt(sum / norm) : sqrt(sum);
    return d;
}

/* SHA-256 (FIPS 180-4), for comparing pixels with published sums. */
static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void sha_block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
        uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha_k[i] + w[i];
        uint32_t s0 = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
        uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

const char *test_sha256(const void *data, size_t bytes)
{
    static char hex[65];
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *p = data;
    size_t left = bytes;
    for (; left >= 64; left -= 64, p += 64) sha_block(h, p);
    uint8_t tail[128] = {0};
    if (left > 0) memcpy(tail, p, left);
    tail[left] = 0x80;
    size_t tail_bytes = left < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++) tail[tail_bytes - 1 - (size_t)i] = (uint8_t)((uint64_t)bytes * 8 >> (8 * i));
    for (size_t i = 0; i < tail_bytes; i += 64) sha_block(h, tail + i);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", h[i]);
    return hex;
}
