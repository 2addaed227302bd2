/* What this process and this machine have of memory. Linux tells it in /proc; where it does not, 0 is given.
 */
#pragma once

#include <stdint.h>

/* Anonymous memory of this process that is resident now (heap, stacks, working memory; not mapped files). */
uint64_t kx_memory_anonymous_bytes(void);
/* What could still be allocated without swapping: the system's MemAvailable, or what a control group leaves.
 */
uint64_t kx_memory_available_bytes(void);
