#include "app/readiness.h"

#include "core/log.h"
#include "frame.h"
#include "store/migrate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_MS 500
#define ASK_MS 1000

struct readiness {
    const struct app *app;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock;
    bool asked;
    enum problem problem; /* PROBLEM_NONE: ready */
    char detail[sizeof((struct err){0}.detail)];
};

static void ask(struct readiness *readiness) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    enum problem now = schema_fits(readiness->app->store, deadline_in_ms(ASK_MS), &err)
                           ? PROBLEM_NONE
                           : err.problem;
    pthread_mutex_lock(&readiness->lock);
    bool changed = !readiness->asked || readiness->problem != now;
    readiness->asked = true;
    readiness->problem = now;
    memcpy(readiness->detail, err.detail, sizeof readiness->detail);
    pthread_mutex_unlock(&readiness->lock);
    if (changed && now != PROBLEM_NONE)
        log_err(LOG_WARN, "not_ready", &err);
    if (changed && now == PROBLEM_NONE)
        LOG(LOG_INFO, "ready", LOG_S("version", readiness->app->version));
}

static void *run(void *arg) {
    struct readiness *readiness = arg;
    while (!atomic_load(&readiness->stopping)) {
        /* Until the first success it asks quickly: a start is ready as soon as it can be. */
        bool ready = readiness->asked && readiness->problem == PROBLEM_NONE;
        struct timespec pause = {.tv_nsec = (ready ? EVERY_MS : 25) * 1000000L};
        ask(readiness);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

bool readiness_start(const struct app *app, struct readiness **ret, struct err *err) {
    struct readiness *readiness = calloc(1, sizeof *readiness);
    if (!readiness)
        return err_memory(err);
    readiness->app = app;
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

bool readiness_ask(void *context, struct buf *ret_reasons) {
    struct readiness *readiness = context;
    pthread_mutex_lock(&readiness->lock);
    bool ready = readiness->asked && readiness->problem == PROBLEM_NONE;
    if (!ready && !readiness->asked)
        buf_text(ret_reasons, "[\"starting\"]");
    else if (!ready && readiness->problem != PROBLEM_NOT_READY)
        buf_text(ret_reasons, "[\"database\"]");
    else if (!ready) {
        buf_text(ret_reasons, "[\"schema\",");
        buf_json(ret_reasons, str_of(readiness->detail));
        buf_char(ret_reasons, ']');
    }
    pthread_mutex_unlock(&readiness->lock);
    return ready;
}
