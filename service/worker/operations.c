/* Runs the operations that requests have queued (evaluations, imports, erasures, reports and
 * others), and publishes what came of them in the same transaction. */
#include "app/merges.h"
#include "worker_state.h"

#include "app/audit.h"
#include "app/erasures.h"
#include "app/imports.h"
#include "app/reports.h"
#include "core/metrics.h"

#include <stdio.h>
#include <string.h>

#define CLAIM_MS 5000
#define RUN_MS 600000
#define RUN_TIMEOUT "600s"
/* Held as long as somebody works at it: goes with the connection when its process dies, however
 * long the work takes. */
#define WORK_LOCK(id) "pg_try_advisory_xact_lock(hashtextextended('kamd operation ' || " id ", 0))"

struct operation {
    char id[UUID_TEXT];
    char kind[32];
    char as_of[16]; /* of evaluations */
    bool today;
};

/* Does the work and publishes it in one transaction; it holds only while the lease is ours and
 * nobody cancelled. */
typedef bool (*operation_run)(struct worker *worker, const struct operation *operation,
                              struct err *err);
static bool evaluate(struct worker *worker, const struct operation *operation, struct err *err);
static bool report(struct worker *worker, const struct operation *operation, struct err *err);
static bool simulate(struct worker *worker, const struct operation *operation, struct err *err);
static bool replay(struct worker *worker, const struct operation *operation, struct err *err);
static bool audit(struct worker *worker, const struct operation *operation, struct err *err);
static bool import(struct worker *worker, const struct operation *operation, struct err *err);
static bool undo(struct worker *worker, const struct operation *operation, struct err *err);
static bool merge(struct worker *worker, const struct operation *operation, struct err *err);
static bool erase(struct worker *worker, const struct operation *operation, struct err *err);
static const struct operation_kind {
    const char *name;
    operation_run run;
} kinds[] = {{"evaluation", evaluate}, {"report", report}, {"simulation", simulate},
             {"replay", replay},       {"audit", audit},   {"import", import},
             {"import_revert", undo},  {"merge", merge},   {"erasure", erase}};

static bool run(struct worker *worker, const struct operation *operation, struct err *err) {
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, operation->kind) == 0)
            return kinds[i].run(worker, operation, err);
    return err_set(err, PROBLEM_INTERNAL, "There is no such kind of operation.");
}

/* As text[]. */
static struct str known_kinds(char *ret, size_t room) {
    size_t len = 0;

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        len += (size_t)snprintf(ret + len, room - len, "%c%s", i == 0 ? '{' : ',', kinds[i].name);
    snprintf(ret + len, room - len, "}");
    return str_of(ret);
}

static void copy_text(char *ret, size_t room, struct str text) {
    size_t len = text.len < room - 1 ? text.len : room - 1;

    for (size_t i = 0; i < len; i++)
        ret[i] = text.ptr[i];
    ret[len] = '\0';
}

#define UNLOCKED WORK_LOCK("id::text")
#define CLAIM_SQL                                                                                  \
    "with next as materialized (select id from operation where kind = any ($2::text[])"            \
    " and (status = 'queued' or (status = 'running' and (leased_until < now()"                     \
    " or lease_token = $1::uuid) and " UNLOCKED "))"                                               \
    " order by status = 'running' and lease_token = $1::uuid, created_at limit 1"                  \
    " for update skip locked)"                                                                     \
    " update operation o set status = 'running', updated_at = now(), lease_token = $1::uuid,"      \
    " leased_until = now() + interval '5 seconds', progress_done = 0,"                             \
    " progress_total = (select count(*) from account where deleted_at is null)"                    \
    " from next where o.id = next.id"                                                              \
    " returning o.id, coalesce((o.request ->> 'as_of')::date, current_date)::text,"                \
    " coalesce((o.request ->> 'as_of')::date, current_date) = current_date, o.kind"
enum { CLAIM_ID, CLAIM_AS_OF, CLAIM_TODAY, CLAIM_KIND };

/* The oldest one that nobody alive works at. *ret_found false: none. What this worker itself has
 * let go, for a passing reason, comes after the others: the renewal of the worker's leases keeps it
 * from everybody else. (The loop is the only thread that works at operations.) */
static bool claim(struct worker *worker, struct operation *ret, bool *ret_found, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    char names[256];
    const struct str params[] = {worker_token(worker), known_kinds(names, sizeof(names))};

    if (!(tx = tx_begin(worker->options.store, TX_WRITE, &worker_context, deadline_in_ms(CLAIM_MS),
                        err)))
        return false;
    size_t slot = tx_query(tx, CLAIM_SQL, params, 2);
    if (!tx_commit(tx, err))
        return false;
    *ret_found = tx_rows(tx, slot) > 0;
    if (*ret_found) {
        copy_text(ret->id, sizeof(ret->id), tx_value(tx, slot, 0, CLAIM_ID));
        copy_text(ret->as_of, sizeof(ret->as_of), tx_value(tx, slot, 0, CLAIM_AS_OF));
        ret->today = tx_bool(tx, slot, 0, CLAIM_TODAY);
        copy_text(ret->kind, sizeof(ret->kind), tx_value(tx, slot, 0, CLAIM_KIND));
    }
    return true;
}

/* Such work may take longer than what the worker does otherwise. False without an error in `err`:
 * somebody else is at it. */
static bool begin_run(struct worker *worker, const struct operation *operation, struct tx **ret,
                      struct err *err) {
    const struct str id = str_of(operation->id);

    if (!(*ret = tx_begin(worker->options.store, TX_WRITE, &worker_context, deadline_in_ms(RUN_MS),
                          err)))
        return false;
    tx_query(*ret, "set local statement_timeout = '" RUN_TIMEOUT "'", NULL, 0);
    size_t slot = tx_query(*ret, "select " WORK_LOCK("$1::text"), &id, 1);
    return tx_flush(*ret, err) && tx_bool(*ret, slot, 0, 0);
}

static size_t queue_evaluation(struct tx *tx, const struct operation *operation) {
    const struct str params[] = {str_of(operation->id), str_of(operation->as_of)};
    size_t touched;

    tx_query(tx, "delete from evaluation_result where operation_id = $1::uuid", params, 1);
    if (!operation->today) {
        touched = tx_query(
            tx,
            "insert into evaluation_result (operation_id, account_id, score_rank, score, "
            "contributions, missing)"
            " select $1::uuid, s.account_id, rank() over (order by s.score desc nulls last, "
            "a.account_number, a.id),"
            " s.score, s.contributions, s.missing"
            " from program p join criteria c on c.version = p.criteria_version"
            " cross join lateral score_accounts(null, $2::date, c.metrics, p.reporting_currency) s"
            " join account a on a.id = s.account_id",
            params, 2);
        return touched;
    }
    touched = tx_query(
        tx,
        "select e.account_id, e.version from operation o, evaluate(null, true, coalesce(o.request "
        "->> 'cause', 'full_evaluation')) e where o.id = $1::uuid"
        " union all select account_id, version from evaluate_health(null)",
        params, 1);
    tx_query(tx,
             "insert into evaluation_result (operation_id, account_id, score_rank, score, "
             "contributions, missing)"
             " select $1::uuid, s.account_id, s.score_rank, s.score, s.contributions, s.missing"
             " from operation o, account_status s join account a on a.id = s.account_id"
             " where a.deleted_at is null and s.customer_id = s.account_id and o.id = $1::uuid"
             " and not o.request ? 'cause'",
             params, 1); /* what nobody asked for has its results in account_status alone */
    return touched;
}

static bool evaluate(struct worker *worker, const struct operation *operation, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    const struct str params[] = {str_of(operation->id), worker_token(worker)};

    if (!begin_run(worker, operation, &tx, err))
        return !err_is_set(err);
    size_t touched = queue_evaluation(tx, operation);
    size_t done = tx_query(
        tx,
        "update operation o set status = 'succeeded', updated_at = now(), leased_until = null,"
        " progress_done = r.accounts, progress_total = r.accounts,"
        " result = jsonb_build_object('accounts', r.accounts, 'scored', r.scored, 'missing', "
        "r.missing)"
        " from (select count(*) as accounts, count(score) as scored,"
        " count(*) filter (where cardinality(missing) > 0) as missing"
        " from (select e.score, e.missing from evaluation_result e where e.operation_id = $1::uuid"
        " union all select s.score, s.missing from operation c, account_status s"
        " join account a on a.id = s.account_id"
        " where a.deleted_at is null and s.customer_id = s.account_id and c.id = $1::uuid"
        " and c.request ? 'cause') b) r"
        " where o.id = $1::uuid and o.lease_token = $2::uuid and o.status = 'running'",
        params, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_affected(tx, done) == 0)
        return true; /* cancelled, or taken over: what was done here is rolled back */
    if (!tx_commit(tx, err))
        return false;
    if (operation->today) {
        touch_accounts(worker, tx, touched);
        metrics_count(METRIC_RESCORED, 0, tx_rows(tx, touched));
    }
    return true;
}

/* Which function it is stands in the operation; only the table's are called. */
static const struct report *report_of(struct tx *tx, const struct operation *operation,
                                      struct err *err) {
    const struct str id = str_of(operation->id);
    size_t slot =
        tx_query(tx, "select request ->> 'report' from operation where id = $1::uuid", &id, 1);
    const struct report *found = NULL;

    if (!tx_flush(tx, err))
        return NULL;
    if (tx_rows(tx, slot) > 0)
        found = report_by_name(tx_value(tx, slot, 0, 0));
    if (found == NULL)
        err_set(err, PROBLEM_INTERNAL, "There is no such report.");
    return found;
}

/* `document` is SQL over the operation, o. Cancelled, or taken over: nothing is written. */
static bool publish(struct worker *worker, struct tx *tx, const struct operation *operation,
                    const char *document, struct err *err) {
    const struct str params[] = {str_of(operation->id), worker_token(worker)};
    char sql[512];

    snprintf(sql, sizeof(sql),
             "update operation o set status = 'succeeded', updated_at = now(), leased_until = null,"
             " progress_done = coalesce(o.progress_total, 0), result = %s"
             " where o.id = $1::uuid and o.lease_token = $2::uuid and o.status = 'running'",
             document);
    tx_query(tx, sql, params, 2);
    return tx_commit(tx, err);
}

static bool report(struct worker *worker, const struct operation *operation, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    char document[128];

    if (!begin_run(worker, operation, &tx, err))
        return !err_is_set(err);
    const struct report *what = report_of(tx, operation, err);
    if (what == NULL)
        return false;
    snprintf(document, sizeof(document), "%s(o.request -> 'params')", report_function(what));
    return publish(worker, tx, operation, document, err);
}

static bool simulate(struct worker *worker, const struct operation *operation, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;

    if (!begin_run(worker, operation, &tx, err))
        return !err_is_set(err);
    return publish(worker, tx, operation, "simulate(o.request)", err);
}

#define REPLAY_MANY "500"

/* Part by part, so that the endpoint's row is never held for long. */
static bool replay(struct worker *worker, const struct operation *operation, struct err *err) {
    const struct str params[] = {str_of(operation->id), worker_token(worker)};
    bool more = true;

    while (more && !worker->stopping) {
        struct tx *tx CLEANUP(tx_end) = NULL;
        if (!(tx = tx_begin(worker->options.store, TX_WRITE, &worker_context,
                            deadline_in_ms(CLAIM_MS), err)))
            return false;
        size_t slot =
            tx_query(tx, "select webhook_replay($1::uuid, $2::uuid, " REPLAY_MANY ")", params, 2);
        if (!tx_commit(tx, err))
            return false;
        more = tx_bool(tx, slot, 0, 0);
    }
    return true;
}

/* Each part sees the database as it is then, and nothing is locked. */
static bool audit(struct worker *worker, const struct operation *operation, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    struct buf document CLEANUP(buf_release) = {0};
    const struct str id = str_of(operation->id);

    buf_init(&document, 1 << 20);
    if (!begin_run(worker, operation, &tx, err))
        return !err_is_set(err);
    size_t slot =
        tx_query(tx, "select request ->> 'account_id' from operation where id = $1::uuid", &id, 1);
    if (!tx_flush(tx, err) ||
        !audit_verify_all(worker->options.keyring, tx, tx_value(tx, slot, 0, 0), &document, err))
        return false;
    const struct str params[] = {id, worker_token(worker), buf_str(&document)};
    tx_query(tx,
             "update operation o set status = 'succeeded', updated_at = now(), leased_until = null,"
             " progress_done = coalesce(o.progress_total, 0), result = $3::jsonb"
             " where o.id = $1::uuid and o.lease_token = $2::uuid and o.status = 'running'",
             params, 3);
    return tx_commit(tx, err);
}

/* Each step is a transaction of its own, which says how far it came. */
static bool step_by_step(struct worker *worker, const struct operation *operation,
                         bool (*step)(const struct taken_operation *operation, bool *ret_more,
                                      struct err *err),
                         struct err *err) {
    struct app app = {.config = worker->options.config,
                      .keyring = worker->options.keyring,
                      .clock = &clock_system,
                      .randomness = worker->options.randomness,
                      .store = worker->options.store,
                      .cache = worker->options.cache};
    const struct taken_operation taken = {&app, str_of(operation->id), worker_token(worker)};
    bool more = true;

    while (more && !worker->stopping)
        if (!step(&taken, &more, err))
            return false;
    return true;
}

static bool import(struct worker *worker, const struct operation *operation, struct err *err) {
    return step_by_step(worker, operation, import_step, err);
}

static bool undo(struct worker *worker, const struct operation *operation, struct err *err) {
    return step_by_step(worker, operation, import_revert_step, err);
}

static bool merge(struct worker *worker, const struct operation *operation, struct err *err) {
    return step_by_step(worker, operation, merge_step, err);
}

static bool erase(struct worker *worker, const struct operation *operation, struct err *err) {
    return step_by_step(worker, operation, erasure_step, err);
}

/* While the database is away there is nothing to write; claim() takes it again, or somebody else
 * does when this worker is gone. */
static bool is_passing(const struct err *err) {
    return err->problem == PROBLEM_DATABASE_UNAVAILABLE ||
           err->problem == PROBLEM_OUTCOME_UNKNOWN || err->problem == PROBLEM_OVERLOADED;
}

static bool give_up(struct worker *worker, const struct operation *operation, const struct err *why,
                    struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    const struct str params[] = {str_of(operation->id), worker_token(worker), str_of(why->detail)};
    const struct str import[] = {params[0], params[2]};

    if (!(tx = tx_begin(worker->options.store, TX_WRITE, &worker_context, deadline_in_ms(CLAIM_MS),
                        err)))
        return false;
    tx_query(tx,
             "update operation set status = 'failed', updated_at = now(), leased_until = null, "
             "failure = $3"
             " where id = $1::uuid and lease_token = $2::uuid and status = 'running'",
             params, 3);
    tx_query(
        tx,
        "update import i set status = 'failed', failure = $2, updated_at = now() from "
        "operation o where o.id = $1::uuid and o.kind like 'import%' and i.id = (o.request ->> "
        "'import_id')::uuid",
        import, 2);
    return tx_commit(tx, err);
}

bool loop_operations(struct worker *worker, bool *ret_more, struct err *err) {
    struct operation operation;

    if (!claim(worker, &operation, ret_more, err))
        return false;
    if (!*ret_more || run(worker, &operation, err))
        return true;
    if (!is_passing(err)) {
        struct err second CLEANUP(err_release) = ERR_INIT;
        give_up(worker, &operation, err, &second);
    }
    return false;
}
