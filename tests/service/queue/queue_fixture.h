/* A store, blobs, a tiny model and the queue over them in a folder of its own; jobs, and waiting for what
 * becomes of them. */
#pragma once

#include "service/queue/queue.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct queue_fixture {
    char folder[1024], clock_file[1100];
    kx_settings settings;
    kx_clock *clock;
    kx_store *store;
    kx_blobs *blobs;
    kx_fetch *fetch;
    kx_queue *queue; /* NULL while closed */
    int64_t key_id;
    kx_arena arena;
    pthread_mutex_t lock;
    pthread_cond_t changed;    /* the queue told of something */
    char log[65536];           /* its sentences, each with a line end */
    atomic_int bodies_to_miss; /* so many webhooks' bodies cannot be made */
} queue_fixture;

/* The tiny model that all tests of a program share. */
const char *queue_fixture_model(void);
/* A fresh folder with default settings: pictures and webhooks may come from 127.0.0.2. Nothing is open yet.
 */
queue_fixture *queue_fixture_new(void);
void queue_fixture_open(queue_fixture *f);  /* store, blobs, fetch; a key on the first time */
void queue_fixture_start(queue_fixture *f); /* the queue; opens the rest when it is not */
void queue_fixture_stop(queue_fixture *f);  /* the queue gracefully, then the rest */
void queue_fixture_free(queue_fixture *f);
void queue_fixture_move_clock(queue_fixture *f, double seconds);

int64_t queue_fixture_key(queue_fixture *f, const char *name);
/* A request of a few quick steps, which tests change. */
kx_job_request queue_fixture_request(int steps);
/* Stores a PNG of a few colours and returns its hash (valid until the next call). */
const char *queue_fixture_picture(queue_fixture *f, int side_px);
/* Submits for `key_id` (0: the fixture's own key); `webhook` may be NULL. */
void queue_fixture_submit(queue_fixture *f, int64_t key_id, const kx_job_request *request,
                          const char *webhook, char id[33]);

/* A copy of the record, in the fixture's arena. */
kx_prediction queue_fixture_get(queue_fixture *f, const char *id);
/* Waits until the job has ended and returns the record; fails the test after a minute. */
kx_prediction queue_fixture_wait_for_end(queue_fixture *f, const char *id);
/* Waits until `is_so` says so. */
void queue_fixture_wait_until(queue_fixture *f, bool (*is_so)(queue_fixture *f, void *argument),
                              void *argument);
/* Waits until the running job has done `steps` steps. */
void queue_fixture_wait_for_step(queue_fixture *f, const char *id, unsigned steps);
/* The hashes of all output pictures in one. */
void queue_fixture_output_hash(queue_fixture *f, const kx_prediction *job, char hash[KX_SHA256_HEX]);
