/* A TCP forwarder on 127.0.0.1 that can misbehave: a network between one process and its server. */
#ifndef KAMD_TESTS_INTEGRATION_TCP_PROXY_H
#define KAMD_TESTS_INTEGRATION_TCP_PROXY_H

#include <pthread.h>
#include <stdatomic.h>

enum proxy_mode {
    PROXY_PASS,
    PROXY_HOLD, /* takes everything, passes nothing on until it passes again */
    PROXY_CUT   /* closes what is open, and new connections at once */
};

struct tcp_proxy {
    int port;
    int to_port;
    int listener;
    atomic_int mode;
    atomic_int taken;     /* the mode that the thread works in */
    atomic_bool cut_once; /* closes what is open now, and goes on in its mode */
    atomic_bool stop;
    pthread_t thread;
};

void tcp_proxy_start(struct tcp_proxy *proxy, int to_port);
/* Returns when the thread works in the mode. */
void tcp_proxy_set(struct tcp_proxy *proxy, enum proxy_mode mode);
void tcp_proxy_stop(struct tcp_proxy *proxy);

#endif
