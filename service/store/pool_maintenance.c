/* Runs the one thread of a pool: it opens connections (so that a slow name server or frozen
 * server holds up nobody else), replaces old ones, answers pings, and probes while the breaker
 * is open. */
#include "pool_state.h"

#include "core/random.h"

#include <string.h>

#define CONNECT_MS 2000
#define PING_MS 1000
#define PROBE_PAUSE_MS                                                                             \
    250                   /* and as much again at random, so that replicas do not probe in step    \
                           */
#define PAUSE_MAX_MS 4000 /* between failed attempts to open while other connections work */
#define AGE_S 1800        /* a connection's life, 20 % more or less */
#define SWEEP_MS 10000

static int64_t jitter_us(int64_t ms) {
    return (int64_t)random_below(&randomness_system, (uint64_t)ms * 1000);
}

static bool open_pooled(struct store *store, struct conn **ret, struct err *err) {
    CLEANUP(conn_close) struct conn *conn = NULL;
    int connect_ms = store->options.connect_ms > 0 ? store->options.connect_ms : CONNECT_MS;

    if (!conn_open(&store->target, deadline_in_ms(connect_ms), &store->stop, &conn, err))
        return false;
    if (!PQenterPipelineMode(conn->pg))
        return unavailable(err, PQerrorMessage(conn->pg));
    int64_t age_s = store->options.max_age_s > 0 ? store->options.max_age_s : AGE_S;
    conn->retire_us = mono_now() + age_s * 800000 + jitter_us(age_s * 400);
    *ret = TAKE(conn);
    return true;
}

/* Called with the lock, which is let go meanwhile. */
static void open_one(struct store *store) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    struct conn *conn = NULL, *purged = NULL;

    pthread_mutex_unlock(&store->lock);
    bool ok = open_pooled(store, &conn, &err);
    pthread_mutex_lock(&store->lock);
    if (ok) {
        store->failures = 0;
        store->n_open++;
        pool_give(store, conn);
        return;
    }
    /* With no connection left there is no point in letting anyone wait. With some, the server is
     * only short of connections. */
    if (store->n_open == 0)
        purged = pool_trip_locked(store, err.cause);
    int64_t pause = (int64_t)PROBE_PAUSE_MS << (store->failures < 4 ? store->failures : 4);
    store->failures++;
    pause = pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
    store->open_at_us = mono_now() + pause * 500 + jitter_us(pause);
    pthread_mutex_unlock(&store->lock);
    conn_close_all(purged);
    pthread_mutex_lock(&store->lock);
}

enum probe { PROBE_OK, PROBE_READ_ONLY, PROBE_SILENT };

static enum probe silent(struct err *err, const char *cause) {
    unavailable(err, cause);
    return PROBE_SILENT;
}

/* One round trip: is a transaction that begins now allowed to write? */
static enum probe ping(struct conn *conn, struct err *err) {
    static const char sql[] = "select current_setting('transaction_read_only')";
    deadline when = deadline_in_ms(PING_MS);
    bool writable = false;

    if (!PQsendQueryParams(conn->pg, sql, 0, NULL, NULL, NULL, NULL, 0) ||
        !PQpipelineSync(conn->pg))
        return silent(err, PQerrorMessage(conn->pg));
    for (;;) {
        PGresult *result = NULL;
        if (conn_result(conn, when, &result) == WAIT_EXPIRED)
            return silent(err, "no answer to a ping");
        ExecStatusType status = result == NULL ? PGRES_EMPTY_QUERY : PQresultStatus(result);
        if (status == PGRES_TUPLES_OK)
            writable = strcmp(PQgetvalue(result, 0, 0), "off") == 0;
        PQclear(result);
        if (conn_lost(conn))
            return silent(err, PQerrorMessage(conn->pg));
        if (status != PGRES_PIPELINE_SYNC)
            continue;
        if (!writable)
            unavailable(err, "the server is read-only");
        return writable ? PROBE_OK : PROBE_READ_ONLY;
    }
}

/* The connection for pings is apart from the others, so that a pool in full use does not look like
 * a server that is gone. A link that was lost while idle proves nothing: then a new one decides. */
static enum probe probe(struct store *store, struct err *err) {
    enum probe found = PROBE_SILENT;

    if (store->probe != NULL && conn_alive(store->probe))
        found = ping(store->probe, NULL);
    if (found == PROBE_OK)
        return found;
    conn_close(&store->probe);
    /* Where the old one was read-only, a new one is mostly refused. */
    if (!open_pooled(store, &store->probe, err))
        return found;
    found = ping(store->probe, err);
    if (found != PROBE_OK)
        conn_close(&store->probe);
    return found;
}

/* Called with the lock, which is let go meanwhile. A probe that hears nothing proves nothing while
 * others are answered: the server is slow, or lets nobody in any more, as where a password has
 * changed in one place only. */
static void probe_and_tell(struct store *store) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    struct conn *purged = NULL;
    uint64_t asked = store->pings_asked;
    int64_t began_us = mono_now();

    pthread_mutex_unlock(&store->lock);
    enum probe found = probe(store, &err);
    pthread_mutex_lock(&store->lock);
    bool ok = found == PROBE_OK || (found == PROBE_SILENT && !store->breaker_open &&
                                    pool_answered_since(store, began_us));
    if (ok)
        pool_close_breaker(store);
    else if (!atomic_load(&store->stop))
        purged = pool_trip_locked(store, err.cause);
    store->probe_at_us = mono_now() + PROBE_PAUSE_MS * 1000 + jitter_us(PROBE_PAUSE_MS);
    store->pings_answered = asked;
    store->ping_ok = ok;
    pthread_cond_broadcast(&store->pinged);
    pthread_mutex_unlock(&store->lock);
    conn_close_all(purged);
    pthread_mutex_lock(&store->lock);
}

/* Takes out one idle connection that is old; the pool is filled up again afterwards. */
static struct conn *take_old(struct store *store) {
    int64_t now = mono_now();

    for (struct conn **at = &store->idle; *at != NULL; at = &(*at)->next) {
        struct conn *conn = *at;
        if (!pool_retires(store, conn, now))
            continue;
        *at = conn->next;
        store->n_open--;
        return conn;
    }
    return NULL;
}

/* A changed address or password may be what helps: nothing is put off any more. */
static void take_next_target(struct store *store) {
    if (store->next_target.options == NULL)
        return;
    target_release(&store->target);
    store->target = store->next_target;
    store->next_target = (struct target){.options = NULL};
    store->open_at_us = store->probe_at_us = 0;
    store->failures = 0;
}

/* What to do next, or until when to wait. Opening and answering pings take turns, so that whoever
 * asks for pings without end does not keep the pool small. */
static void work_once(struct store *store) {
    take_next_target(store);
    int64_t now = mono_now();
    bool room = !store->breaker_open && store->n_open < (size_t)store->options.size;
    bool may_open = room && now >= store->open_at_us;
    bool asked = store->pings_answered < store->pings_asked && !(store->probed_last && may_open);
    struct conn *old = take_old(store);

    store->probed_last = false;
    if (old != NULL) {
        pthread_mutex_unlock(&store->lock);
        conn_close(&old);
        pthread_mutex_lock(&store->lock);
    } else if (store->breaker_open ? now >= store->probe_at_us : asked) {
        probe_and_tell(store);
        store->probed_last = true;
    } else if (may_open) {
        open_one(store);
    } else {
        pool_wait(store, &store->work,
                  store->breaker_open ? store->probe_at_us
                  : room              ? store->open_at_us
                                      : now + SWEEP_MS * 1000);
    }
}

void *keeper_run(void *arg) {
    struct store *store = arg;

    pthread_mutex_lock(&store->lock);
    while (!atomic_load(&store->stop))
        work_once(store);
    pthread_mutex_unlock(&store->lock);
    return NULL;
}
