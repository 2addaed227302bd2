#include "service/queue/live.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Jobs at work stay; of the others the ones that changed last are remembered. */
#define ENTRIES 256

typedef struct entry {
    kx_live_job job; /* first: a job is its entry */
    bool is_at_work;
    kx_live now;
    uint8_t *preview;
    size_t preview_bytes;
} entry;

struct kx_live_table {
    pthread_mutex_t lock; /* last in the order: nothing is called while it is held */
    uint64_t version;     /* the last one given */
    uint64_t floor;       /* no forgotten job has a later one */
    entry entries[ENTRIES];
};

kx_status kx_live_open(kx_live_table **table, uint64_t first_version, kx_error *err)
{
    kx_status status = KX_OK;
    kx_live_table *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    pthread_mutex_init(&made->lock, NULL);
    made->version = made->floor = first_version;
    *table = made;
out:
    return status;
}

void kx_live_close(kx_live_table *table)
{
    if (table == NULL) return;
    for (size_t i = 0; i < ENTRIES; i++) free(table->entries[i].preview);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

static entry *find(kx_live_table *table, const char *id)
{
    for (size_t i = 0; i < ENTRIES; i++)
        if (strcmp(table->entries[i].job.id, id) == 0) return &table->entries[i];
    return NULL;
}

/* The entry of `id`, in the place of the one that changed longest ago when there is none. NULL when all are
 * at work. */
static entry *find_or_take(kx_live_table *table, const char *id)
{
    entry *oldest = find(table, id);
    if (oldest != NULL) return oldest;
    for (size_t i = 0; i < ENTRIES; i++) {
        entry *e = &table->entries[i];
        if (!e->is_at_work && (oldest == NULL || e->now.version < oldest->now.version)) oldest = e;
    }
    if (oldest == NULL) return NULL;
    if (oldest->now.version > table->floor) table->floor = oldest->now.version;
    free(oldest->preview);
    memset(oldest, 0, sizeof *oldest);
    memcpy(oldest->job.id, id, strnlen(id, sizeof oldest->job.id - 1));
    oldest->now.stage = "";
    oldest->now.eta_ms = -1;
    return oldest;
}

kx_live_job *kx_live_begin(kx_live_table *table, const char *id, const char *stage, bool is_running)
{
    pthread_mutex_lock(&table->lock);
    entry *e = find_or_take(table, id);
    if (e != NULL) {
        e->is_at_work = true;
        e->now =
            (kx_live){.is_running = is_running, .stage = stage, .eta_ms = -1, .version = ++table->version};
        atomic_store(&e->job.is_cancelled, false);
    }
    pthread_mutex_unlock(&table->lock);
    return e != NULL ? &e->job : NULL;
}

void kx_live_end(kx_live_table *table, kx_live_job *job)
{
    entry *e = (entry *)job;
    if (job == NULL) return;
    pthread_mutex_lock(&table->lock);
    e->is_at_work = false;
    e->now = (kx_live){.stage = "", .eta_ms = -1, .version = ++table->version};
    free(e->preview);
    e->preview = NULL;
    e->preview_bytes = 0;
    pthread_mutex_unlock(&table->lock);
}

void kx_live_set(kx_live_table *table, kx_live_job *job, const kx_live *now)
{
    entry *e = (entry *)job;
    pthread_mutex_lock(&table->lock);
    e->now.stage = now->stage;
    e->now.step = now->step;
    e->now.total_steps = now->total_steps;
    e->now.progress = now->progress;
    e->now.eta_ms = now->eta_ms;
    e->now.version = ++table->version;
    pthread_mutex_unlock(&table->lock);
}

void kx_live_set_preview(kx_live_table *table, kx_live_job *job, uint8_t *jpeg, size_t bytes)
{
    entry *e = (entry *)job;
    pthread_mutex_lock(&table->lock);
    uint8_t *old = e->preview;
    e->preview = jpeg;
    e->preview_bytes = bytes;
    e->now.version = e->now.preview_version = ++table->version;
    pthread_mutex_unlock(&table->lock);
    free(old);
}

void kx_live_cancel(kx_live_table *table, const char *id)
{
    pthread_mutex_lock(&table->lock);
    entry *e = find(table, id);
    if (e != NULL && e->is_at_work) atomic_store(&e->job.is_cancelled, true);
    pthread_mutex_unlock(&table->lock);
}

void kx_live_touch(kx_live_table *table, const char *id)
{
    pthread_mutex_lock(&table->lock);
    entry *e = find_or_take(table, id);
    if (e != NULL) e->now.version = ++table->version;
    pthread_mutex_unlock(&table->lock);
}

void kx_live_read(kx_live_table *table, const char *id, kx_live *live)
{
    pthread_mutex_lock(&table->lock);
    const entry *e = find(table, id);
    *live = e != NULL ? e->now : (kx_live){.stage = "", .eta_ms = -1, .version = table->floor};
    pthread_mutex_unlock(&table->lock);
}

kx_status kx_live_read_preview(kx_live_table *table, const char *id, kx_bytes *jpeg, bool *found,
                               kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t *copy = NULL;
    size_t bytes = 0;
    pthread_mutex_lock(&table->lock);
    const entry *e = find(table, id);
    if (e != NULL && e->preview != NULL) {
        bytes = e->preview_bytes;
        copy = malloc(bytes);
        if (copy != NULL) memcpy(copy, e->preview, bytes);
    }
    pthread_mutex_unlock(&table->lock);
    *found = bytes > 0;
    KX_FAIL_IF(bytes > 0 && copy == NULL, err, KX_ERR_MEMORY, "out of memory for a preview");
    if (bytes > 0) KX_TRY(kx_bytes_append(jpeg, copy, bytes, err));
out:
    free(copy);
    return status;
}

int64_t kx_live_running_eta_ms(kx_live_table *table, bool *is_running)
{
    int64_t eta_ms = -1;
    *is_running = false;
    pthread_mutex_lock(&table->lock);
    for (size_t i = 0; i < ENTRIES && !*is_running; i++) {
        const entry *e = &table->entries[i];
        if (!e->is_at_work || !e->now.is_running) continue;
        *is_running = true;
        eta_ms = e->now.eta_ms;
    }
    pthread_mutex_unlock(&table->lock);
    return eta_ms;
}
