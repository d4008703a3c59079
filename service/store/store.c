/* Opens and closes a pool of connections, and moves it to another database URL while it runs. */
#include "pool_state.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a name server may hold up store_close(). */
#define JOIN_SECONDS 5

static void store_free(struct store *store) {
    conn_close_all(store->idle);
    conn_close(&store->probe);
    target_release(&store->target);
    target_release(&store->next_target);
    pthread_cond_destroy(&store->work);
    pthread_cond_destroy(&store->pinged);
    pthread_mutex_destroy(&store->lock);
    pthread_condattr_destroy(&store->monotonic);
    free((char *)(uintptr_t)store->options.name);
    free(store);
}

static bool init_locks(struct store *store) {
    return pthread_condattr_init(&store->monotonic) == 0 &&
           pthread_condattr_setclock(&store->monotonic, CLOCK_MONOTONIC) == 0 &&
           pthread_mutex_init(&store->lock, NULL) == 0 &&
           pthread_cond_init(&store->pinged, &store->monotonic) == 0 &&
           pthread_cond_init(&store->work, &store->monotonic) == 0;
}

/* Signals are for the program's other threads. */
static bool start_keeper(struct store *store) {
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&store->keeper, NULL, keeper_run, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

bool store_open(const struct store_options *options, struct store **ret, struct err *err) {
    struct target target = {0};

    if (!target_init(&target, options->url, options->name, err))
        return false;
    struct store *store = calloc(1, sizeof(*store));
    char *name = strdup(options->name);
    if (store == NULL || name == NULL) {
        target_release(&target);
        free(store);
        free(name);
        return err_memory(err);
    }
    store->options = *options;
    store->options.url = NULL;
    store->options.name = name;
    store->target = target;
    store->last_waiter = &store->first_waiter;
    if (!init_locks(store) || !start_keeper(store)) {
        store_free(store);
        return err_memory(err);
    }
    *ret = store;
    return true;
}

bool store_retarget(struct store *store, const char *url, struct err *err) {
    struct target target = {0};

    if (!target_init(&target, url, store->options.name, err))
        return false;
    pthread_mutex_lock(&store->lock);
    target_release(&store->next_target);
    store->next_target = target;
    pthread_cond_signal(&store->work);
    pthread_mutex_unlock(&store->lock);
    return true;
}

bool store_check_url(const char *url, const char *setting, struct err *err) {
    struct target target = {0};

    if (!target_init(&target, url, "check", NULL))
        return err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER(setting), "malformed",
                       "%s is neither a postgresql:// URI nor key=value pairs.", setting);
    target_release(&target);
    return true;
}

void store_close(struct store *store) {
    struct timespec until;

    if (store == NULL)
        return;
    pthread_mutex_lock(&store->lock);
    atomic_store(&store->stop, true);
    pool_refuse_all(store);
    pthread_cond_broadcast(&store->pinged);
    pthread_cond_signal(&store->work);
    pthread_mutex_unlock(&store->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += JOIN_SECONDS;
    /* A thread that hangs in a name server's silence keeps the memory; the program ends anyway. */
    if (pthread_timedjoin_np(store->keeper, NULL, &until) == 0)
        store_free(store);
}
