/* A web server for tests, as small and as rude as they need it: raw sockets, a thread for each connection,
 * one request on each, the answer written by the test's own function. */
#pragma once

#include <stddef.h>

typedef struct test_http_server test_http_server;

typedef struct test_http_request {
    char method[8];
    char path[1024];
    char head[16384]; /* the whole head, as it came */
    char *body;       /* zero-terminated */
    size_t body_bytes;
    int fd; /* for the answer */
} test_http_request;

typedef void test_http_answer(void *user, const test_http_request *request);

/* On `address` ("127.0.0.1"), at a port of its own choice. */
test_http_server *test_http_server_open(const char *address, test_http_answer *answer, void *user);
unsigned test_http_server_port(const test_http_server *server);
unsigned test_http_server_requests(test_http_server *server); /* so far */
void test_http_server_close(test_http_server *server);

/* The value of a header of the request into `out`; "" when it is not there. */
void test_http_header(const test_http_request *request, const char *name, char *out, size_t room);
void test_http_send(int fd, const void *data, size_t bytes);
void test_http_say(int fd, const char *text);
/* A whole answer; `headers` are further lines, each with its line end. */
void test_http_reply(int fd, int status, const char *headers, const void *body, size_t bytes);
/* Returns when the client has hung up. */
void test_http_wait_for_hang_up(int fd);
