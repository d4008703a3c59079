/* Database transactions as callers use them: queue statements, commit, roll back, read results,
 * repeat after a deadlock or serialization failure. pipeline.c sends the queue to the server. */
#include "tx_state.h"

#include "core/metrics.h"
#include "core/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRIES_MAX 65536
#define TEXTS_MAX (256u << 20)
#define REPEATS 3

static const char sql_begin[] = "begin isolation level read committed";
/* All in one statement, each for this transaction only. */
static const char sql_context[] =
    "select set_config('kamd.scope', $1, true), set_config('kamd.user_id', $2, true), "
    "set_config('kamd.actor', $3, true), set_config('kamd.origin', $4, true), "
    "set_config('kamd.request_id', $5, true), set_config('kamd.traceparent', $6, true), "
    "set_config('kamd.areas', $7, true)";

/* ---- queueing ---- */

/* Room for one more element, doubling. */
static bool grow(void **array, size_t *room, size_t need, size_t size) {
    if (need <= *room)
        return true;
    size_t more = *room == 0 ? 16 : *room;
    while (more < need)
        more *= 2;
    void *grown = reallocarray(*array, more, size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

static size_t fail(struct tx *tx, const char *why) {
    if (tx->failure == NULL)
        tx->failure = why;
    return SIZE_MAX;
}

static bool add_param(struct tx *tx, struct str param) {
    if (!grow((void **)&tx->params, &tx->params_room, tx->n_params + 1, sizeof(*tx->params)))
        return false;
    tx->params[tx->n_params++] = param.ptr == NULL ? PARAM_NULL : tx->texts.len;
    if (param.ptr == NULL)
        return true;
    buf_put(&tx->texts, param);
    buf_char(&tx->texts, '\0');
    return buf_ok(&tx->texts);
}

static size_t add_entry(struct tx *tx, enum entry_kind kind, const char *sql,
                        const struct str *params, size_t n_params) {
    if (tx->n_entries >= ENTRIES_MAX || n_params > 65535)
        return fail(tx, "too many statements or parameters in one transaction");
    if (!grow((void **)&tx->entries, &tx->entries_room, tx->n_entries + 1, sizeof(*tx->entries)))
        return fail(tx, "out of memory");
    size_t first = tx->n_params;
    for (size_t i = 0; i < n_params; i++) {
        /* libpq would cut the text there, in silence. */
        if (params[i].ptr != NULL && memchr(params[i].ptr, '\0', params[i].len) != NULL)
            return fail(tx, "a parameter with a NUL byte");
        if (!add_param(tx, params[i]))
            return fail(tx, "out of memory for parameters");
    }
    tx->statements += kind == ENTRY_STATEMENT;
    tx->entries[tx->n_entries] =
        (struct entry){.kind = kind, .sql = sql, .param_at = first, .n_params = n_params};
    return tx->n_entries++;
}

static void add_context(struct tx *tx) {
    size_t at;

    if (tx->context_queued)
        return;
    tx->context_queued = true;
    if (tx->mode == TX_WRITE)
        add_entry(tx, ENTRY_CONTEXT, sql_begin, NULL, 0);
    at = add_entry(tx, ENTRY_CONTEXT, sql_context, NULL, 0);
    if (at != SIZE_MAX)
        tx->entries[at].n_params = CONTEXT_SETTINGS;
}

static size_t queue(struct tx *tx, const char *sql, bool once, const struct str *params,
                    size_t n_params) {
    if (tx->over)
        return SIZE_MAX;
    add_context(tx);
    size_t at = add_entry(tx, ENTRY_STATEMENT, sql, params, n_params);
    if (at != SIZE_MAX)
        tx->entries[at].once = once;
    return at;
}

size_t tx_query(struct tx *tx, const char *sql, const struct str *params, size_t n_params) {
    return queue(tx, sql, false, params, n_params);
}

size_t tx_query_once(struct tx *tx, const char *sql, const struct str *params, size_t n_params) {
    return queue(tx, sql, true, params, n_params);
}

void tx_savepoint(struct tx *tx) {
    if (tx->over)
        return;
    if (tx->mode != TX_WRITE) {
        fail(tx, "a savepoint needs TX_WRITE");
        return;
    }
    add_context(tx);
    /* Only one at a time, so that a transaction of many does not nest them. */
    if (tx->savepoint_queued)
        add_entry(tx, ENTRY_RELEASE, "release savepoint kamd", NULL, 0);
    add_entry(tx, ENTRY_SAVEPOINT, "savepoint kamd", NULL, 0);
    tx->savepoint_queued = true;
}

/* ---- round trips ---- */

/* Forgets what is queued but was not sent. */
static void unqueue(struct tx *tx) {
    tx->n_entries = tx->n_done;
    tx->n_params = 0;
    buf_reset(&tx->texts);
    if (tx->mode == TX_READ)
        tx->context_queued = false;
    tx->savepoint_queued = tx->savepoint;
}

static bool may_exchange(struct tx *tx, struct err *err) {
    if (tx->over) {
        err_set(err, PROBLEM_INTERNAL, "Something went wrong on our side.");
        return err_cause(err, "a transaction that is over was used again");
    }
    if (tx->failure != NULL) {
        err_memory(err);
        return err_cause(err, "%s", tx->failure);
    }
    if (deadline_left_ms(tx->when) > 0)
        return true;
    err_set(err, PROBLEM_OVERLOADED, "There was no time left for this request.");
    if (err != NULL)
        err->retry_after = 1;
    return err_cause(err, "the deadline passed before the database was asked");
}

bool tx_flush(struct tx *tx, struct err *err) {
    bool ok = may_exchange(tx, err) && (tx->n_done == tx->n_entries || tx_exchange(tx, err));

    tx->problem = ok ? PROBLEM_NONE : err == NULL ? PROBLEM_INTERNAL : err->problem;
    unqueue(tx);
    tx->over = !ok || tx->committed;
    return ok;
}

bool tx_commit(struct tx *tx, struct err *err) {
    if (tx->mode == TX_READ)
        return tx_flush(tx, err);
    if (!tx->over && tx->context_queued)
        add_entry(tx, ENTRY_COMMIT, "commit", NULL, 0);
    return tx_flush(tx, err);
}

bool tx_rollback_to_savepoint(struct tx *tx, struct err *err) {
    if (tx->conn->broken || tx->committed || !tx->savepoint || tx->failure != NULL)
        return may_exchange(tx, err) && err_cause(err, "there is no savepoint to go back to");
    unqueue(tx);
    tx->over = false;
    add_entry(tx, ENTRY_ROLLBACK_TO, "rollback to savepoint kamd", NULL, 0);
    return tx_flush(tx, err);
}

/* ---- beginning and end ---- */

static bool copy_context(struct tx *tx, const struct tx_context *context) {
    char reach[24];
    snprintf(reach, sizeof reach, "%lld", (long long)context->reach);
    const struct str values[CONTEXT_SETTINGS] = {[CONTEXT_SCOPE] = context->scope,
                                                 [CONTEXT_USER_ID] = context->user_id,
                                                 [CONTEXT_ACTOR] = context->actor,
                                                 [CONTEXT_ORIGIN] = context->origin,
                                                 [CONTEXT_REQUEST_ID] = context->request_id,
                                                 [CONTEXT_TRACEPARENT] = context->traceparent,
                                                 [CONTEXT_REACH] = str_of(reach)};
    size_t size = CONTEXT_SETTINGS;

    for (size_t i = 0; i < CONTEXT_SETTINGS; i++)
        size += values[i].len;
    char *at = tx->context_text = calloc(1, size);
    if (at == NULL)
        return false;
    for (size_t i = 0; i < CONTEXT_SETTINGS; i++) {
        tx->context[i] = at;
        if (values[i].ptr != NULL)
            memcpy(at, values[i].ptr, values[i].len);
        at += values[i].len + 1;
    }
    return true;
}

/* Also the span begins here: that of the transaction, or of its repetition. */
static bool take_connection(struct tx *tx, struct err *err) {
    trace_child(&tx->trace, str_of(tx->context[CONTEXT_TRACEPARENT]));
    if (pool_acquire(tx->store, tx->when, &tx->conn, err))
        return true;
    tx->problem = err == NULL ? PROBLEM_INTERNAL : err->problem;
    return false;
}

struct tx *tx_begin(struct store *store, enum tx_mode mode, const struct tx_context *context,
                    deadline when, struct err *err) {
    static const struct tx_context nobody = {0};
    CLEANUP(tx_end) struct tx *tx = calloc(1, sizeof(*tx));

    if (tx == NULL) {
        err_memory(err);
        return NULL;
    }
    *tx = (struct tx){.store = store, .when = when, .mode = mode};
    buf_init(&tx->texts, TEXTS_MAX);
    if (!copy_context(tx, context == NULL ? &nobody : context)) {
        err_memory(err);
        return NULL;
    }
    return take_connection(tx, err) ? TAKE(tx) : NULL;
}

/* True when the connection is as it was before the transaction. */
static bool clean_up(struct tx *tx) {
    if (tx->conn->broken)
        return false;
    if (PQtransactionStatus(tx->conn->pg) == PQTRANS_IDLE)
        return true;
    unqueue(tx);
    tx->failure = NULL;
    if (add_entry(tx, ENTRY_ROLLBACK, "rollback", NULL, 0) == SIZE_MAX ||
        deadline_left_ms(tx->when) == 0)
        return false;
    return tx_exchange(tx, NULL) && PQtransactionStatus(tx->conn->pg) == PQTRANS_IDLE;
}

/* Expected refusals (a conflict, a broken rule) are no failure of the database. */
static void end_trace(struct tx *tx) {
    const struct problem_info *problem =
        tx->problem == PROBLEM_NONE ? NULL : problem_info(tx->problem);
    bool write = tx->mode == TX_WRITE;

    if (!tx->trace.on)
        return;
    TRACE_END(&tx->trace, SPAN_CLIENT,
              write ? STR("postgresql transaction") : STR("postgresql read"),
              problem != NULL && problem->status >= 500, SPAN_S("db.system.name", "postgresql"),
              SPAN_S("kamd.db.outcome", !write          ? ""
                                        : tx->committed ? "committed"
                                                        : "rolled_back"),
              SPAN_I("kamd.db.round_trips", tx->round_trips),
              SPAN_I("kamd.db.statements", tx->statements),
              SPAN_S("error.type", problem == NULL ? "" : problem->code));
}

/* Rolls back what was not committed; after that the transaction has no results any more. */
static void give_connection_back(struct tx *tx) {
    if (tx->conn != NULL) {
        if (!clean_up(tx))
            tx->conn->broken = true;
        pool_release(tx->store, tx->conn);
        tx->conn = NULL;
    }
    end_trace(tx);
    for (size_t i = 0; i < tx->n_entries; i++)
        PQclear(tx->entries[i].result);
}

void tx_end(struct tx **tx_) {
    struct tx *tx = *tx_;

    if (tx == NULL)
        return;
    *tx_ = NULL;
    give_connection_back(tx);
    buf_release(&tx->texts);
    free(tx->entries);
    free(tx->params);
    free(tx->context_text);
    free(tx);
}

/* Two transactions that met would meet again if both waited for the same time. */
static void pause_at_random(int repeats) {
    int64_t us = 2000 + (int64_t)random_below(&randomness_system, 10000u << repeats);
    struct timespec time = {.tv_nsec = us * 1000};

    nanosleep(&time, NULL);
}

/* As tx_begin() left it; what is its own, and the memory that it grew, stay. */
static void start_over(struct tx *tx) {
    buf_reset(&tx->texts);
    tx->n_entries = tx->n_done = tx->n_params = 0;
    tx->failure = NULL;
    tx->context_queued = tx->savepoint = tx->savepoint_queued = false;
    tx->over = tx->repeatable = false;
    tx->round_trips = tx->statements = 0;
    tx->problem = PROBLEM_NONE;
}

bool tx_repeat(struct tx *tx, struct err *err) {
    if (!tx->repeatable || tx->repeats == REPEATS || deadline_left_ms(tx->when) < 100)
        return false;
    if (err != NULL)
        err_release(err);
    metrics_count(METRIC_DB_RETRIES, pool_options(tx->store)->metrics_cell, 1);
    give_connection_back(tx); /* others can use it during the pause */
    pause_at_random(tx->repeats++);
    start_over(tx);
    return take_connection(tx, err);
}

/* ---- results ---- */

static const PGresult *result_of(const struct tx *tx, size_t slot) {
    return slot < tx->n_done ? tx->entries[slot].result : NULL;
}

size_t tx_rows(struct tx *tx, size_t slot) { return (size_t)PQntuples(result_of(tx, slot)); }

size_t tx_columns(struct tx *tx, size_t slot) { return (size_t)PQnfields(result_of(tx, slot)); }

struct str tx_value(struct tx *tx, size_t slot, size_t row, size_t column) {
    const PGresult *result = result_of(tx, slot);
    int r = (int)row, c = (int)column;

    if (row >= tx_rows(tx, slot) || column >= tx_columns(tx, slot) || PQgetisnull(result, r, c))
        return STR_ABSENT;
    return (struct str){PQgetvalue(result, r, c), (size_t)PQgetlength(result, r, c)};
}

int64_t tx_int(struct tx *tx, size_t slot, size_t row, size_t column) {
    int64_t value = 0;

    return str_to_i64(tx_value(tx, slot, row, column), &value) ? value : 0;
}

bool tx_bool(struct tx *tx, size_t slot, size_t row, size_t column) {
    return str_is(tx_value(tx, slot, row, column), "t");
}

size_t tx_affected(struct tx *tx, size_t slot) {
    PGresult *result = (PGresult *)(uintptr_t)result_of(tx, slot);

    return result == NULL ? 0 : (size_t)strtoull(PQcmdTuples(result), NULL, 10);
}
