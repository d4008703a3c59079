/* Runs the thread that reads the settings again each second: applies new database URLs and the log
 * level at once, and logs the names of the changed settings that need a restart. */
#include "app/reload.h"

#include "core/log.h"
#include "core/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_MS 1000

struct reload {
    struct reload_options options;
    struct config current; /* what was last taken; empty until then: what the process began with */
    bool taken;
    bool failed; /* the last reading, so that it is told of once */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool asked, stopping;
    pthread_t thread;
    bool started;
};

static const struct config *present(const struct reload *reload) {
    return reload->taken ? &reload->current : reload->options.config;
}

static bool takes_effect(struct str name) {
    static const char *const names[] = {"DATABASE_URL", "DATABASE_WORKER_URL",
                                        "DATABASE_MIGRATE_URL", "KAMD_LOG_LEVEL"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

/* Against what the process began with: a change that was taken back needs no restart. */
static void tell_of_restart(const struct reload *reload, const struct config *next) {
    struct buf CLEANUP(buf_release) names = {0}, waiting = {0};
    struct str rest, name;
    buf_init(&names, 4096);
    buf_init(&waiting, 4096);
    config_differences(reload->options.config, next, &names);
    rest = buf_str(&names);
    while (names.len > 0 && str_split(&rest, ',', &name))
        if (!takes_effect(name)) {
            buf_text(&waiting, waiting.len > 0 ? "," : "");
            buf_put(&waiting, name);
        }
    metrics_set(METRIC_SETTINGS_WAITING, 0, waiting.len > 0);
    if (waiting.len > 0)
        LOG(LOG_WARN, "settings_need_restart", LOG_T("settings", buf_str(&waiting)));
}

static bool retarget(struct store *store, const char *before, const char *now, struct err *err) {
    return store == NULL || strcmp(before, now) == 0 || store_retarget(store, now, err);
}

static bool take(struct reload *reload, const struct config *next, struct err *err) {
    const struct config *before = present(reload);
    enum log_level level = LOG_INFO;
    if (!retarget(reload->options.store, before->database_url, next->database_url, err) ||
        !retarget(reload->options.worker_store, before->database_worker_url,
                  next->database_worker_url, err))
        return false;
    if (log_level_parse(str_of(next->log_level), &level))
        log_set_level(level);
    tell_of_restart(reload, next);
    return true;
}

static void failed(struct reload *reload, const struct err *err) {
    metrics_set(METRIC_SETTINGS_REFUSED, 0, 1);
    if (!reload->failed)
        log_err(LOG_ERROR, "settings_not_reloaded", err);
    reload->failed = true;
}

static void look(struct reload *reload) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    CLEANUP(config_release) struct config next = {.arena = NULL};
    struct buf CLEANUP(buf_release) names = {0};
    if (!config_read(reload->options.getenv_, &next, &err)) {
        failed(reload, &err);
        return;
    }
    buf_init(&names, 4096);
    config_differences(present(reload), &next, &names);
    if (names.len > 0) {
        if (!take(reload, &next, &err)) {
            failed(reload, &err);
            return;
        }
        LOG(LOG_INFO, "settings_reloaded", LOG_T("settings", buf_str(&names)));
        metrics_count(METRIC_SETTINGS_RELOADED, 0, 1);
        config_release(&reload->current);
        reload->current = next;
        next = (struct config){.arena = NULL};
        reload->taken = true;
    }
    metrics_set(METRIC_SETTINGS_REFUSED, 0, 0);
    reload->failed = false;
}

static void *run(void *arg) {
    struct reload *reload = arg;
    pthread_mutex_lock(&reload->lock);
    while (!reload->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += EVERY_MS / 1000;
        if (!reload->asked)
            pthread_cond_timedwait(&reload->changed, &reload->lock, &until);
        reload->asked = false;
        if (reload->stopping)
            break;
        pthread_mutex_unlock(&reload->lock);
        look(reload);
        pthread_mutex_lock(&reload->lock);
    }
    pthread_mutex_unlock(&reload->lock);
    return NULL;
}

bool reload_start(const struct reload_options *options, struct reload **ret, struct err *err) {
    struct reload *reload = calloc(1, sizeof *reload);
    pthread_condattr_t monotonic;
    if (!reload)
        return err_memory(err);
    reload->options = *options;
    pthread_mutex_init(&reload->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&reload->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    reload->started = pthread_create(&reload->thread, NULL, run, reload) == 0;
    if (!reload->started) {
        reload_stop(reload);
        return err_memory(err);
    }
    *ret = reload;
    return true;
}

void reload_now(struct reload *reload) {
    pthread_mutex_lock(&reload->lock);
    reload->asked = true;
    pthread_cond_signal(&reload->changed);
    pthread_mutex_unlock(&reload->lock);
}

void reload_stop(struct reload *reload) {
    if (!reload)
        return;
    pthread_mutex_lock(&reload->lock);
    reload->stopping = true;
    pthread_cond_signal(&reload->changed);
    pthread_mutex_unlock(&reload->lock);
    if (reload->started)
        pthread_join(reload->thread, NULL);
    config_release(&reload->current);
    pthread_cond_destroy(&reload->changed);
    pthread_mutex_destroy(&reload->lock);
    free(reload);
}
