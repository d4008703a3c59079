/* Lends connections to threads, and opens a circuit breaker when the server is away, so that
 * nobody waits for it. */
#include "pool_state.h"

#include "core/metrics.h"
#include "core/random.h"

#include <string.h>
#include <time.h>

int64_t mono_now(void) { return clock_mono(&clock_system); }

void conn_close_all(struct conn *list) {
    while (list != NULL) {
        struct conn *conn = list;
        list = conn->next;
        conn_close(&conn);
    }
}

const struct store_options *pool_options(const struct store *store) { return &store->options; }

/* ---- with the lock held ---- */

void pool_wait(struct store *store, pthread_cond_t *cond, deadline when) {
    int left = deadline_left_ms(when);
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += left / 1000;
    until.tv_nsec += (long)(left % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(cond, &store->lock, &until);
}

static void waiter_add(struct store *store, struct waiter *waiter) {
    *store->last_waiter = waiter;
    store->last_waiter = &waiter->next;
    store->n_waiters++;
    metrics_set(METRIC_POOL_WAITERS, store->options.metrics_cell, store->n_waiters);
}

static void waiter_remove(struct store *store, struct waiter *waiter) {
    struct waiter **at = &store->first_waiter;

    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    if (store->last_waiter == &waiter->next)
        store->last_waiter = at;
    store->n_waiters--;
    metrics_set(METRIC_POOL_WAITERS, store->options.metrics_cell, store->n_waiters);
}

static void waiter_wake(struct store *store, struct conn *conn, enum refusal refusal) {
    struct waiter *waiter = store->first_waiter;

    waiter_remove(store, waiter);
    waiter->conn = conn;
    waiter->refusal = refusal;
    pthread_cond_signal(&waiter->woken);
}

void pool_refuse_all(struct store *store) {
    while (store->first_waiter != NULL)
        waiter_wake(store, NULL, REFUSED_UNAVAILABLE);
}

void pool_give(struct store *store, struct conn *conn) {
    if (store->first_waiter != NULL) {
        waiter_wake(store, conn, REFUSED_NOT);
        return;
    }
    conn->next = store->idle;
    store->idle = conn;
}

bool pool_retires(const struct store *store, const struct conn *conn, int64_t now) {
    return now > conn->retire_us && store->failures == 0 &&
           store->n_open == (size_t)store->options.size;
}

struct conn *pool_trip_locked(struct store *store, const char *why) {
    struct conn *purged = store->idle;

    if (store->breaker_open)
        return NULL;
    cause_text(why, store->why);
    store->breaker_open = true;
    store->probe_at_us = 0;
    metrics_set(METRIC_DB_BREAKER, store->options.metrics_cell, 1);
    pool_refuse_all(store);
    /* Connections that idled through the trouble would each cost another request its deadline. */
    store->idle = NULL;
    for (struct conn *c = purged; c != NULL; c = c->next)
        store->n_open--;
    pthread_cond_broadcast(&store->pinged);
    pthread_cond_signal(&store->work);
    return purged;
}

void pool_close_breaker(struct store *store) {
    if (!store->breaker_open)
        return;
    store->breaker_open = false;
    store->closed_us = mono_now();
    store->open_at_us = 0;
    store->failures = 0;
    metrics_set(METRIC_DB_BREAKER, store->options.metrics_cell, 0);
}

/* Waits in the queue until woken or late. */
static enum refusal queue_up(struct store *store, deadline when, struct conn **ret) {
    struct waiter waiter = {.refusal = REFUSED_LATE};

    if (pthread_cond_init(&waiter.woken, &store->monotonic) != 0)
        return REFUSED_FULL;
    waiter_add(store, &waiter);
    while (waiter.refusal == REFUSED_LATE && deadline_left_ms(when) > 0)
        pool_wait(store, &waiter.woken, when);
    if (waiter.refusal == REFUSED_LATE)
        waiter_remove(store, &waiter);
    pthread_cond_destroy(&waiter.woken);
    *ret = waiter.conn;
    return waiter.refusal;
}

static enum refusal take(struct store *store, deadline when, struct conn **ret) {
    if (store->breaker_open || atomic_load(&store->stop))
        return REFUSED_UNAVAILABLE;
    /* Whoever gives one back hands it to a waiter, so idle ones mean that nobody waits. */
    if (store->idle != NULL) {
        *ret = store->idle;
        store->idle = store->idle->next;
        return REFUSED_NOT;
    }
    if (store->n_waiters >= store->options.max_waiters)
        return REFUSED_FULL;
    return queue_up(store, when, ret);
}

/* ---- borrowing ---- */

static bool refuse(struct store *store, enum refusal refusal, struct err *err) {
    char why[CAUSE_TEXT];

    if (refusal == REFUSED_UNAVAILABLE) {
        pthread_mutex_lock(&store->lock);
        memcpy(why, store->why, sizeof(why));
        pthread_mutex_unlock(&store->lock);
        return unavailable(err, why[0] == '\0' ? "the pool is closing" : why);
    }
    metrics_count(METRIC_POOL_REFUSED, store->options.metrics_cell, 1);
    if (err == NULL)
        return false;
    err_set(err, PROBLEM_OVERLOADED, "Too many requests need the database at the moment.");
    err->retry_after = 1;
    return err_cause(err, refusal == REFUSED_FULL ? "too many wait for a connection"
                                                  : "no connection became free in time");
}

static void close_borrowed(struct store *store, struct conn *conn) {
    conn_close(&conn);
    pthread_mutex_lock(&store->lock);
    store->n_open--;
    pthread_cond_signal(&store->work);
    pthread_mutex_unlock(&store->lock);
}

bool pool_acquire(struct store *store, deadline when, struct conn **ret, struct err *err) {
    deadline limit = deadline_in_ms(store->options.acquire_ms);

    limit = limit < when ? limit : when;
    for (;;) {
        struct conn *conn = NULL;
        pthread_mutex_lock(&store->lock);
        enum refusal refusal = take(store, limit, &conn);
        pthread_mutex_unlock(&store->lock);
        if (refusal != REFUSED_NOT)
            return refuse(store, refusal, err);
        if (conn_alive(conn)) {
            metrics_add(METRIC_POOL_IN_USE, store->options.metrics_cell, 1);
            *ret = conn;
            return true;
        }
        close_borrowed(store, conn);
    }
}

void pool_release(struct store *store, struct conn *conn) {
    metrics_add(METRIC_POOL_IN_USE, store->options.metrics_cell, -1);
    if (conn->broken || atomic_load(&store->stop)) {
        close_borrowed(store, conn);
        return;
    }
    pthread_mutex_lock(&store->lock);
    bool old = pool_retires(store, conn, mono_now());
    if (!old)
        pool_give(store, conn);
    pthread_mutex_unlock(&store->lock);
    if (old)
        close_borrowed(store, conn);
}

static void trip(struct store *store, int64_t sent_us, const char *why) {
    struct conn *purged = NULL;

    pthread_mutex_lock(&store->lock);
    if (sent_us >= store->closed_us)
        purged = pool_trip_locked(store, why);
    pthread_mutex_unlock(&store->lock);
    conn_close_all(purged);
}

void pool_answered(struct store *store) {
    atomic_store_explicit(&store->answered_us, mono_now(), memory_order_relaxed);
}

bool pool_answered_since(const struct store *store, int64_t us) {
    return atomic_load_explicit(&store->answered_us, memory_order_relaxed) > us;
}

void pool_unanswered(struct store *store, int64_t sent_us) {
    if (!pool_answered_since(store, sent_us))
        trip(store, sent_us, "the database did not answer within the deadline");
}

void pool_read_only(struct store *store, int64_t sent_us) {
    trip(store, sent_us, "the server is read-only");
}

bool store_breaker_open(struct store *store) {
    pthread_mutex_lock(&store->lock);
    bool open = store->breaker_open;
    pthread_mutex_unlock(&store->lock);
    return open;
}

bool store_ping(struct store *store, deadline when, struct err *err) {
    bool ok = false;
    char why[CAUSE_TEXT] = "no answer to a ping within its deadline";

    pthread_mutex_lock(&store->lock);
    uint64_t mine = ++store->pings_asked;
    pthread_cond_signal(&store->work);
    while (!store->breaker_open && store->pings_answered < mine && deadline_left_ms(when) > 0 &&
           !atomic_load(&store->stop))
        pool_wait(store, &store->pinged, when);
    if (store->breaker_open)
        memcpy(why, store->why, sizeof(why));
    else
        ok = store->pings_answered >= mine && store->ping_ok;
    pthread_mutex_unlock(&store->lock);
    return ok || unavailable(err, why);
}
