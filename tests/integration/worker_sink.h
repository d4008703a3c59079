/* A webhook receiver in a thread of its own: writes everything down, and answers as the test wants.
 */
#ifndef KAMD_TESTS_INTEGRATION_WORKER_SINK_H
#define KAMD_TESTS_INTEGRATION_WORKER_SINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SINK_BODY 4096

struct sink_request {
    char path[64];
    char id[64];        /* webhook-id */
    char timestamp[24]; /* webhook-timestamp */
    char signature[512];
    char traceparent[64];
    char agent[64];
    char type[64];       /* of the body */
    char account_id[40]; /* of the body's data */
    char body[SINK_BODY];
    size_t body_len;
    int64_t at_us;
    int nth;    /* how often this id came to this path, from 1; only for `answer` */
    int status; /* what it was answered */
};

#define SINK_HANG 0 /* no answer at all */
#define SINK_RESET (-1)
#define SINK_DRIP (-2) /* a status line, and then nothing */
#define SINK_LONG (-3) /* 200 with a body that does not end */

struct sink {
    int port;
    int listener;
    pthread_t thread;
    pthread_mutex_t lock;
    struct sink_request *requests;
    size_t n;
    size_t room;
    atomic_int connections; /* that were ever made */
    atomic_bool stop;
    int (*answer)(const struct sink_request *request);
    const char *header; /* a further response header, with \r\n */
};

/* `answer` NULL: 200 always. */
void sink_start(struct sink *sink, int (*answer)(const struct sink_request *request));
void sink_stop(struct sink *sink);
size_t sink_count(struct sink *sink);
/* Of this webhook-id, or all with NULL, with this path (NULL: any) and status (0: any). */
size_t sink_count_of(struct sink *sink, const char *id, const char *path, int status);
bool sink_get(struct sink *sink, size_t index, struct sink_request *ret);
/* `ms`, longer by KAMD_TEST_PATIENCE: beside other tests, everything takes longer. */
int64_t patient_us(int ms);
/* Waits until so many came that fit; false after `ms`, with patience. */
bool sink_wait(struct sink *sink, const char *path, int status, size_t n, int ms);

#endif
