/* Runs the thread that asks each database pool twice a second whether PostgreSQL answers and its
 * schema fits. The readiness probe is answered from the last result, without waiting. */
#include "app/readiness.h"

#include "core/log.h"
#include "store/migrate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_MS 500

/* One pool, as it was last seen. */
struct side {
    struct store *store;
    const char *reason;    /* when it is away */
    bool asked, seen;      /* seen: the schema was looked at, whether it fits or not */
    enum problem problem;  /* of the last look; PROBLEM_NONE: none */
    enum problem standing; /* what counts */
    char detail[sizeof((struct err){0}.detail)];
};

struct readiness {
    struct readiness_options options;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock;
    struct side sides[2];
    size_t n_sides;
};

/* What was seen of the schema holds while nobody can look at it. */
static void judge(const struct readiness *readiness, struct side *side, const struct err *err) {
    bool away = side->problem != PROBLEM_NONE && side->problem != PROBLEM_NOT_READY;
    if (away && side->seen && readiness->options.store)
        return;
    side->seen = !away;
    side->standing = side->problem;
    memcpy(side->detail, err->detail, sizeof side->detail);
}

static void tell(const struct readiness *readiness, const struct side *side,
                 enum problem stood_before, const struct err *err) {
    if (side->problem == PROBLEM_NONE)
        LOG(LOG_INFO, stood_before == PROBLEM_NONE ? "database_back" : "ready",
            LOG_S("version", readiness->options.version));
    else
        log_err(LOG_WARN, side->standing == PROBLEM_NONE ? "database_away" : "not_ready", err);
}

static void ask(struct readiness *readiness, struct side *side) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    bool fits = schema_fits(side->store, deadline_in_ms(readiness->options.ask_ms), &err);
    pthread_mutex_lock(&readiness->lock);
    enum problem now = fits ? PROBLEM_NONE : err.problem;
    enum problem stood_before = side->asked ? side->standing : PROBLEM_NOT_READY;
    bool changed = !side->asked || side->problem != now;
    side->asked = true;
    side->problem = now;
    judge(readiness, side, &err);
    pthread_mutex_unlock(&readiness->lock);
    if (changed)
        tell(readiness, side, stood_before, &err);
}

static bool stands(const struct readiness *readiness) {
    for (size_t i = 0; i < readiness->n_sides; i++)
        if (!readiness->sides[i].asked || readiness->sides[i].standing != PROBLEM_NONE)
            return false;
    return true;
}

static void *run(void *arg) {
    struct readiness *readiness = arg;
    while (!atomic_load(&readiness->stopping)) {
        /* While it is not ready it asks quickly: a start is ready as soon as it can be. */
        struct timespec pause = {.tv_nsec = (stands(readiness) ? EVERY_MS : 25) * 1000000L};
        for (size_t i = 0; i < readiness->n_sides; i++)
            ask(readiness, &readiness->sides[i]);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void watch(struct readiness *readiness, struct store *store, const char *reason) {
    if (store)
        readiness->sides[readiness->n_sides++] = (struct side){.store = store, .reason = reason};
}

bool readiness_start(const struct readiness_options *options, struct readiness **ret,
                     struct err *err) {
    struct readiness *readiness = calloc(1, sizeof *readiness);
    if (!readiness)
        return err_memory(err);
    readiness->options = *options;
    watch(readiness, options->store, "database");
    watch(readiness, options->worker_store, "worker_database");
    pthread_mutex_init(&readiness->lock, NULL);
    if (pthread_create(&readiness->thread, NULL, run, readiness) != 0) {
        pthread_mutex_destroy(&readiness->lock);
        free(readiness);
        return err_memory(err);
    }
    *ret = readiness;
    return true;
}

void readiness_stop(struct readiness *readiness) {
    if (!readiness)
        return;
    atomic_store(&readiness->stopping, true);
    pthread_join(readiness->thread, NULL);
    pthread_mutex_destroy(&readiness->lock);
    free(readiness);
}

static void put_reasons(const struct side *side, struct buf *ret) {
    if (side->asked && side->standing == PROBLEM_NONE)
        return;
    buf_text(ret, ret->len > 0 ? "," : "[");
    if (!side->asked) {
        buf_text(ret, "\"starting\"");
    } else if (side->standing != PROBLEM_NOT_READY) {
        buf_json(ret, str_of(side->reason));
    } else {
        buf_text(ret, "\"schema\",");
        buf_json(ret, str_of(side->detail));
    }
}

bool readiness_ask(void *context, struct buf *ret_reasons) {
    struct readiness *readiness = context;
    pthread_mutex_lock(&readiness->lock);
    bool ready = stands(readiness);
    for (size_t i = 0; i < readiness->n_sides; i++)
        put_reasons(&readiness->sides[i], ret_reasons);
    if (!ready)
        buf_char(ret_reasons, ']');
    pthread_mutex_unlock(&readiness->lock);
    return ready;
}
