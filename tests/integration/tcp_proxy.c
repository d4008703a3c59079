/* Forwards TCP connections from a thread of its own, and on request refuses, freezes or breaks
 * them off, as a bad network would. */
#include "tcp_proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redis_server.h"

#define PAIRS 64

struct pairs {
    int n;
    int fds[PAIRS][2]; /* client, server */
};

static struct sockaddr_in local(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void drop(struct pairs *pairs, int i) {
    close(pairs->fds[i][0]);
    close(pairs->fds[i][1]);
    pairs->n--;
    memmove(pairs->fds[i], pairs->fds[pairs->n], sizeof(pairs->fds[i]));
}

static void drop_all(struct pairs *pairs) {
    while (pairs->n > 0)
        drop(pairs, pairs->n - 1);
}

static void take_in(const struct tcp_proxy *proxy, struct pairs *pairs, bool cut) {
    struct sockaddr_in to = local(proxy->to_port);
    int client = accept(proxy->listener, NULL, NULL);
    if (client < 0)
        return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (cut || pairs->n == PAIRS || connect(server, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(client);
        close(server);
        return;
    }
    pairs->fds[pairs->n][0] = client;
    pairs->fds[pairs->n++][1] = server;
}

static bool forward(int from, int to) {
    char bytes[65536];
    ssize_t got = recv(from, bytes, sizeof(bytes), 0);
    for (ssize_t sent = 0; sent < got;) {
        ssize_t now = send(to, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (now <= 0)
            return false;
        sent += now;
    }
    return got > 0;
}

static void pass(struct pairs *pairs, const struct pollfd *ready) {
    for (int i = pairs->n - 1; i >= 0; i--) {
        bool alive = true;
        if (ready[2 * i].revents != 0)
            alive = forward(pairs->fds[i][0], pairs->fds[i][1]);
        if (alive && ready[2 * i + 1].revents != 0)
            alive = forward(pairs->fds[i][1], pairs->fds[i][0]);
        if (!alive)
            drop(pairs, i);
    }
}

static void *work(void *self) {
    struct tcp_proxy *proxy = self;
    struct pairs pairs = {.n = 0};
    while (!atomic_load(&proxy->stop)) {
        int mode = atomic_load(&proxy->mode);
        if (mode == PROXY_CUT || atomic_exchange(&proxy->cut_once, false))
            drop_all(&pairs);
        atomic_store(&proxy->taken, mode);
        struct pollfd ready[2 * PAIRS + 1];
        for (int i = 0; i < pairs.n; i++)
            for (int side = 0; side < 2; side++)
                ready[2 * i + side] = (struct pollfd){.fd = pairs.fds[i][side], .events = POLLIN};
        int n = mode == PROXY_PASS ? 2 * pairs.n : 0;
        ready[n] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
        if (poll(ready, (nfds_t)n + 1, 2) <= 0)
            continue;
        bool newcomer = ready[n].revents != 0;
        if (mode == PROXY_PASS)
            pass(&pairs, ready);
        if (newcomer)
            take_in(proxy, &pairs, mode == PROXY_CUT);
    }
    drop_all(&pairs);
    return NULL;
}

void tcp_proxy_start(struct tcp_proxy *proxy, int to_port) {
    int one = 1;
    *proxy = (struct tcp_proxy){.port = free_port(), .to_port = to_port};
    struct sockaddr_in at = local(proxy->port);
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(proxy->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(proxy->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(proxy->listener, 64) != 0 ||
        pthread_create(&proxy->thread, NULL, work, proxy) != 0) {
        perror("tcp_proxy");
        exit(1);
    }
}

void tcp_proxy_set(struct tcp_proxy *proxy, enum proxy_mode mode) {
    atomic_store(&proxy->mode, (int)mode);
    while (atomic_load(&proxy->taken) != (int)mode)
        sleep_ms(1);
}

void tcp_proxy_stop(struct tcp_proxy *proxy) {
    atomic_store(&proxy->stop, true);
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
}
