/* How many processors this process may keep busy: its affinity mask, and the limit on processor time of the
 * control groups that it is in (containers, systemd's CPUQuota). */
#pragma once

#include <stddef.h>

/* At least 1: the processors of the affinity mask, or fewer where a control group allows less. */
size_t kx_processors_usable(void);

/* The processors of the affinity mask, at least 1. */
size_t kx_processors_allowed(void);

/* What control groups allow, in whole processors, rounded up, at least 1; 0: no limit. The least of the
 * process's own group and all above it counts: "cpu.max" of version 2, "cpu.cfs_quota_us" over
 * "cpu.cfs_period_us" of version 1. root: "" for this system, or a folder that stands for "/" (tests). What
 * is missing or unreadable is no limit. */
size_t kx_processors_quota(const char *root);
