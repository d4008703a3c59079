/* Starts an HTTP server within the test and talks to it over a socket, byte by byte, so that the
 * test decides how a request is framed. */
#include "client.h"

#include "unit.h"

#include "core/crypto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct server *client_server(struct server_options options) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct server *server = NULL;
    if (!crypto_start() || !server_start(&options, &server, &err))
        fail_msg("%s", err.detail);
    return server;
}

int client_connect(const struct server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)server_port(server))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void client_send(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* closed by the server: what it said before is what counts */
        bytes += n;
        len -= (size_t)n;
    }
}

/* The answer that starts at `at`; its end, or 0 when it has not all come. */
static size_t answer_end(const struct answers *answers, size_t at, bool head_only, int *ret) {
    const char *text = answers->text + at;
    const char *head_end = strstr(text, "\r\n\r\n");
    if (head_end == NULL || strncmp(text, "HTTP/1.1 ", 9) != 0)
        return 0;
    *ret = atoi(text + 9);
    size_t body = 0;
    const char *length = strcasestr(text, "\r\nContent-Length: ");
    if (length != NULL && length < head_end && !head_only)
        body = (size_t)strtoul(length + 18, NULL, 10);
    size_t end = (size_t)(head_end - answers->text) + 4 + body;
    return end <= answers->len ? end : 0;
}

static void count_answers(struct answers *answers) {
    size_t at = 0;
    answers->n = 0;
    while (answers->n < ANSWERS) {
        int status;
        size_t end = answer_end(answers, at, false, &status);
        if (end == 0)
            return;
        if (status != 100)
            answers->status[answers->n++] = status;
        at = end;
    }
}

void client_read(int fd, size_t n, int ms, struct answers *ret) {
    *ret = (struct answers){0};
    while (ret->n < n || n == 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, ms) != 1 || ret->len + 1 >= sizeof ret->text)
            return;
        ssize_t got = recv(fd, ret->text + ret->len, sizeof ret->text - ret->len - 1, 0);
        if (got <= 0) {
            ret->closed = true;
            return;
        }
        ret->len += (size_t)got;
        ret->text[ret->len] = '\0';
        count_answers(ret);
    }
}
