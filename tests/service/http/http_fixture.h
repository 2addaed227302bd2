/* A small real server with routes for tests, and a raw client. Include test_support.h first. */
#pragma once

#include "service/http/http.h"

#include <stdatomic.h>

typedef struct fixture {
    kx_settings settings;
    kx_clock *clock;
    kx_http *http;
    kx_store *store;
    kx_blobs *blobs;
    char folder[300];
    int log_pipe[2];
    char submit_key[64], read_key[64], admin_key[64];
    _Atomic int handled, waits, streams, ended, delivered, undelivered;
    _Atomic bool gate; /* /slow goes on when it is open */
    _Atomic int value; /* what /wait and /events look at */
} fixture;

void fixture_settings(fixture *fixture); /* quick limits for tests */
void fixture_start(fixture *fixture);
void fixture_stop(fixture *fixture);
void fixture_set(fixture *fixture, int value); /* and notifies "topic" */

/* Waits for a condition for at most ten seconds; false when it did not come. */
bool wait_until(bool (*is_true)(void *argument), void *argument);
bool reaches(_Atomic int *value, int wanted);
size_t files_in(const char *folder); /* all files under it */

int client_open(const fixture *fixture);
void client_send(int fd, const void *bytes, size_t size);
/* Everything until the server closes, or until the answer is whole by its Content-Length. Terminated,
 * malloc'ed. */
char *client_read(int fd, size_t *size);
/* Until `text` has come. */
char *client_read_until(int fd, const char *text);
/* On a connection of its own. */
char *client_ask(const fixture *fixture, const char *request);
char *client_ask_bytes(const fixture *fixture, const void *request, size_t size);
int status_of(const char *answer);
const char *body_of(const char *answer);
/* Whether the answer holds the header line "Name: value". */
bool has_header(const char *answer, const char *line);
/* Fails unless the answer is this status, JSON with that code, a message and the same text as error. */
void assert_error(const char *answer, int status);
