/* What the loops of one process share. */
#ifndef KAMD_WORKER_STATE_H
#define KAMD_WORKER_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "background_task.h"
#include "core/id.h"
#include "remote/post.h"
#include "worker/worker.h"

#define LEASE_SECONDS 5
#define RETRIES_MAX 32
#define WORKER_THREADS 5
/* A delivery thread that has not gone round for so long must not keep others from its endpoints. */
#define DELIVERY_STALLED_MS 15000

struct worker {
    struct worker_options options;
    struct target_policy policy;
    struct poster *poster;
    int64_t retry_ms[RETRIES_MAX]; /* pauses before each retry */
    size_t n_retries;
    char token[UUID_TEXT]; /* this process, as leases name it */
    char name[80];         /* for people: host and process id */

    pthread_mutex_t lock;
    pthread_cond_t wake; /* on the monotonic clock */
    atomic_bool stopping;
    atomic_bool events_waiting; /* the sequencer found some: deliver at once */
    _Atomic int64_t delivery_seen_us;
    /* Of the loop of promises alone: when it is due, and the day that it saw. */
    deadline promises_due;
    int64_t promises_day;
    /* Of the loop that sequences alone: how many it has told of. */
    int64_t database_changes;
    struct aside exchanges; /* the delivery thread's, with the database */
    /* Others may take what this process has claimed once this has passed; how often it has passed
     * is counted before the lease is there again. */
    _Atomic deadline leased_until;
    atomic_int lapses;
    pthread_t threads[WORKER_THREADS];
    size_t n_threads;
};

enum loop_id {
    LOOP_SEQUENCE,
    LOOP_LEASE,
    LOOP_FOLLOW_UPS,
    LOOP_REMINDERS,
    LOOP_RESCORE,
    LOOP_REVIEWS,
    LOOP_PLANS,
    LOOP_STALE,
    LOOP_OPERATIONS,
    LOOP_DAILY,
    LOOP_PROMISES,
    LOOP_HOUSEKEEPING,
    LOOP_ANCHORS,
    LOOP_DELIVERY, /* has a thread and a pace of its own */
    LOOP_COUNT
};
extern const char *const loop_names[LOOP_COUNT];

/* One round of a loop. *ret_more: there is more to do at once. */
typedef bool (*loop_round)(struct worker *worker, bool *ret_more, struct err *err);

bool loop_sequence(struct worker *worker, bool *ret_more, struct err *err);
bool loop_lease(struct worker *worker, bool *ret_more, struct err *err);
bool loop_follow_ups(struct worker *worker, bool *ret_more, struct err *err);
bool loop_reminders(struct worker *worker, bool *ret_more, struct err *err);
bool loop_rescore(struct worker *worker, bool *ret_more, struct err *err);
bool loop_reviews(struct worker *worker, bool *ret_more, struct err *err);
bool loop_plans(struct worker *worker, bool *ret_more, struct err *err);
bool loop_stale(struct worker *worker, bool *ret_more, struct err *err);
bool loop_operations(struct worker *worker, bool *ret_more, struct err *err);
bool loop_daily(struct worker *worker, bool *ret_more, struct err *err);
bool loop_promises(struct worker *worker, bool *ret_more, struct err *err);
bool loop_housekeeping(struct worker *worker, bool *ret_more, struct err *err);
bool loop_anchors(struct worker *worker, bool *ret_more, struct err *err);
/* The delivery thread: returns when the worker stops. */
void delivery_run(struct worker *worker);

/* How a loop fares: logs the first failure of a row and the recovery, counts, and says how long to
 * wait: 0 after a success. */
struct loop_health {
    enum loop_id id;
    int failures;
};
int64_t loop_report(struct worker *worker, struct loop_health *health, bool ok,
                    const struct err *err);

/* `ms`, up to a quarter longer: so that processes do not march in step. */
int64_t with_jitter(const struct worker *worker, int64_t ms);
/* Who the workers are, in history and events, and to row level security. */
extern const struct tx_context worker_context;
static inline struct str worker_token(const struct worker *worker) {
    return (struct str){worker->token, UUID_TEXT - 1};
}
/* Tombstones for "<kind>:<id>" of the (id, version) rows in `slot`. Call after the commit. */
void touch_entries(struct worker *worker, const char *kind, struct tx *tx, size_t slot);
void touch_accounts(struct worker *worker, struct tx *tx, size_t slot);
/* The fault that KAMD_FAULT asks for: "<point>:kill". */
void fault_point(const struct worker *worker, const char *point);

#endif
