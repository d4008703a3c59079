/* The worker's periodic jobs: event positions, the worker's lease, follow-ups, reviews, plans,
 * scores, promises, housekeeping. A function is one round of a job, mostly one SQL call. */
#include "worker_state.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/metrics.h"
#include "core/retention.h"

#define SHORT_ROUND_MS 5000 /* a round that is done in milliseconds */
#define LONG_ROUND_MS 60000 /* a round that may look at every row of a table */
#define FOLLOW_UPS "1000"
#define FOLLOW_UPS_BATCH 1000
#define REVIEWS_PER_ROUND "200"
#define REVIEWS_BATCH 200
#define PLANS_PER_ROUND "20" /* a plan that follows its template is locked for the round */
#define STALE_SECTIONS "500"
#define ACCOUNTS_PER_RESCORE "500"
#define TOUCH_BATCH 500
#define HOUSEKEEPING_BATCH 5000

static struct tx *begin(struct worker *worker, int ms, struct err *err) {
    return tx_begin(worker->options.store, TX_WRITE, &worker_context, deadline_in_ms(ms), err);
}

/* One statement in a transaction of its own. The caller ends it; NULL with an error. */
static struct tx *run_one(struct worker *worker, int ms, const char *sql, size_t *ret_slot,
                          struct err *err) {
    struct tx *tx CLEANUP(tx_end) = begin(worker, ms, err);

    if (tx == NULL)
        return NULL;
    *ret_slot = tx_query(tx, sql, NULL, 0);
    return tx_commit(tx, err) ? TAKE(tx) : NULL;
}

void touch_entries(struct worker *worker, const char *kind, struct tx *tx, size_t slot) {
    struct cache_touch touches[TOUCH_BATCH];
    size_t rows = tx_rows(tx, slot);

    for (size_t done = 0; done < rows;) {
        size_t n = 0;
        for (; n < TOUCH_BATCH && done < rows; n++, done++) {
            struct str id = tx_value(tx, slot, done, 0);
            snprintf(touches[n].name, sizeof(touches[n].name), "%s:%.*s", kind, STR_ARG(id));
            touches[n].version = tx_int(tx, slot, done, 1);
        }
        /* An entry whose invalidation does not reach Redis stays until its time is over. */
        cache_invalidate(worker->options.cache, touches, n);
    }
}

void touch_accounts(struct worker *worker, struct tx *tx, size_t slot) {
    touch_entries(worker, "account", tx, slot);
}

#define CHANGE_SQL                                                                                 \
    "select was, became, from_position, to_position from database_change"                          \
    " where at > now() - interval '1 hour' order by id desc limit 1"
enum { CHANGE_WAS, CHANGE_BECAME, CHANGE_FROM_POSITION, CHANGE_TO_POSITION };

/* The workers base themselves anew without further ado; who runs them should know, and may have to
 * tell others what is gone. What is longer ago was told by others. */
static bool tell_of_change(struct worker *worker, struct err *err) {
    size_t slot;
    struct tx *tx CLEANUP(tx_end) = run_one(worker, SHORT_ROUND_MS, CHANGE_SQL, &slot, err);

    if (tx == NULL)
        return false;
    if (tx_rows(tx, slot) > 0)
        LOG(LOG_WARN, "database_changed", LOG_T("was", tx_value(tx, slot, 0, CHANGE_WAS)),
            LOG_T("became", tx_value(tx, slot, 0, CHANGE_BECAME)),
            LOG_I("last_position", tx_int(tx, slot, 0, CHANGE_FROM_POSITION)),
            LOG_I("next_position", tx_int(tx, slot, 0, CHANGE_TO_POSITION) + 1));
    return true;
}

static bool count_changes(struct worker *worker, int64_t changes, struct err *err) {
    int64_t before = worker->database_changes;

    if (changes == before)
        return true;
    if (!tell_of_change(worker, err))
        return false;
    worker->database_changes = changes;
    metrics_count(METRIC_DATABASE_CHANGED, 0, (uint64_t)(changes - before));
    return true;
}

#define SEQUENCE_SQL                                                                               \
    "select sequence_events(), (extract(epoch from now() - (select ticked_at from sequencer))"     \
    " * 1e6)::bigint, (select count(*) from database_change)"
enum { SEQUENCE_EVENTS, SEQUENCE_LAG_US, SEQUENCE_CHANGES };

bool loop_sequence(struct worker *worker, bool *ret_more, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    size_t slot;

    if (!(tx = run_one(worker, SHORT_ROUND_MS, SEQUENCE_SQL, &slot, err)) ||
        !count_changes(worker, tx_int(tx, slot, 0, SEQUENCE_CHANGES), err))
        return false;
    int64_t n = tx_int(tx, slot, 0, SEQUENCE_EVENTS);
    metrics_set(METRIC_EVENT_LAG, 0, (double)tx_int(tx, slot, 0, SEQUENCE_LAG_US) / 1e6);
    *ret_more = n > 0;
    if (n > 0) {
        metrics_count(METRIC_EVENTS_SEQUENCED, 0, (uint64_t)n);
        worker->events_waiting = true;
        poster_wake(worker->poster);
    }
    return true;
}

bool loop_lease(struct worker *worker, bool *ret_more, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    /* From before the database is asked, so that it never ends earlier there. */
    deadline until = deadline_in_ms(LEASE_SECONDS * 1000);
    char seconds[12];

    *ret_more = false;
    if (clock_mono(&clock_system) - worker->delivery_seen_us > DELIVERY_STALLED_MS * 1000LL) {
        err_set(err, PROBLEM_INTERNAL, "Delivery stalls; its endpoints are left to others.");
        return false;
    }
    snprintf(seconds, sizeof(seconds), "%d", LEASE_SECONDS);
    const struct str params[] = {worker_token(worker), str_of(worker->name), str_of(seconds)};
    if (!(tx = begin(worker, 1000, err)))
        return false;
    tx_query(tx, "select worker_renew($1::uuid, $2, $3::int)", params, 3);
    if (!tx_commit(tx, err))
        return false;
    bool lapsed = deadline_left_ms(worker->leased_until) == 0;
    worker->lapses += lapsed;
    worker->leased_until = until;
    if (lapsed)
        poster_wake(worker->poster);
    return true;
}

bool loop_follow_ups(struct worker *worker, bool *ret_more, struct err *err) {
    size_t slot;
    struct tx *tx CLEANUP(tx_end) =
        run_one(worker, SHORT_ROUND_MS, "select follow_ups_fire(" FOLLOW_UPS ")", &slot, err);

    if (tx == NULL)
        return false;
    int64_t n = tx_int(tx, slot, 0, 0);
    metrics_count(METRIC_FOLLOW_UPS_DUE, 0, (uint64_t)n);
    *ret_more = n >= FOLLOW_UPS_BATCH;
    return true;
}

/* What follows from due times and promises beside the due events: escalation, stay-in-touch, days
 * of commitments, access that begins. Each statement is a transaction of its own. */
bool loop_reminders(struct worker *worker, bool *ret_more, struct err *err) {
    static const char *const rounds[] = {
        "select stay_in_touch_process(" FOLLOW_UPS ")",
        "select follow_ups_escalate(" FOLLOW_UPS ")",
        "select commitments_fire(" FOLLOW_UPS ")",
        "select access_open(" FOLLOW_UPS ")",
    };
    for (size_t i = 0; i < COUNT_OF(rounds); i++) {
        size_t slot;
        struct tx *tx CLEANUP(tx_end) = run_one(worker, SHORT_ROUND_MS, rounds[i], &slot, err);

        if (tx == NULL)
            return false;
        *ret_more |= tx_int(tx, slot, 0, 0) >= FOLLOW_UPS_BATCH;
    }
    return true;
}

bool loop_rescore(struct worker *worker, bool *ret_more, struct err *err) {
    size_t slot;
    struct tx *tx CLEANUP(tx_end) = run_one(
        worker, LONG_ROUND_MS,
        "select account_id, version from rescore_process(" ACCOUNTS_PER_RESCORE ")", &slot, err);

    if (tx == NULL)
        return false;
    touch_accounts(worker, tx, slot);
    metrics_count(METRIC_RESCORED, 0, tx_rows(tx, slot));
    *ret_more = tx_rows(tx, slot) > 0;
    return true;
}

/* Reviews fall due and are missed. */
bool loop_reviews(struct worker *worker, bool *ret_more, struct err *err) {
    size_t slot;
    struct tx *tx CLEANUP(tx_end) =
        run_one(worker, LONG_ROUND_MS, "select reviews_fire(" REVIEWS_PER_ROUND ")", &slot, err);

    if (tx == NULL)
        return false;
    *ret_more = tx_int(tx, slot, 0, 0) >= REVIEWS_BATCH;
    return true;
}

/* Plans follow the template in force. */
bool loop_plans(struct worker *worker, bool *ret_more, struct err *err) {
    size_t slot;
    struct tx *tx CLEANUP(tx_end) = run_one(
        worker, LONG_ROUND_MS,
        "select plan_id, version from plans_follow_template(" PLANS_PER_ROUND ")", &slot, err);

    if (tx == NULL)
        return false;
    touch_entries(worker, "plan", tx, slot);
    *ret_more = tx_rows(tx, slot) > 0;
    return true;
}

/* Sections that nobody has touched for long are told of. */
bool loop_stale(struct worker *worker, bool *ret_more, struct err *err) {
    size_t slot;
    struct tx *tx CLEANUP(tx_end) =
        run_one(worker, LONG_ROUND_MS, "select plans_stale(" STALE_SECTIONS ")", &slot, err);

    if (tx == NULL)
        return false;
    *ret_more = tx_int(tx, slot, 0, 0) > 0;
    return true;
}

/* Time passes also where nothing is written: windows of the score move on. A full evaluation is
 * asked for once a day, and again when it failed, not too often. */
bool loop_daily(struct worker *worker, bool *ret_more, struct err *err) {
    struct uuid id = uuid_v7(&clock_system, worker->options.randomness);
    char text[UUID_TEXT];

    *ret_more = false;
    uuid_text(&id, text);
    const struct str params[] = {str_of(text)};
    struct tx *tx CLEANUP(tx_end) = begin(worker, SHORT_ROUND_MS, err);
    if (tx == NULL)
        return false;
    tx_query(
        tx,
        "insert into operation (id, kind, request, actor) select $1::uuid, 'evaluation', "
        "'{\"cause\": \"full_evaluation\"}', 'worker'"
        " where pg_try_advisory_xact_lock(hashtextextended('kamd daily', 0)) and exists (select "
        "from program where last_full_evaluation_at is null or last_full_evaluation_at < "
        "date_trunc('day', now() at time zone 'UTC') at time zone 'UTC')"
        " and not exists (select from operation where kind = 'evaluation' and (status in ('queued',"
        " 'running') or (actor = 'worker' and created_at > now() - interval '10 minutes')))",
        params, 1);
    return tx_commit(tx, err);
}

/* Promises break by themselves as time passes: looked at when the process starts, when a day
 * begins, and every KAMD_PROMISES_MS. */
bool loop_promises(struct worker *worker, bool *ret_more, struct err *err) {
    int64_t day = clock_wall(&clock_system) / (86400LL * 1000000);
    size_t slot;

    *ret_more = false;
    if (day == worker->promises_day && deadline_left_ms(worker->promises_due) > 0)
        return true;
    struct tx *tx CLEANUP(tx_end) =
        run_one(worker, LONG_ROUND_MS, "select promises_check()", &slot, err);
    if (tx == NULL)
        return false;
    worker->promises_day = day;
    worker->promises_due = deadline_in_ms(with_jitter(worker, worker->options.config->promises_ms));
    return true;
}

/* ---- housekeeping ------------------------------------------------------------------------------
 */

/* Old rows go in chunks, so that no transaction is long. Sized as HOUSEKEEPING_BATCH. */
static const char *const sweeps[] = {
    "delete from idempotency where ctid = any(array(select ctid from idempotency"
    " where created_at < " SINCE(ANSWERS_KEPT) " limit 5000))",
    "delete from webhook_attempt where ctid = any(array(select ctid from webhook_attempt"
    " where started_at < " SINCE(EVENTS_KEPT) " limit 5000))",
    "delete from webhook_retry where ctid = any(array(select r.ctid from webhook_retry r join "
    "webhook_delivery d on d.id = r.delivery_id"
    " where d.created_at < " SINCE(EVENTS_KEPT) " limit 5000))",
    "delete from webhook_delivery where ctid = any(array(select ctid from webhook_delivery"
    " where created_at < " SINCE(EVENTS_KEPT) " limit 5000))",
    "delete from operation where ctid = any(array(select ctid from operation"
    " where status not in ('queued', 'running') and updated_at < " SINCE(
        OPERATIONS_KEPT) " limit 100))",
    "delete from webhook_secret where expires_at < " SINCE(ENDED_KEPT),
    "delete from import where ctid = any(array(select ctid from import"
    " where status not in ('queued', 'running', 'reverting') and updated_at < " SINCE(
        IMPORTS_KEPT) " limit 20))",
    "delete from sync_deferred where ctid = any(array(select ctid from sync_deferred"
    " where created_at < " SINCE(DEFERRED_KEPT) " limit 5000))",
    "delete from worker where until < " SINCE(ENDED_KEPT),
};

static bool partitions(struct worker *worker, struct err *err) {
    size_t slot;
    struct tx *tx CLEANUP(tx_end) =
        run_one(worker, SHORT_ROUND_MS,
                "select case when pg_try_advisory_xact_lock(hashtextextended('kamd partitions', 0))"
                " then event_partitions(7) + event_partitions_drop(" EVENTS_KEPT_DAYS ") end",
                &slot, err);

    return tx != NULL;
}

/* The age of the oldest event that an endpoint without trouble has not been sent; how far the last
 * one is behind; the dead letters; endpoints by state, in the order of the metric's cells. */
#define SQL_MEASURE                                                                                \
    "with s as materialized (select s.*, e.state from webhook_endpoint_state s"                    \
    " join webhook_endpoint e on e.id = s.endpoint_id and e.deleted_at is null),"                  \
    " oldest as (select min(p.at) as at from s cross join lateral (select p.at from"               \
    " event_position p where p.position > s.position order by p.position limit 1) p"               \
    " where s.failures = 0 and s.state = 'enabled')"                                               \
    " select (select coalesce((extract(epoch from now() - o.at) * 1e6)::bigint, 0) from oldest "   \
    "o),"                                                                                          \
    " coalesce(max(q.position - s.position - log_gaps(s.position))"                                \
    " filter (where s.state = 'enabled'), 0),"                                                     \
    " (select count(*) from webhook_retry r where r.state = 'exhausted'),"                         \
    " count(*) filter (where s.state = 'enabled' and s.failures < 5"                               \
    " and coalesce(s.next_at, now()) <= now()),"                                                   \
    " count(*) filter (where s.state = 'enabled' and s.next_at > now()),"                          \
    " count(*) filter (where s.state = 'enabled' and s.failures >= 5"                              \
    " and coalesce(s.next_at, now()) <= now()),"                                                   \
    " count(*) filter (where s.state = 'disabled')"                                                \
    " from sequencer q left join s on true"
#define ENDPOINT_STATES 4
enum { MEASURE_OLDEST_US, MEASURE_BEHIND, MEASURE_DEAD_LETTERS, MEASURE_ENDPOINTS };

static bool measure(struct worker *worker, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;

    if (!(tx = tx_begin(worker->options.store, TX_READ, &worker_context,
                        deadline_in_ms(SHORT_ROUND_MS), err)))
        return false;
    size_t slot = tx_query(tx, SQL_MEASURE, NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    metrics_set(METRIC_DELIVERY_OLDEST, 0, (double)tx_int(tx, slot, 0, MEASURE_OLDEST_US) / 1e6);
    metrics_set(METRIC_DELIVERY_BEHIND, 0, (double)tx_int(tx, slot, 0, MEASURE_BEHIND));
    metrics_set(METRIC_DEAD_LETTERS, 0, (double)tx_int(tx, slot, 0, MEASURE_DEAD_LETTERS));
    for (size_t i = 0; i < ENDPOINT_STATES; i++)
        metrics_set(METRIC_ENDPOINTS, i, (double)tx_int(tx, slot, 0, MEASURE_ENDPOINTS + i));
    return true;
}

bool loop_housekeeping(struct worker *worker, bool *ret_more, struct err *err) {
    *ret_more = false;
    if (!partitions(worker, err) || !measure(worker, err))
        return false;
    for (size_t i = 0; i < COUNT_OF(sweeps) && !worker->stopping; i++) {
        size_t slot;
        struct tx *tx CLEANUP(tx_end) = run_one(worker, SHORT_ROUND_MS, sweeps[i], &slot, err);

        if (tx == NULL)
            return false;
        *ret_more |= tx_affected(tx, slot) >= HOUSEKEEPING_BATCH;
    }
    return true;
}
