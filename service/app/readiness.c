#include "app/readiness.h"

#include "core/log.h"
#include "frame.h"
#include "store/migrate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define EVERY_MS 500
#define ASK_MS 1000

struct readiness {
    const struct app *app;
    pthread_t thread;
    atomic_bool stopping;
    atomic_int problem; /* enum problem; PROBLEM_NONE: ready */
};

static void ask(struct readiness *readiness) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    enum problem now = schema_fits(readiness->app->store, deadline_in_ms(ASK_MS), &err)
                           ? PROBLEM_NONE
                           : err.problem;
    enum problem before = (enum problem)atomic_exchange(&readiness->problem, (int)now);
    if (now != before && now != PROBLEM_NONE)
        log_err(LOG_WARN, "not_ready", &err);
    if (now != before && now == PROBLEM_NONE)
        LOG(LOG_INFO, "ready", LOG_S("version", readiness->app->version));
}

static void *run(void *arg) {
    struct readiness *readiness = arg;
    while (!atomic_load(&readiness->stopping)) {
        /* Until the first success it asks quickly: a start is ready as soon as it can be. */
        bool ready = atomic_load(&readiness->problem) == PROBLEM_NONE;
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
    atomic_store(&readiness->problem, PROBLEM_NOT_READY);
    if (pthread_create(&readiness->thread, NULL, run, readiness) != 0) {
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
    free(readiness);
}

bool readiness_ask(void *context, struct buf *ret_reasons) {
    struct readiness *readiness = context;
    enum problem problem = (enum problem)atomic_load(&readiness->problem);
    if (problem == PROBLEM_NONE)
        return true;
    bool schema = problem == PROBLEM_CONFLICT || problem == PROBLEM_NOT_READY;
    buf_text(ret_reasons, problem == PROBLEM_NOT_READY ? "[\"starting\"]"
                          : schema                     ? "[\"schema\"]"
                                                       : "[\"database\"]");
    return false;
}
