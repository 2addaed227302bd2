#include "service/store/store_parts.h"

static size_t find(const kx_taken *taken, uint64_t name)
{
    size_t at = 0;
    while (at < taken->count && taken->names[at] != name) at++;
    return at;
}

kx_status kx_taken_add(kx_taken *taken, uint64_t name, bool *is_new, kx_error *err)
{
    kx_status status = KX_OK;
    pthread_mutex_lock(&taken->lock);
    *is_new = find(taken, name) == taken->count;
    if (!*is_new) goto out;
    if (taken->count == taken->room) {
        size_t room = taken->room == 0 ? 16 : taken->room * 2;
        uint64_t *names = realloc(taken->names, room * sizeof *names);
        KX_FAIL_IF(names == NULL, err, KX_ERR_MEMORY, "out of memory");
        taken->names = names;
        taken->room = room;
    }
    taken->names[taken->count++] = name;
out:
    pthread_mutex_unlock(&taken->lock);
    return status;
}

bool kx_taken_has(kx_taken *taken, uint64_t name)
{
    pthread_mutex_lock(&taken->lock);
    bool has = find(taken, name) < taken->count;
    pthread_mutex_unlock(&taken->lock);
    return has;
}

void kx_taken_remove(kx_taken *taken, uint64_t name)
{
    pthread_mutex_lock(&taken->lock);
    size_t at = find(taken, name);
    if (at < taken->count) taken->names[at] = taken->names[--taken->count];
    pthread_mutex_unlock(&taken->lock);
}

uint64_t kx_taken_name_of(const char *id)
{
    char digits[17];
    snprintf(digits, sizeof digits, "%.16s", id);
    return strtoull(digits, NULL, 16);
}
