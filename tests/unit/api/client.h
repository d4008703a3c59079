/* A server in this process, and a client that sends bytes as they are: framing can only be tested
 * with real sockets, so these tests use loopback. */
#ifndef KAMD_TESTS_CLIENT_H
#define KAMD_TESTS_CLIENT_H

#include "server.h"

/* A server on a free port of `host` that answers as test_http_server.c says. */
struct server *client_server(struct server_options options);
int client_connect(const struct server *server);
void client_send(int fd, const char *bytes, size_t len);

#define ANSWERS 8
struct answers {
    int status[ANSWERS];
    size_t n;
    bool closed;      /* the server closed the connection */
    char text[65536]; /* all of it */
    size_t len;
};
/* Reads until the server closes, or `n` answers are there, or nothing comes for `ms`. */
void client_read(int fd, size_t n, int ms, struct answers *ret);

#endif
