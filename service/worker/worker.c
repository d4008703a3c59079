/* Starts and stops the threads of a worker, and says which loops each of them runs. */
#include "worker_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/metrics.h"

#define STACK (1024 * 1024)

/* Which thread runs which loops: what may take long stays away from what must be prompt. */
static const struct loop {
    enum loop_id id;
    int thread;
    int every_ms; /* 0: KAMD_POLL_MS */
    loop_round round;
} loops[] = {
    {LOOP_SEQUENCE, 0, 0, loop_sequence},     {LOOP_LEASE, 1, 1000, loop_lease},
    {LOOP_FOLLOW_UPS, 2, 0, loop_follow_ups}, {LOOP_REMINDERS, 2, 1000, loop_reminders},
    {LOOP_RESCORE, 2, 0, loop_rescore},       {LOOP_REVIEWS, 2, 1000, loop_reviews},
    {LOOP_PLANS, 3, 1000, loop_plans},        {LOOP_STALE, 3, 5000, loop_stale},
    {LOOP_OPERATIONS, 3, 0, loop_operations}, {LOOP_DAILY, 3, 10000, loop_daily},
    {LOOP_PROMISES, 3, 1000, loop_promises},  {LOOP_HOUSEKEEPING, 3, 60000, loop_housekeeping},
    {LOOP_ANCHORS, 1, 1000, loop_anchors},
};
#define LOOP_THREADS 4
_Static_assert(COUNT_OF(loops) == LOOP_DELIVERY, "every loop but delivery has a row");
_Static_assert(LOOP_THREADS + 1 == WORKER_THREADS, "delivery has a thread of its own");

struct loop_thread {
    struct worker *worker;
    int number;
};

/* ---- one loop ----------------------------------------------------------------------------------
 */

static int64_t loop_once(struct worker *worker, const struct loop *loop,
                         struct loop_health *health) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    bool more = false;
    bool ok = loop->round(worker, &more, &err);
    int64_t pause = loop_report(worker, health, ok, &err);

    if (!ok)
        return pause;
    if (more)
        return 0;
    return with_jitter(worker,
                       loop->every_ms > 0 ? loop->every_ms : worker->options.config->poll_ms);
}

/* Sleeps until `when`, on the clock of deadlines, or until the worker stops. */
static void wait_until(struct worker *worker, deadline when) {
    struct timespec at = {.tv_sec = when / 1000000, .tv_nsec = when % 1000000 * 1000};

    pthread_mutex_lock(&worker->lock);
    while (!worker->stopping && deadline_left_ms(when) > 0)
        pthread_cond_timedwait(&worker->wake, &worker->lock, &at);
    pthread_mutex_unlock(&worker->lock);
}

static void *loop_thread(void *arg) {
    struct loop_thread thread = *(struct loop_thread *)arg;
    struct worker *worker = thread.worker;
    deadline next[COUNT_OF(loops)] = {0};
    struct loop_health health[COUNT_OF(loops)];

    free(arg);
    for (size_t i = 0; i < COUNT_OF(loops); i++)
        health[i] = (struct loop_health){.id = loops[i].id};
    while (!worker->stopping) {
        deadline soonest = INT64_MAX;
        for (size_t i = 0; i < COUNT_OF(loops) && !worker->stopping; i++) {
            if (loops[i].thread != thread.number)
                continue;
            if (deadline_left_ms(next[i]) == 0)
                next[i] = deadline_in_ms(loop_once(worker, &loops[i], &health[i]));
            soonest = next[i] < soonest ? next[i] : soonest;
        }
        wait_until(worker, soonest);
    }
    return NULL;
}

static void *delivery_thread(void *arg) {
    delivery_run(arg);
    return NULL;
}

/* ---- start and stop ----------------------------------------------------------------------------
 */

bool worker_metrics(void) {
    static const char *const loop_cells[LOOP_COUNT] = {
        "loop=\"sequence\"",   "loop=\"lease\"",   "loop=\"follow_ups\"", "loop=\"reminders\"",
        "loop=\"rescore\"",    "loop=\"reviews\"", "loop=\"plans\"",      "loop=\"stale\"",
        "loop=\"operations\"", "loop=\"daily\"",   "loop=\"promises\"",   "loop=\"housekeeping\"",
        "loop=\"anchors\"",    "loop=\"delivery\""};
    static const char *const result_cells[] = {"result=\"delivered\"", "result=\"failed\"",
                                               "result=\"exhausted\""};
    static const char *const state_cells[] = {"state=\"closed\"", "state=\"open\"",
                                              "state=\"half_open\"", "state=\"disabled\""};

    return metrics_labels(LABELS_LOOP, loop_cells, COUNT_OF(loop_cells)) &&
           metrics_labels(LABELS_RESULT, result_cells, COUNT_OF(result_cells)) &&
           metrics_labels(LABELS_STATE, state_cells, COUNT_OF(state_cells));
}

static bool retries_parse(struct worker *worker, struct str text, struct err *err) {
    struct str item;

    while (str_split(&text, ',', &item)) {
        int64_t ms;
        if (worker->n_retries == RETRIES_MAX || !str_to_i64(str_trim(item), &ms) || ms < 1 ||
            ms > 7 * 86400000LL)
            return err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("KAMD_WEBHOOK_RETRY_MS"),
                           "invalid",
                           "Up to %d pauses of 1 ms to 7 days, in milliseconds, comma-separated.",
                           RETRIES_MAX);
        worker->retry_ms[worker->n_retries++] = ms;
    }
    return true;
}

bool worker_check(const struct config *config, struct err *err) {
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL)
        return err_memory(err);
    bool retries = retries_parse(worker, str_of(config->webhook_retry_ms), err);
    bool targets = target_policy_init(&worker->policy, config->webhook_allow_http,
                                      str_of(config->webhook_ports),
                                      str_of(config->webhook_allowed_cidrs), err);
    free(worker);
    return retries && targets;
}

static void name_process(struct worker *worker) {
    char host[48] = "";
    struct uuid token = uuid_v7(&clock_system, worker->options.randomness);

    uuid_text(&token, worker->token);
    gethostname(host, sizeof(host) - 1);
    snprintf(worker->name, sizeof(worker->name), "%s:%ld", host, (long)getpid());
}

static bool worker_init(struct worker *worker, struct err *err) {
    const struct config *config = worker->options.config;
    struct poster_options poster = {.policy = &worker->policy,
                                    .connect_ms = config->webhook_connect_ms,
                                    .total_ms = config->webhook_total_ms,
                                    .agent = "kamd-webhooks/1",
                                    .ca_file = config->webhook_ca_file,
                                    .in_flight = (size_t)config->webhook_in_flight};
    pthread_condattr_t attr;

    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->wake, &attr);
    pthread_condattr_destroy(&attr);
    name_process(worker);
    return target_policy_init(&worker->policy, config->webhook_allow_http,
                              str_of(config->webhook_ports), str_of(config->webhook_allowed_cidrs),
                              err) &&
           retries_parse(worker, str_of(config->webhook_retry_ms), err) &&
           poster_open(&poster, &worker->poster, err);
}

static bool thread_start(struct worker *worker, void *(*run)(void *), void *arg) {
    pthread_attr_t attr;

    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setstacksize(&attr, STACK);
    bool ok = pthread_create(&worker->threads[worker->n_threads], &attr, run, arg) == 0;
    pthread_attr_destroy(&attr);
    worker->n_threads += ok;
    return ok;
}

static bool threads_start(struct worker *worker) {
    if (!aside_open(&worker->exchanges, STACK))
        return false;
    for (int i = 0; i < LOOP_THREADS; i++) {
        struct loop_thread *thread = malloc(sizeof(*thread));
        if (thread == NULL)
            return false;
        *thread = (struct loop_thread){.worker = worker, .number = i};
        if (!thread_start(worker, loop_thread, thread)) {
            free(thread);
            return false;
        }
    }
    return thread_start(worker, delivery_thread, worker);
}

bool worker_start(const struct worker_options *options, struct worker **ret, struct err *err) {
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL)
        return err_memory(err);
    worker->options = *options;
    worker->delivery_seen_us = clock_mono(&clock_system);
    if (!worker_init(worker, err)) {
        worker_stop(worker);
        return false;
    }
    if (!threads_start(worker)) {
        worker_stop(worker);
        return err_memory(err);
    }
    *ret = worker;
    return true;
}

void worker_stop(struct worker *worker) {
    if (worker == NULL)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    pthread_cond_broadcast(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    if (worker->poster != NULL)
        poster_wake(worker->poster);
    for (size_t i = 0; i < worker->n_threads; i++)
        pthread_join(worker->threads[i], NULL);
    aside_close(&worker->exchanges);
    poster_close(worker->poster);
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}
