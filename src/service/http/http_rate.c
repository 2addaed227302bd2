/* One bucket for each key that has submitted, in a table that doubles as it fills. */
#include "service/http/rate.h"

#include <pthread.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 64 };

typedef struct bucket {
    int64_t key_id; /* 0: free; ids of keys are larger */
    int64_t at_ms;
    double tokens;
} bucket;

struct kx_rate {
    pthread_mutex_t lock; /* guards the rest */
    bucket *buckets;
    size_t room, used;
};

kx_rate *kx_rate_open(void)
{
    kx_rate *rate = calloc(1, sizeof *rate);
    if (rate == NULL) return NULL;
    rate->buckets = calloc(FIRST_BUCKETS, sizeof *rate->buckets);
    if (rate->buckets == NULL) {
        free(rate);
        return NULL;
    }
    rate->room = FIRST_BUCKETS;
    pthread_mutex_init(&rate->lock, NULL);
    return rate;
}

void kx_rate_close(kx_rate *rate)
{
    if (rate == NULL) return;
    pthread_mutex_destroy(&rate->lock);
    free(rate->buckets);
    free(rate);
}

static bucket *slot_of(bucket *buckets, size_t room, int64_t key_id)
{
    uint64_t hash = (uint64_t)key_id * 0x9e3779b97f4a7c15u;
    size_t at = (size_t)(hash >> 32) & (room - 1);
    while (buckets[at].key_id != 0 && buckets[at].key_id != key_id) at = (at + 1) & (room - 1);
    return &buckets[at];
}

static void grow(kx_rate *rate)
{
    bucket *larger = calloc(rate->room * 2, sizeof *larger);
    if (larger == NULL) return;
    for (size_t i = 0; i < rate->room; i++) {
        if (rate->buckets[i].key_id != 0)
            *slot_of(larger, rate->room * 2, rate->buckets[i].key_id) = rate->buckets[i];
    }
    free(rate->buckets);
    rate->buckets = larger;
    rate->room *= 2;
}

/* NULL: there is no room for another key. */
static bucket *find(kx_rate *rate, int64_t key_id, unsigned per_minute, int64_t now_ms)
{
    if (rate->used * 2 >= rate->room) grow(rate);
    bucket *found = slot_of(rate->buckets, rate->room, key_id);
    if (found->key_id == key_id) return found;
    if (rate->used + 1 >= rate->room) return NULL;
    *found = (bucket){.key_id = key_id, .at_ms = now_ms, .tokens = per_minute};
    rate->used++;
    return found;
}

bool kx_rate_take(kx_rate *rate, int64_t key_id, unsigned per_minute, int64_t now_ms, unsigned *retry_after_s)
{
    bool taken = true;
    *retry_after_s = 0;
    if (per_minute == 0 || key_id == 0) return true;
    pthread_mutex_lock(&rate->lock);
    bucket *mine = find(rate, key_id, per_minute, now_ms);
    if (mine != NULL) {
        int64_t passed_ms = now_ms > mine->at_ms ? now_ms - mine->at_ms : 0;
        mine->tokens += (double)passed_ms * per_minute / 60000.0;
        if (mine->tokens > per_minute) mine->tokens = per_minute;
        mine->at_ms = now_ms;
        taken = mine->tokens >= 1;
        if (taken) mine->tokens -= 1;
        if (!taken) *retry_after_s = (unsigned)((1 - mine->tokens) * 60.0 / per_minute) + 1;
    }
    pthread_mutex_unlock(&rate->lock);
    return taken;
}
