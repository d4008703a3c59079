/* A server that says it is Redis, and then answers everything with the same bytes. */
#ifndef KAMD_TESTS_INTEGRATION_FAKE_REDIS_H
#define KAMD_TESTS_INTEGRATION_FAKE_REDIS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct fake_redis {
    bool greets;       /* answers the greeting of a new connection as Redis would */
    bool hangs_up;     /* closes after its answer */
    bool drips;        /* one byte each 10 ms */
    const char *bytes; /* the answer */
    size_t len;

    atomic_int connections; /* how many there have been */
    int port;
    int listener;
    char url[64];
    atomic_bool stop;
    pthread_t thread;
};

/* The first five members are given. */
void fake_redis_start(struct fake_redis *fake);
void fake_redis_stop(struct fake_redis *fake);

#endif
