/* The circuit breaker in front of Redis and its thread: when the breaker opens and closes, and when
 * the thread probes Redis and replays the invalidations that wait. */
#include "breaker.h"

#include "core/metrics.h"

#define FAILURES_MAX 5
/* A hiccup is over soon; a breaker that has just closed and opens again waits longer. */
#define FIRST_PROBE_MS 100
#define PROBE_MS 1000
#define REPLAY_MS 250
#define TOUCH_MS 250
#define STEADY_MS 5000

static bool before(deadline when) { return deadline_in_ms(0) < when; }

static void open_locked(struct guard *guard) {
    if (atomic_exchange(&guard->open, true))
        return;
    metrics_set(METRIC_CACHE_BREAKER, 0, 1);
    bool steady = !before(guard->closed + STEADY_MS * 1000);
    guard->next = deadline_in_ms(steady ? FIRST_PROBE_MS : PROBE_MS);
    pthread_cond_signal(&guard->wake);
}

void guard_report(struct guard *guard, enum link_result result) {
    if (result == LINK_OK || result == LINK_REFUSED) {
        if (atomic_load_explicit(&guard->failures, memory_order_relaxed) != 0)
            atomic_store(&guard->failures, 0);
        return;
    }
    unsigned failures = atomic_fetch_add(&guard->failures, 1) + 1;
    if (result == LINK_BROKEN && failures < FAILURES_MAX)
        return;
    pthread_mutex_lock(&guard->lock);
    open_locked(guard);
    pthread_mutex_unlock(&guard->lock);
}

void guard_ask(struct guard *guard) {
    atomic_store(&guard->touch_again, deadline_in_ms(TOUCH_MS));
    pthread_mutex_lock(&guard->lock);
    if (!guard->asked) {
        guard->asked = true;
        guard->next = deadline_in_ms(0);
        pthread_cond_signal(&guard->wake);
    }
    pthread_mutex_unlock(&guard->lock);
}

bool guard_lets_touch(struct guard *guard) { return !before(atomic_load(&guard->touch_again)); }

/* ---- the thread ---- */

static void wait_locked(struct guard *guard) {
    while (!guard->stop) {
        bool busy = guard->asked || guard_is_open(guard);
        if (!busy) {
            pthread_cond_wait(&guard->wake, &guard->lock);
            continue;
        }
        if (!before(guard->next))
            return;
        struct timespec until = {.tv_sec = guard->next / 1000000,
                                 .tv_nsec = guard->next % 1000000 * 1000};
        pthread_cond_timedwait(&guard->wake, &guard->lock, &until);
    }
}

static void finish_locked(struct guard *guard, bool done, bool was_asked) {
    if (!done) {
        guard->asked = guard->asked || was_asked;
        guard->next = deadline_in_ms(guard->asked ? REPLAY_MS : PROBE_MS);
        atomic_store(&guard->touch_again, deadline_in_ms(TOUCH_MS));
        return;
    }
    atomic_store(&guard->touch_again, 0);
    atomic_store(&guard->failures, 0);
    if (!atomic_exchange(&guard->open, false))
        return;
    metrics_set(METRIC_CACHE_BREAKER, 0, 0);
    guard->closed = deadline_in_ms(0);
}

static void *watch(void *self) {
    struct guard *guard = self;
    pthread_mutex_lock(&guard->lock);
    for (wait_locked(guard); !guard->stop; wait_locked(guard)) {
        bool was_asked = guard->asked;
        guard->asked = false; /* what is added from now on asks again */
        pthread_mutex_unlock(&guard->lock);
        bool done = guard->work.run(guard->work.self);
        pthread_mutex_lock(&guard->lock);
        finish_locked(guard, done, was_asked);
    }
    pthread_mutex_unlock(&guard->lock);
    return NULL;
}

bool guard_start(struct guard *guard, struct guard_work work, struct err *err) {
    pthread_condattr_t attributes;
    guard->work = work;
    guard->closed = deadline_in_ms(-STEADY_MS);
    pthread_mutex_init(&guard->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&guard->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&guard->thread, NULL, watch, guard) == 0)
        return true;
    pthread_cond_destroy(&guard->wake);
    pthread_mutex_destroy(&guard->lock);
    err_memory(err);
    return err_cause(err, "no thread for watching Redis");
}

void guard_stop(struct guard *guard) {
    pthread_mutex_lock(&guard->lock);
    guard->stop = true;
    pthread_cond_signal(&guard->wake);
    pthread_mutex_unlock(&guard->lock);
    pthread_join(guard->thread, NULL);
    pthread_cond_destroy(&guard->wake);
    pthread_mutex_destroy(&guard->lock);
}
