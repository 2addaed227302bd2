#include "service/http/http_log.h"

#include "base/bytes.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PENDING_BYTES_MAX = 4 << 20, READY_WAIT_MS = 200 };

struct kx_http_log {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t there;
    kx_bytes pending;
    unsigned long dropped;
    bool ends;
};

static bool has_ended(kx_http_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool ends = log->ends;
    pthread_mutex_unlock(&log->lock);
    return ends;
}

/* A pipe that is ready takes so many bytes without blocking. At the close a reader that takes nothing is
 * waited for a little, then left. */
static void write_all(kx_http_log *log, const kx_bytes *lines)
{
    for (size_t at = 0; at < lines->size;) {
        struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
        size_t most = lines->size - at < PIPE_BUF ? lines->size - at : PIPE_BUF;
        int count = poll(&ready, 1, READY_WAIT_MS);
        if (count == 0 && has_ended(log)) return;
        if (count <= 0) continue;
        ssize_t written = write(log->fd, lines->data + at, most);
        if (written < 0 && errno != EINTR && errno != EAGAIN) return;
        if (written > 0) at += (size_t)written;
    }
}

static void *writer(void *argument)
{
    kx_http_log *log = argument;
    /* A reader that has left is an error of one write, not the end of the program. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    kx_bytes lines = {.cap = PENDING_BYTES_MAX};
    pthread_mutex_lock(&log->lock);
    for (;;) {
        while (log->pending.size == 0 && !log->ends) pthread_cond_wait(&log->there, &log->lock);
        if (log->pending.size == 0) break;
        kx_bytes full = log->pending;
        log->pending = lines;
        lines = full;
        pthread_mutex_unlock(&log->lock);
        write_all(log, &lines);
        lines.size = 0;
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    kx_bytes_free(&lines);
    return NULL;
}

kx_status kx_http_log_open(kx_http_log **out, int fd, kx_error *err)
{
    kx_status status = KX_OK;
    kx_http_log *log = calloc(1, sizeof *log);
    KX_FAIL_IF(log == NULL, err, KX_ERR_MEMORY, "out of memory for the access log");
    log->fd = fd;
    log->pending.cap = PENDING_BYTES_MAX;
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->there, NULL);
    if (pthread_create(&log->thread, NULL, writer, log) != 0) {
        pthread_cond_destroy(&log->there);
        pthread_mutex_destroy(&log->lock);
        free(log);
        KX_FAIL(err, KX_ERR_MEMORY, "the access log's thread cannot be started");
    }
    *out = log;
out:
    return status;
}

void kx_http_log_close(kx_http_log *log)
{
    if (log == NULL) return;
    pthread_mutex_lock(&log->lock);
    log->ends = true;
    pthread_cond_signal(&log->there);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    pthread_cond_destroy(&log->there);
    pthread_mutex_destroy(&log->lock);
    kx_bytes_free(&log->pending);
    free(log);
}

static void tell_dropped(kx_http_log *log)
{
    char line[64];
    kx_error err = {0};
    int length = snprintf(line, sizeof line, "{\"dropped_lines\":%lu}\n", log->dropped);
    if (kx_bytes_append(&log->pending, line, (size_t)length, &err) == KX_OK) log->dropped = 0;
}

void kx_http_log_line(kx_http_log *log, const char *line, size_t bytes)
{
    if (log == NULL) return;
    kx_error err = {0};
    pthread_mutex_lock(&log->lock);
    if (log->dropped > 0) tell_dropped(log);
    if (log->dropped > 0 || kx_bytes_append(&log->pending, line, bytes, &err) != KX_OK) log->dropped++;
    if (log->pending.size > 0) pthread_cond_signal(&log->there);
    pthread_mutex_unlock(&log->lock);
}
