/* The inside of a pool, shared by store.c (its life), pool.c (borrowing) and pool_maintenance.c
 * (the thread that opens connections and probes the server). */
#ifndef KAMD_STORE_POOL_STATE_H
#define KAMD_STORE_POOL_STATE_H

#include "pool.h"

#include <pthread.h>

enum refusal { REFUSED_NOT, REFUSED_FULL, REFUSED_LATE, REFUSED_UNAVAILABLE };

/* Lives on the stack of the thread that waits. */
struct waiter {
    pthread_cond_t woken;
    struct conn *conn;
    enum refusal refusal;
    struct waiter *next;
};

struct store {
    struct store_options options; /* with texts of its own */
    struct target target;         /* the keeper's */
    pthread_condattr_t monotonic;
    pthread_mutex_t lock;      /* guards everything below */
    struct target next_target; /* to replace the keeper's, when it has options */
    struct conn *idle;         /* last given back first: the others age and are replaced */
    size_t n_open;             /* idle or borrowed */
    struct waiter *first_waiter;
    struct waiter **last_waiter;
    int n_waiters;
    bool breaker_open;
    int64_t closed_us;           /* when the breaker last closed */
    _Atomic int64_t answered_us; /* when the server last answered a transaction; without the lock */
    char why[CAUSE_TEXT];
    /* Pings are numbered: the keeper answers all up to the one that it has seen when it starts. */
    uint64_t pings_asked, pings_answered;
    bool ping_ok;
    pthread_cond_t pinged;

    pthread_t keeper;
    pthread_cond_t work; /* wakes the keeper */
    atomic_bool stop;
    int64_t open_at_us; /* not before: the pause after a failed attempt */
    int64_t probe_at_us;
    int failures;     /* of opening, in a row */
    bool probed_last; /* the keeper's last work was a probe */
    struct conn *probe;
};

/* All with the lock held. */
void pool_give(struct store *store,
               struct conn *conn); /* to the first waiter, or to the idle ones */
/* Is it old enough to go? Only one is missing at a time: the next one goes when its place was taken
 * by a new one. While none can be made, as when a password has changed here or there, but not yet
 * in both places, an old one is better than none. */
bool pool_retires(const struct store *store, const struct conn *conn, int64_t now);
/* A server that answered somebody since then is there: whatever got no answer is only slow, or its
 * connection is lost. */
bool pool_answered_since(const struct store *store, int64_t us);
struct conn *pool_trip_locked(struct store *store,
                              const char *why); /* to be closed without the lock */
void pool_close_breaker(struct store *store);
/* Nobody waits any longer. */
void pool_refuse_all(struct store *store);
void pool_wait(struct store *store, pthread_cond_t *cond, deadline when);

void conn_close_all(struct conn *list);
int64_t mono_now(void);
/* The keeper's thread; `arg` is the store. */
void *keeper_run(void *arg);

#endif
