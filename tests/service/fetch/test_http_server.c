#include "test_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 512

struct test_http_server {
    int listener;
    unsigned port;
    test_http_answer *answer;
    void *user;
    atomic_uint requests;
    pthread_t acceptor;
    pthread_t threads[MOST_CONNECTIONS];
    size_t num_threads; /* the acceptor's, until it is joined */
    atomic_int stopping;
};

typedef struct connection {
    test_http_server *server;
    int fd;
} connection;

void test_http_header(const test_http_request *request, const char *name, char *out, size_t room)
{
    size_t length = strlen(name);
    out[0] = '\0';
    for (const char *line = strstr(request->head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
        const char *text = line + 2;
        if (strncasecmp(text, name, length) != 0 || text[length] != ':') continue;
        const char *value = text + length + 1;
        value += strspn(value, " ");
        snprintf(out, room, "%.*s", (int)strcspn(value, "\r"), value);
        return;
    }
}

void test_http_send(int fd, const void *data, size_t bytes)
{
    const char *p = data;
    while (bytes > 0) {
        ssize_t put = send(fd, p, bytes, MSG_NOSIGNAL);
        if (put <= 0) return; /* the client has gone: its own affair */
        p += put;
        bytes -= (size_t)put;
    }
}

void test_http_say(int fd, const char *text)
{
    test_http_send(fd, text, strlen(text));
}

void test_http_reply(int fd, int status, const char *headers, const void *body, size_t bytes)
{
    char head[2048];
    snprintf(head, sizeof head, "HTTP/1.1 %d Test\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n",
             status, bytes, headers);
    test_http_say(fd, head);
    test_http_send(fd, body, bytes);
}

void test_http_wait_for_hang_up(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0) continue;
}

static int read_head(int fd, test_http_request *request)
{
    size_t got = 0;
    while (strstr(request->head, "\r\n\r\n") == NULL) {
        if (got + 1 >= sizeof request->head) return 0;
        ssize_t more = recv(fd, request->head + got, 1, 0);
        if (more <= 0) return 0;
        got += (size_t)more;
        request->head[got] = '\0';
    }
    return sscanf(request->head, "%7s %1023s", request->method, request->path) == 2;
}

static int read_body(int fd, test_http_request *request)
{
    char length[32];
    test_http_header(request, "Content-Length", length, sizeof length);
    request->body_bytes = strtoul(length, NULL, 10);
    request->body = calloc(1, request->body_bytes + 1);
    if (request->body == NULL) return 0;
    for (size_t got = 0; got < request->body_bytes;) {
        ssize_t more = recv(fd, request->body + got, request->body_bytes - got, 0);
        if (more <= 0) return 0;
        got += (size_t)more;
    }
    return 1;
}

static void *serve(void *argument)
{
    connection *c = argument;
    test_http_request *request = calloc(1, sizeof *request);
    if (request != NULL && read_head(c->fd, request) && read_body(c->fd, request)) {
        request->fd = c->fd;
        atomic_fetch_add(&c->server->requests, 1);
        c->server->answer(c->server->user, request);
    }
    if (request != NULL) free(request->body);
    free(request);
    close(c->fd);
    free(c);
    return NULL;
}

static void *accept_all(void *argument)
{
    test_http_server *server = argument;
    for (;;) {
        int fd = accept(server->listener, NULL, NULL);
        if (atomic_load(&server->stopping)) {
            if (fd >= 0) close(fd);
            return NULL;
        }
        if (fd < 0) continue;
        connection *c = malloc(sizeof *c);
        if (c == NULL || server->num_threads == MOST_CONNECTIONS) abort();
        *c = (connection){server, fd};
        if (pthread_create(&server->threads[server->num_threads++], NULL, serve, c) != 0) abort();
    }
}

test_http_server *test_http_server_open(const char *address, test_http_answer *answer, void *user)
{
    test_http_server *server = calloc(1, sizeof *server);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t length = sizeof at;
    if (server == NULL || inet_pton(AF_INET, address, &at.sin_addr) != 1) abort();
    server->answer = answer;
    server->user = user;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server->listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(server->listener, 64) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&at, &length) != 0)
        abort();
    server->port = ntohs(at.sin_port);
    if (pthread_create(&server->acceptor, NULL, accept_all, server) != 0) abort();
    return server;
}

unsigned test_http_server_port(const test_http_server *server)
{
    return server->port;
}

unsigned test_http_server_requests(test_http_server *server)
{
    return atomic_load(&server->requests);
}

void test_http_server_close(test_http_server *server)
{
    atomic_store(&server->stopping, 1);
    shutdown(server->listener, SHUT_RDWR); /* ends accept */
    pthread_join(server->acceptor, NULL);
    for (size_t i = 0; i < server->num_threads; i++) pthread_join(server->threads[i], NULL);
    close(server->listener);
    free(server);
}
