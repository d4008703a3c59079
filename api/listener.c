/* Opens a listening TCP socket and runs the thread that accepts its connections. Before the socket
 * is closed, a BPF filter drops new SYNs, because closing would reset connections that are still
 * waiting to be accepted. */
#include "listener.h"

#include "core/log.h"

#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BACKLOG 1024
#define NO_DESCRIPTORS_PAUSE_MS 50
#define HANDSHAKE_MS 30
#define TCP_FLAGS_AT 13 /* bytes into the TCP header, where a listening socket's filter starts */
#define TCP_FLAG_SYN_BIT 2

struct listener {
    int fd;
    int wake;
    int port;
    bool running;
    pthread_t thread;
    listener_accepted accepted;
    void *context;
};

static void set_option(int fd, int level, int option, int value) {
    /* Each is an improvement, none is needed: a failure is not worth a word. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static bool listen_on(const struct addrinfo *address, int *ret) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets inherit it */
    if (address->ai_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return false;
    }
    *ret = fd;
    return true;
}

static bool port_of(int fd, int *ret) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return false;
    if (address.ss_family == AF_INET6)
        *ret = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    else
        *ret = ntohs(((struct sockaddr_in *)&address)->sin_port);
    return true;
}

static bool fail(struct err *err, const char *host, int port, const char *why) {
    err_set(err, PROBLEM_INTERNAL, "Cannot listen on %s port %d: %s.", host, port, why);
    return false;
}

static bool bind_any(const char *host, int port, int *ret, struct err *err) {
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, service, &hints, &found);
    if (code != 0)
        return fail(err, host, port, gai_strerror(code));
    bool ok = false;
    for (const struct addrinfo *at = found; !ok && at != NULL; at = at->ai_next)
        ok = listen_on(at, ret);
    int why = errno;
    freeaddrinfo(found);
    return ok || fail(err, host, port, strerrordesc_np(why));
}

bool listener_open(const char *host, int port, struct listener **ret, struct err *err) {
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return err_memory(err);
    *listener = (struct listener){.fd = -1, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (listener->wake < 0 || !bind_any(host, port, &listener->fd, err) ||
        !port_of(listener->fd, &listener->port)) {
        if (!err_is_set(err))
            fail(err, host, port, strerrordesc_np(errno));
        listener_close(listener);
        return false;
    }
    *ret = listener;
    return true;
}

int listener_port(const struct listener *listener) { return listener->port; }

/* False when the process has no descriptor left for the next connection. */
static bool accept_all(struct listener *listener) {
    for (;;) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            listener->accepted(listener->context, fd, (struct sockaddr *)&address, len);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
            continue;
        return errno == EAGAIN;
    }
}

static void *run(void *argument) {
    struct listener *listener = argument;
    struct pollfd wait[] = {{.fd = listener->wake, .events = POLLIN},
                            {.fd = listener->fd, .events = POLLIN}};
    bool full = false;
    while (wait[0].revents == 0) {
        /* Out of descriptors: the waiting connection would wake us at once, again and again. */
        poll(wait, full ? 1 : 2, full ? NO_DESCRIPTORS_PAUSE_MS : -1);
        bool was_full = full;
        full = !accept_all(listener);
        if (full && !was_full)
            LOG(LOG_ERROR, "accept_failed", LOG_S("cause", strerrordesc_np(errno)),
                LOG_I("port", listener->port));
    }
    return NULL;
}

bool listener_run(struct listener *listener, listener_accepted accepted, void *context,
                  struct err *err) {
    listener->accepted = accepted;
    listener->context = context;
    if (pthread_create(&listener->thread, NULL, run, listener) != 0)
        return err_memory(err);
    pthread_setname_np(listener->thread, "accept");
    listener->running = true;
    return true;
}

/* A connection that is made between the last accept and close() would be reset, and its client's
 * first request lost. So no further ones are begun: SYNs are dropped (the client tries again, and
 * is then refused), and those half made are given the time to become whole. */
static void let_nobody_in(const struct listener *listener) {
    struct sock_filter drop_syn[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, TCP_FLAGS_AT},
        {BPF_JMP | BPF_JSET | BPF_K, 0, 1, TCP_FLAG_SYN_BIT},
        {BPF_RET | BPF_K, 0, 0, 0},
        {BPF_RET | BPF_K, 0, 0, UINT32_MAX},
    };
    const struct sock_fprog program = {.len = COUNT_OF(drop_syn), .filter = drop_syn};
    if (setsockopt(listener->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0)
        poll(NULL, 0, HANDSHAKE_MS);
}

void listener_close(struct listener *listener) {
    if (listener == NULL)
        return;
    if (listener->running) {
        let_nobody_in(listener);
        uint64_t one = 1;
        while (write(listener->wake, &one, sizeof one) < 0 && errno == EINTR) {
        }
        pthread_join(listener->thread, NULL);
    }
    if (listener->fd >= 0)
        close(listener->fd);
    if (listener->wake >= 0)
        close(listener->wake);
    free(listener);
}
