#include "engine/kernels/kernels.h"

#include <stdio.h>
#include <string.h>

static void print_names(char *out, size_t room)
{
    size_t used = (size_t)snprintf(out, room, "auto");
    for (size_t i = 0; i < kx_kernel_set_count && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, ", %s", kx_kernel_sets[i].kernels->name);
}

kx_status kx_kernels_choose(const char *limit, const kx_kernels **kernels, kx_error *err)
{
    kx_status status = KX_OK;
    bool automatic = limit == NULL || strcmp(limit, "auto") == 0;
    const kx_kernel_set *chosen = NULL;
    for (size_t i = 0; i < kx_kernel_set_count; i++) {
        const kx_kernel_set *set = &kx_kernel_sets[i];
        if (automatic ? set->supported() && set->preferred() : strcmp(set->kernels->name, limit) == 0)
            chosen = set;
    }
    if (chosen == NULL) {
        char names[128];
        print_names(names, sizeof names);
        KX_FAIL(err, KX_ERR_INPUT, "cpu: there is no kernel set \"%.40s\"; known are %s", limit, names);
    }
    KX_FAIL_IF(!chosen->supported(), err, KX_ERR_INPUT, "cpu: this processor does not have %s",
               chosen->kernels->name);
    *kernels = chosen->kernels;
out:
    return status;
}
