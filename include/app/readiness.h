/* May requests, or work, come to this process? Asked in the background, so that probes never wait.
 * Redis is optional.
 *
 * A process that serves requests is ready from the first time that its databases answered and the
 * schema fits, and for as long as it fits. That PostgreSQL is away does not count: behind a load
 * balancer nobody would be left to say 503, or to answer recognition from memory. A worker serves
 * nobody, and is ready only while its database answers. */
#ifndef KAMD_APP_READINESS_H
#define KAMD_APP_READINESS_H

#include "core/buf.h"
#include "store/store.h"

struct readiness;

struct readiness_options {
    struct store *store;        /* of requests; NULL: there are none */
    struct store *worker_store; /* of workers; NULL: there are none */
    const char *version;
    int ask_ms; /* how long a pool may take to answer; then it counts as away, for requests, too */
};

bool readiness_start(const struct readiness_options *options, struct readiness **ret,
                     struct err *err);
void readiness_stop(struct readiness *readiness);
/* An api_ready: `context` is the readiness. */
bool readiness_ask(void *context, struct buf *ret_reasons);

#endif
