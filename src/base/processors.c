#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "base/processors.h"

#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, GROUP_BYTES = 2048 };

size_t kx_processors_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return (size_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}

size_t kx_processors_usable(void)
{
    size_t allowed = kx_processors_allowed(), quota = kx_processors_quota("");
    return quota > 0 && quota < allowed ? quota : allowed;
}

/* The first line of root/folder/name without its end; false when there is none. */
static bool read_line(const char *root, const char *folder, const char *name, char *line, int room)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s%s/%s", root, folder, name) >= (int)sizeof path) return false;
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    bool found = fgets(line, room, file) != NULL;
    fclose(file);
    if (found) line[strcspn(line, "\n")] = '\0';
    return found;
}

/* Whole processors, rounded up; 0 where either number says that there is no limit. */
static size_t whole_processors(int64_t quota_us, int64_t period_us)
{
    if (quota_us <= 0 || period_us <= 0) return 0;
    return (size_t)((quota_us - 1) / period_us + 1);
}

/* "150000 100000", or "max 100000". */
static size_t quota_of_version_2(const char *root, const char *folder)
{
    char line[128];
    int64_t quota, period;
    if (!read_line(root, folder, "cpu.max", line, sizeof line)) return 0;
    if (sscanf(line, "%" SCNd64 " %" SCNd64, &quota, &period) != 2) return 0;
    return whole_processors(quota, period);
}

/* A quota of -1 is none. */
static size_t quota_of_version_1(const char *root, const char *folder)
{
    char line[128];
    int64_t quota, period;
    if (!read_line(root, folder, "cpu.cfs_quota_us", line, sizeof line) ||
        sscanf(line, "%" SCNd64, &quota) != 1)
        return 0;
    if (!read_line(root, folder, "cpu.cfs_period_us", line, sizeof line) ||
        sscanf(line, "%" SCNd64, &period) != 1)
        return 0;
    return whole_processors(quota, period);
}

static size_t lesser_limit(size_t a, size_t b)
{
    if (a == 0 || b == 0) return a + b;
    return a < b ? a : b;
}

/* The least limit of `group` ("/system.slice/kontext.service") and those above it. In a container the group
 * may be the host's name for what is mounted as the root, so folders that do not exist are passed by. */
static size_t quota_of_group(const char *root, const char *mount, const char *group,
                             size_t (*quota_of)(const char *root, const char *folder))
{
    char folder[PATH_BYTES];
    size_t least = 0, mount_length = strlen(mount);
    if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder) return 0;
    for (;;) {
        least = lesser_limit(least, quota_of(root, folder));
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < mount_length) return least;
        *slash = '\0';
    }
}

/* Whether "cpu,cpuacct" has the word "cpu". */
static bool has_cpu(const char *controllers)
{
    for (const char *at = controllers; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length == 3 && strncmp(at, "cpu", 3) == 0) return true;
        at += length;
        if (*at == ',') at++;
    }
    return false;
}

/* A line of /proc/self/cgroup: "0::/group" (version 2) or "4:cpu,cpuacct:/group" (version 1). */
static size_t quota_of_line(const char *root, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL) return 0;
    *group++ = '\0';
    controllers++;
    if (controllers[0] == '\0')
        return lesser_limit(quota_of_group(root, "/sys/fs/cgroup", group, quota_of_version_2),
                            quota_of_group(root, "/sys/fs/cgroup/unified", group, quota_of_version_2));
    if (!has_cpu(controllers)) return 0;
    char mount[128];
    snprintf(mount, sizeof mount, "/sys/fs/cgroup/%.64s", controllers);
    return lesser_limit(quota_of_group(root, mount, group, quota_of_version_1),
                        quota_of_group(root, "/sys/fs/cgroup/cpu", group, quota_of_version_1));
}

size_t kx_processors_quota(const char *root)
{
    char path[PATH_BYTES], line[GROUP_BYTES];
    size_t least = 0;
    if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= (int)sizeof path) return 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) least = lesser_limit(least, quota_of_line(root, line));
    fclose(file);
    return least;
}
