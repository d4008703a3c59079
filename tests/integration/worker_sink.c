/* Receives webhooks in a thread of its own, keeps each request for the test to look at, and
 * answers as the test has said. */
#include "worker_sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "redis_server.h"

#define CONNECTIONS 600
#define READ_ROOM 16384

struct connection {
    int fd;
    size_t len;
    bool dead; /* keeps silent from now on */
    char bytes[READ_ROOM];
};

static int64_t clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void copy_header(const char *head, const char *name, char *ret, size_t room) {
    const char *at = strcasestr(head, name);
    size_t len = 0;

    ret[0] = '\0';
    if (at == NULL)
        return;
    at += strlen(name);
    while (at[len] != '\r' && at[len] != '\0' && len + 1 < room)
        len++;
    memcpy(ret, at, len);
    ret[len] = '\0';
}

/* The value of the first member of that name; enough for a test. */
static void copy_member(const char *body, const char *name, char *ret, size_t room) {
    char key[40];
    size_t len = 0;

    snprintf(key, sizeof(key), "\"%s\":", name);
    const char *at = strstr(body, key);
    ret[0] = '\0';
    if (at == NULL)
        return;
    at += strlen(key);
    while (*at == ' ' || *at == '"')
        at++;
    while (at[len] != '"' && at[len] != '\0' && len + 1 < room)
        len++;
    memcpy(ret, at, len);
    ret[len] = '\0';
}

static size_t count_locked(const struct sink *sink, const char *id, const char *path, int status) {
    size_t n = 0;

    if (id == NULL && path == NULL && status == 0)
        return sink->n;
    for (size_t i = 0; i < sink->n; i++)
        n += (id == NULL || strcmp(sink->requests[i].id, id) == 0) &&
             (path == NULL || strcmp(sink->requests[i].path, path) == 0) &&
             (status == 0 || sink->requests[i].status == status);
    return n;
}

static void read_request(const char *head, const char *body, size_t len, struct sink_request *ret) {
    *ret = (struct sink_request){.at_us = clock_us(), .body_len = len};
    sscanf(head, "POST %63s", ret->path);
    copy_header(head, "\r\nwebhook-id: ", ret->id, sizeof(ret->id));
    copy_header(head, "\r\nwebhook-timestamp: ", ret->timestamp, sizeof(ret->timestamp));
    copy_header(head, "\r\nwebhook-signature: ", ret->signature, sizeof(ret->signature));
    copy_header(head, "\r\ntraceparent: ", ret->traceparent, sizeof(ret->traceparent));
    copy_header(head, "\r\nuser-agent: ", ret->agent, sizeof(ret->agent));
    memcpy(ret->body, body, len < SINK_BODY - 1 ? len : SINK_BODY - 1);
    copy_member(ret->body, "type", ret->type, sizeof(ret->type));
    copy_member(ret->body, "account_id", ret->account_id, sizeof(ret->account_id));
}

static int note(struct sink *sink, struct sink_request *request) {
    int status = 200;

    if (sink->answer != NULL) {
        pthread_mutex_lock(&sink->lock);
        request->nth = (int)count_locked(sink, request->id, request->path, 0) + 1;
        pthread_mutex_unlock(&sink->lock);
        status = sink->answer(request);
    }
    pthread_mutex_lock(&sink->lock);
    if (sink->n == sink->room) {
        sink->room = sink->room == 0 ? 64 : sink->room * 2;
        sink->requests = reallocarray(sink->requests, sink->room, sizeof(*sink->requests));
        if (sink->requests == NULL)
            abort();
    }
    request->status = status;
    sink->requests[sink->n++] = *request;
    pthread_mutex_unlock(&sink->lock);
    return status;
}

static void say_text(int fd, const char *text, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void reply(struct sink *sink, struct connection *connection, int status) {
    char text[512];
    struct linger reset = {.l_onoff = 1};

    if (status == SINK_HANG) {
        connection->dead = true;
    } else if (status == SINK_RESET) {
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(connection->fd);
        connection->fd = -1;
    } else if (status == SINK_DRIP) {
        say_text(connection->fd, "HTTP/1.1 200 OK\r\nContent-Le", 27);
        connection->dead = true;
    } else if (status == SINK_LONG) {
        say_text(connection->fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
        memset(text, 'x', sizeof(text));
        for (int i = 0; i < 400; i++)
            say_text(connection->fd, text, sizeof(text));
        connection->dead = true;
    } else {
        int len = snprintf(text, sizeof(text),
                           "HTTP/1.1 %d Whatever\r\n%sContent-Length: 7\r\n\r\nseen \001\377",
                           status, sink->header == NULL ? "" : sink->header);
        say_text(connection->fd, text, (size_t)len);
    }
}

/* One whole request at the front of what was read. */
static bool take_request(struct sink *sink, struct connection *connection) {
    struct sink_request request;
    char length[16];

    connection->bytes[connection->len] = '\0';
    char *end = strstr(connection->bytes, "\r\n\r\n");
    if (end == NULL || connection->dead)
        return false;
    *end = '\0';
    copy_header(connection->bytes, "\r\ncontent-length: ", length, sizeof(length));
    size_t body = (size_t)atoi(length);
    size_t head = (size_t)(end - connection->bytes) + 4;
    if (head + body > connection->len) {
        *end = '\r';
        return false;
    }
    read_request(connection->bytes, connection->bytes + head, body, &request);
    memmove(connection->bytes, connection->bytes + head + body, connection->len - head - body);
    connection->len -= head + body;
    reply(sink, connection, note(sink, &request));
    return connection->fd >= 0;
}

static void read_some(struct sink *sink, struct connection *connection) {
    ssize_t n = recv(connection->fd, connection->bytes + connection->len,
                     READ_ROOM - 1 - connection->len, 0);

    if (n <= 0) {
        close(connection->fd);
        connection->fd = -1;
        return;
    }
    connection->len += (size_t)n;
    while (take_request(sink, connection))
        continue;
}

static void take_connection(struct sink *sink, struct connection *connections) {
    int fd = accept4(sink->listener, NULL, NULL, SOCK_CLOEXEC);
    int on = 1;

    if (fd < 0)
        return;
    sink->connections++;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (connections[i].fd < 0) {
            connections[i].fd = fd;
            connections[i].len = 0;
            connections[i].dead = false;
            return;
        }
    close(fd);
}

static void *serve(void *arg) {
    struct sink *sink = arg;
    struct connection *connections = calloc(CONNECTIONS, sizeof(*connections));
    struct pollfd fds[CONNECTIONS + 1];

    if (connections == NULL)
        abort();
    for (size_t i = 0; i < CONNECTIONS; i++)
        connections[i].fd = -1;
    while (!sink->stop) {
        fds[CONNECTIONS] = (struct pollfd){.fd = sink->listener, .events = POLLIN};
        for (size_t i = 0; i < CONNECTIONS; i++)
            fds[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
        if (poll(fds, CONNECTIONS + 1, 50) <= 0)
            continue;
        for (size_t i = 0; i < CONNECTIONS; i++)
            if (fds[i].revents != 0)
                read_some(sink, &connections[i]);
        if (fds[CONNECTIONS].revents != 0)
            take_connection(sink, connections);
    }
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (connections[i].fd >= 0)
            close(connections[i].fd);
    free(connections);
    return NULL;
}

void sink_start(struct sink *sink, int (*answer)(const struct sink_request *request)) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1;

    *sink = (struct sink){.answer = answer, .port = free_port()};
    at.sin_port = htons((uint16_t)sink->port);
    pthread_mutex_init(&sink->lock, NULL);
    sink->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(sink->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(sink->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(sink->listener, 512) != 0 || pthread_create(&sink->thread, NULL, serve, sink) != 0) {
        perror("webhook receiver");
        abort();
    }
}

void sink_stop(struct sink *sink) {
    sink->stop = true;
    pthread_join(sink->thread, NULL);
    close(sink->listener);
    pthread_mutex_destroy(&sink->lock);
    free(sink->requests);
}

size_t sink_count_of(struct sink *sink, const char *id, const char *path, int status) {
    pthread_mutex_lock(&sink->lock);
    size_t n = count_locked(sink, id, path, status);
    pthread_mutex_unlock(&sink->lock);
    return n;
}

size_t sink_count(struct sink *sink) { return sink_count_of(sink, NULL, NULL, 0); }

bool sink_get(struct sink *sink, size_t index, struct sink_request *ret) {
    pthread_mutex_lock(&sink->lock);
    bool there = index < sink->n;
    if (there)
        *ret = sink->requests[index];
    pthread_mutex_unlock(&sink->lock);
    return there;
}

int64_t patient_us(int ms) {
    const char *times = getenv("KAMD_TEST_PATIENCE");

    return (int64_t)ms * 1000 * (times == NULL ? 1 : atoi(times));
}

bool sink_wait(struct sink *sink, const char *path, int status, size_t n, int ms) {
    int64_t until = clock_us() + patient_us(ms);

    while (sink_count_of(sink, NULL, path, status) < n) {
        if (clock_us() > until)
            return false;
        sleep_ms(2);
    }
    return true;
}
