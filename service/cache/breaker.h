/* The breaker before Redis, and the thread that watches Redis while it is open or invalidations
 * wait. It opens after 5 failures in a row or one timeout, so that a frozen Redis costs each
 * request at most one deadline and all later ones nothing; only the thread closes it, when its own
 * work has succeeded. */
#ifndef KAMD_SERVICE_CACHE_BREAKER_H
#define KAMD_SERVICE_CACHE_BREAKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/err.h"
#include "link.h"

/* Asks Redis for a sign of life, and replays what waits. True: it answers, and nothing waits any
 * more. */
struct guard_work {
    bool (*run)(void *self);
    void *self;
};

struct guard {
    struct guard_work work;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* monotonic clock */
    atomic_bool open;
    atomic_uint failures;         /* in a row */
    _Atomic deadline touch_again; /* before this no invalidation tries: one has failed just now */
    deadline closed;              /* when it closed last */
    deadline next;                /* when the thread works next */
    bool asked;                   /* invalidations wait */
    bool stop;
};

bool guard_start(struct guard *guard, struct guard_work work, struct err *err);
void guard_stop(struct guard *guard);

static inline bool guard_is_open(struct guard *guard) {
    return atomic_load_explicit(&guard->open, memory_order_relaxed);
}
/* What a call to Redis came to. */
void guard_report(struct guard *guard, enum link_result result);
/* An invalidation failed and waits to be replayed. */
void guard_ask(struct guard *guard);
/* Invalidations are tried although the breaker is open: it may be open only because of what was,
 * and a reader in another process may reach Redis well. Not within 250 ms of a failure, though. */
bool guard_lets_touch(struct guard *guard);

#endif
