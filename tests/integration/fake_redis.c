/* A server that passes kamd's greeting as Redis would, and then answers each command with the
 * bytes that the test has chosen, at once or drop by drop. */
#include "fake_redis.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redis_server.h"

#define CLIENTS 32
#define SHA "0123456789012345678901234567890123456789"
static const char greeting[] = "$59\r\n# Server\r\nrun_id:" SHA "\r\n\r\n"
                               "$13\r\nrole:master\r\n\r\n"
                               "$40\r\n" SHA "\r\n$40\r\n" SHA "\r\n$40\r\n" SHA "\r\n$40\r\n" SHA
                               "\r\n"; /* one for each script */

struct client {
    int fd;
    bool greeted;
    size_t sent; /* of the answer, while it drips */
    bool busy;
};

static bool put(int fd, const char *bytes, size_t len) {
    for (size_t sent = 0; sent < len;) {
        ssize_t now = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (now <= 0)
            return false;
        sent += (size_t)now;
    }
    return true;
}

static bool answer(const struct fake_redis *fake, struct client *client) {
    if (fake->greets && !client->greeted) {
        client->greeted = true;
        return put(client->fd, greeting, sizeof(greeting) - 1);
    }
    client->sent = 0;
    client->busy = fake->drips;
    bool done = fake->drips || put(client->fd, fake->bytes, fake->len);
    return done && !(fake->hangs_up && !fake->drips);
}

static bool drip(const struct fake_redis *fake, struct client *client) {
    if (!client->busy)
        return true;
    client->busy = client->sent + 1 < fake->len;
    return put(client->fd, fake->bytes + client->sent++, 1);
}

static bool serve(const struct fake_redis *fake, struct client *client, bool readable) {
    static char rubbish[65536];
    if (!readable)
        return drip(fake, client);
    return recv(client->fd, rubbish, sizeof(rubbish), 0) > 0 && answer(fake, client);
}

static void *work(void *self) {
    struct fake_redis *fake = self;
    struct client clients[CLIENTS];
    struct pollfd ready[CLIENTS + 1];
    nfds_t n = 0;
    struct timeval limit = {.tv_usec = 200000};
    while (!atomic_load(&fake->stop)) {
        for (nfds_t i = 0; i < n; i++)
            ready[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        ready[n] = (struct pollfd){.fd = fake->listener, .events = n < CLIENTS ? POLLIN : 0};
        poll(ready, n + 1, 10);
        bool newcomer = ready[n].revents != 0;
        for (nfds_t i = n; i-- > 0;)
            if (!serve(fake, &clients[i], ready[i].revents != 0)) {
                close(clients[i].fd);
                clients[i] = clients[--n];
            }
        if (newcomer) {
            atomic_fetch_add(&fake->connections, 1);
            clients[n] = (struct client){.fd = accept(fake->listener, NULL, NULL)};
            setsockopt(clients[n].fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
            n++;
        }
    }
    while (n > 0)
        close(clients[--n].fd);
    return NULL;
}

void fake_redis_start(struct fake_redis *fake) {
    int one = 1;
    fake->port = free_port();
    atomic_store(&fake->stop, false);
    snprintf(fake->url, sizeof(fake->url), "redis://127.0.0.1:%d", fake->port);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)fake->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fake->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fake->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(fake->listener, 64) != 0 || pthread_create(&fake->thread, NULL, work, fake) != 0) {
        perror("fake_redis");
        exit(1);
    }
}

void fake_redis_stop(struct fake_redis *fake) {
    atomic_store(&fake->stop, true);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
}
