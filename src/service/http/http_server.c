/* The server as a whole: its socket, threads and end. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "service/http/http_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 1024, TRUSTED_NETWORKS_MAX = 32 };

int64_t kx_http_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* "127.0.0.1:8080", "[::1]:8080", ":8080" */
static kx_status split_listen(const char *listen, char host[256], char port[8], kx_error *err)
{
    kx_status status = KX_OK;
    const char *colon = strrchr(listen, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - listen);
    size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
    KX_FAIL_IF(colon == NULL || digits == 0 || digits > 5 || colon[1 + digits] != '\0' || length >= 256, err,
               KX_ERR_USAGE, "listen address \"%.200s\": expected ADDRESS:PORT, such as 127.0.0.1:8080",
               listen);
    KX_FAIL_IF(strtol(colon + 1, NULL, 10) > UINT16_MAX, err, KX_ERR_USAGE,
               "listen address \"%.200s\": a port from 0 to 65535 is expected, %s is found", listen,
               colon + 1);
    if (length >= 2 && listen[0] == '[' && listen[length - 1] == ']') {
        listen++;
        length -= 2;
    }
    memcpy(host, listen, length);
    host[length] = '\0';
    memcpy(port, colon + 1, digits + 1);
out:
    return status;
}

static int bind_to(const struct addrinfo *address)
{
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

static void note_port(kx_http *http)
{
    struct sockaddr_storage bound = {0};
    socklen_t bytes = sizeof bound;
    char host[64] = "127.0.0.1", service[8] = "0";
    if (getsockname(http->listen_fd, (struct sockaddr *)&bound, &bytes) != 0) return;
    getnameinfo((struct sockaddr *)&bound, bytes, host, sizeof host, service, sizeof service,
                NI_NUMERICHOST | NI_NUMERICSERV);
    http->port = (unsigned)strtoul(service, NULL, 10);
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(http->address, sizeof http->address, is_v6 ? "[%s]:%s" : "%s:%s", host, service);
}

static kx_status open_listener(kx_http *http, kx_error *err)
{
    kx_status status = KX_OK;
    char host[256], port[8];
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *listen_at = http->parts.settings->listen;
    KX_TRY(split_listen(listen_at, host, port, err));
    int wrong = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    KX_FAIL_IF(wrong != 0, err, KX_ERR_USAGE, "listen address \"%s\": %s", listen_at, gai_strerror(wrong));
    http->listen_fd = bind_to(found);
    KX_FAIL_IF(http->listen_fd < 0, err, KX_ERR_USAGE, "cannot listen on %s: %s", listen_at, strerror(errno));
    note_port(http);
out:
    if (found != NULL) freeaddrinfo(found);
    return status;
}

static kx_status watch(kx_http *http, int *fd, kx_error *err)
{
    kx_status status = KX_OK;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
    KX_FAIL_IF(epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, *fd, &event) != 0, err, KX_ERR_INTERNAL, "epoll: %s",
               strerror(errno));
out:
    return status;
}

static kx_status parse_trusted(kx_http *http, kx_error *err)
{
    kx_status status = kx_networks_parse(&http->trusted, http->parts.settings->trusted_proxies, err);
    if (status != KX_OK) {
        kx_error_prefix(err, "trusted proxies");
        goto out;
    }
    KX_FAIL_IF(http->trusted.count > TRUSTED_NETWORKS_MAX, err, KX_ERR_USAGE,
               "trusted proxies: at most %d networks can be named", TRUSTED_NETWORKS_MAX);
out:
    return status;
}

kx_status kx_http_open(kx_http **out, const kx_http_parts *parts, kx_error *err)
{
    kx_status status = KX_OK;
    kx_http *http = calloc(1, sizeof *http);
    KX_FAIL_IF(http == NULL, err, KX_ERR_MEMORY, "out of memory for the HTTP server");
    http->parts = *parts;
    http->listen_fd = http->epoll_fd = http->wake_fd = -1;
    http->next_deadline_ms = INT64_MAX;
    pthread_mutex_init(&http->inbox_lock, NULL);
    pthread_mutex_init(&http->work_lock, NULL);
    pthread_mutex_init(&http->counts.latency_lock, NULL);
    http->counts.submit_seconds.bounds = http->counts.poll_seconds.bounds = kx_histogram_of_answers;
    pthread_cond_init(&http->work_there, NULL);
    KX_TRY(parse_trusted(http, err));
    KX_TRY(kx_random_hex(http->id_prefix, 16, err));
    KX_TRY(open_listener(http, err));
    http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    KX_FAIL_IF(http->epoll_fd < 0 || http->wake_fd < 0, err, KX_ERR_INTERNAL, "epoll: %s", strerror(errno));
    KX_TRY(watch(http, &http->listen_fd, err));
    KX_TRY(watch(http, &http->wake_fd, err));
    if (parts->log_fd >= 0) KX_TRY(kx_http_log_open(&http->log, parts->log_fd, err));
    *out = http;
out:
    if (status != KX_OK) kx_http_close(http);
    return status;
}

static kx_status start_threads(kx_http *http, kx_error *err)
{
    kx_status status = KX_OK;
    size_t count = http->parts.settings->handler_threads > 0 ? http->parts.settings->handler_threads : 1;
    http->handlers = calloc(count, sizeof *http->handlers);
    KX_FAIL_IF(http->handlers == NULL, err, KX_ERR_MEMORY, "out of memory for the HTTP server");
    for (size_t i = 0; i < count; i++) {
        KX_FAIL_IF(pthread_create(&http->handlers[i], NULL, kx_http_serve, http) != 0, err, KX_ERR_MEMORY,
                   "a handler thread cannot be started");
        http->num_handlers++;
    }
    KX_FAIL_IF(pthread_create(&http->mover, NULL, kx_http_move, http) != 0, err, KX_ERR_MEMORY,
               "the HTTP server's thread cannot be started");
    http->mover_runs = true;
out:
    return status;
}

kx_status kx_http_start(kx_http *http, kx_error *err)
{
    /* Signals are for the program's main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    kx_status status = start_threads(http, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

unsigned kx_http_port(const kx_http *http)
{
    return http->port;
}

void kx_http_stop(kx_http *http, unsigned grace_ms)
{
    if (http->mover_runs) {
        pthread_mutex_lock(&http->inbox_lock);
        http->stop_asked = true;
        http->grace_ms = grace_ms;
        pthread_mutex_unlock(&http->inbox_lock);
        eventfd_write(http->wake_fd, 1);
        pthread_join(http->mover, NULL);
        http->mover_runs = false;
    }
    kx_http_work_ends(http);
    for (size_t i = 0; i < http->num_handlers; i++) pthread_join(http->handlers[i], NULL);
    http->num_handlers = 0;
}

static void close_fd(int fd)
{
    if (fd >= 0) close(fd);
}

void kx_http_close(kx_http *http)
{
    if (http == NULL) return;
    kx_http_stop(http, 0);
    kx_http_log_close(http->log);
    while (http->topics != NULL) {
        kx_http_topic *topic = http->topics;
        http->topics = topic->next;
        free(topic);
    }
    close_fd(http->listen_fd);
    close_fd(http->epoll_fd);
    close_fd(http->wake_fd);
    pthread_cond_destroy(&http->work_there);
    pthread_mutex_destroy(&http->counts.latency_lock);
    pthread_mutex_destroy(&http->work_lock);
    pthread_mutex_destroy(&http->inbox_lock);
    kx_networks_free(&http->trusted);
    free(http->handlers);
    free(http);
}
