#include "service/api/answered.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct note {
    struct note *next;
    kx_answered *answered;
    char id[33];
    bool was_joined;
    bool delivered;
} note;

struct kx_answered {
    kx_store *store;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows; nothing is called while it is held */
    pthread_cond_t changed;
    note *first, **last;
    bool is_writing, is_closing;
};

static void write_note(kx_store *store, note *one)
{
    /* A note that cannot be written leaves the job as it was: at worst an equal submit is not joined. */
    kx_error err = {0};
    (void)kx_store_set_delivered(store, one->id, one->delivered, &err);
    free(one);
}

static void *write_notes(void *argument)
{
    kx_answered *answered = argument;
    pthread_mutex_lock(&answered->lock);
    for (;;) {
        while (answered->first == NULL && !answered->is_closing)
            pthread_cond_wait(&answered->changed, &answered->lock);
        note *one = answered->first;
        if (one == NULL) break;
        answered->first = one->next;
        if (answered->first == NULL) answered->last = &answered->first;
        answered->is_writing = true;
        pthread_mutex_unlock(&answered->lock);
        write_note(answered->store, one);
        pthread_mutex_lock(&answered->lock);
        answered->is_writing = false;
        pthread_cond_broadcast(&answered->changed);
    }
    pthread_mutex_unlock(&answered->lock);
    return NULL;
}

kx_status kx_answered_open(kx_answered **answered, kx_store *store, kx_error *err)
{
    kx_answered *made = calloc(1, sizeof *made);
    *answered = NULL;
    if (made == NULL) return kx_error_set(err, KX_ERR_MEMORY, __FILE__, __LINE__, "out of memory");
    made->store = store;
    made->last = &made->first;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    if (pthread_create(&made->thread, NULL, write_notes, made) != 0) {
        pthread_cond_destroy(&made->changed);
        pthread_mutex_destroy(&made->lock);
        free(made);
        return kx_error_set(err, KX_ERR_MEMORY, __FILE__, __LINE__, "a thread cannot be started");
    }
    *answered = made;
    return KX_OK;
}

void kx_answered_close(kx_answered *answered)
{
    if (answered == NULL) return;
    pthread_mutex_lock(&answered->lock);
    answered->is_closing = true;
    pthread_cond_broadcast(&answered->changed);
    pthread_mutex_unlock(&answered->lock);
    pthread_join(answered->thread, NULL);
    pthread_cond_destroy(&answered->changed);
    pthread_mutex_destroy(&answered->lock);
    free(answered);
}

void kx_answered_settle(kx_answered *answered)
{
    pthread_mutex_lock(&answered->lock);
    while (answered->first != NULL || answered->is_writing)
        pthread_cond_wait(&answered->changed, &answered->lock);
    pthread_mutex_unlock(&answered->lock);
}

static void exchange_ended(void *argument, bool delivered)
{
    note *one = argument;
    kx_answered *answered = one->answered;
    if (delivered && !one->was_joined) {
        free(one);
        return;
    }
    one->delivered = delivered;
    pthread_mutex_lock(&answered->lock);
    *answered->last = one;
    answered->last = &one->next;
    pthread_cond_broadcast(&answered->changed);
    pthread_mutex_unlock(&answered->lock);
}

void kx_answered_watch(kx_answered *answered, kx_exchange *exchange, const char *id, bool was_joined)
{
    note *one = calloc(1, sizeof *one);
    if (one == NULL) return;
    one->answered = answered;
    one->was_joined = was_joined;
    snprintf(one->id, sizeof one->id, "%s", id);
    kx_exchange_on_end(exchange, exchange_ended, one);
}
