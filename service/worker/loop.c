/* What all loops of a worker share: the identity under which they write, their health, and their
 * pauses. */
#include "worker_state.h"

#include <signal.h>
#include <unistd.h>

#include "core/log.h"
#include "core/metrics.h"
#include "domain/access.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS 2000

const struct tx_context worker_context = {
    .scope = STR("all"), .reach = REACH_EVERYTHING, .actor = STR("worker"), .origin = STR("kamd")};

const char *const loop_names[LOOP_COUNT] = {
    [LOOP_SEQUENCE] = "sequence",     [LOOP_LEASE] = "lease",
    [LOOP_FOLLOW_UPS] = "follow_ups", [LOOP_REMINDERS] = "reminders",
    [LOOP_RESCORE] = "rescore",       [LOOP_REVIEWS] = "reviews",
    [LOOP_PLANS] = "plans",           [LOOP_STALE] = "stale",
    [LOOP_OPERATIONS] = "operations", [LOOP_DAILY] = "daily",
    [LOOP_PROMISES] = "promises",     [LOOP_HOUSEKEEPING] = "housekeeping",
    [LOOP_ANCHORS] = "anchors",       [LOOP_DELIVERY] = "delivery",
};

void fault_point(const struct worker *worker, const char *point) {
    struct str fault = str_of(worker->options.config->fault);
    struct str at;

    if (fault.len > 0 && str_split(&fault, ':', &at) && str_is(at, point) && str_is(fault, "kill"))
        kill(getpid(), SIGKILL);
}

int64_t with_jitter(const struct worker *worker, int64_t ms) {
    return ms + (int64_t)random_below(worker->options.randomness, (uint64_t)ms / 4 + 1);
}

int64_t loop_report(struct worker *worker, struct loop_health *health, bool ok,
                    const struct err *err) {
    if (ok) {
        if (health->failures > 0)
            LOG(LOG_INFO, "worker_recovered", LOG_S("loop", loop_names[health->id]),
                LOG_I("failures", health->failures));
        health->failures = 0;
        metrics_set(METRIC_LOOP_LAST, health->id, (double)clock_wall(&clock_system) / 1e6);
        return 0;
    }
    if (health->failures == 0)
        LOG(LOG_WARN, "worker_failed", LOG_S("loop", loop_names[health->id]),
            LOG_S("detail", err->detail), LOG_S("cause", err->cause));
    metrics_count(METRIC_LOOP_ERRORS, health->id, 1);
    int64_t pause = BACKOFF_FIRST_MS;
    for (int i = 0; i < health->failures && pause < BACKOFF_MOST_MS; i++)
        pause *= 2;
    health->failures++;
    return with_jitter(worker, pause < BACKOFF_MOST_MS ? pause : BACKOFF_MOST_MS);
}
