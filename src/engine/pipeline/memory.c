#include "engine/pipeline/memory.h"

#include <stdio.h>
#include <string.h>

/* The number of KiB behind `key` ("RssAnon:") in a file of "Key:   123 kB" lines. */
static uint64_t kib_entry(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    char line[256];
    unsigned long long kib = 0;
    size_t length = strlen(key);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, length) == 0 && sscanf(line + length, "%llu", &kib) == 1) break;
    fclose(file);
    return (uint64_t)kib * 1024;
}

static int read_number(const char *path, uint64_t *value)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    unsigned long long number;
    int got = fscanf(file, "%llu", &number) == 1; /* "max" is no number: no limit */
    fclose(file);
    if (got) *value = number;
    return got;
}

uint64_t kx_memory_anonymous_bytes(void)
{
    return kib_entry("/proc/self/status", "RssAnon:");
}

uint64_t kx_memory_available_bytes(void)
{
    uint64_t available = kib_entry("/proc/meminfo", "MemAvailable:");
    uint64_t limit, used;
    if (read_number("/sys/fs/cgroup/memory.max", &limit) &&
        read_number("/sys/fs/cgroup/memory.current", &used)) {
        /* Page cache counts as used there, but leaves when it must. */
        uint64_t reclaimable = 0;
        FILE *file = fopen("/sys/fs/cgroup/memory.stat", "r");
        if (file != NULL) {
            char key[64];
            unsigned long long value;
            while (fscanf(file, "%63s %llu", key, &value) == 2)
                if (strcmp(key, "file") == 0) reclaimable = value;
            fclose(file);
        }
        used = used > reclaimable ? used - reclaimable : 0;
        uint64_t left = limit > used ? limit - used : 0;
        if (available == 0 || left < available) available = left;
    }
    return available;
}
