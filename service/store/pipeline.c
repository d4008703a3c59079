/* Sends all queued statements of a transaction in one round trip (libpq's pipeline mode), and
 * takes their results. */
#include "tx_state.h"

#include "core/metrics.h"

#include <stdlib.h>
#include <string.h>

/* How a round trip ended, apart from results. */
enum end { END_SYNC, END_LOST, END_EXPIRED, END_ODD };

struct outcome {
    enum end end;
    size_t failed_at; /* the entry that the server refused; n_entries when none was */
    PGresult *error;  /* what it said; owned */
};

/* ---- sending ---- */

static const char **param_values(const struct tx *tx, const struct entry *entry,
                                 const char *room[static 32], const char ***ret_owned) {
    const char **values = room;

    if (entry->kind == ENTRY_CONTEXT)
        return entry->n_params == 0 ? room : (const char **)(uintptr_t)tx->context;
    if (entry->n_params > 32)
        values = *ret_owned = calloc(entry->n_params, sizeof(*values));
    for (size_t i = 0; values != NULL && i < entry->n_params; i++) {
        size_t at = tx->params[entry->param_at + i];
        values[i] = at == PARAM_NULL ? NULL : tx->texts.ptr + at;
    }
    return values;
}

static bool send_statement(struct tx *tx, struct entry *entry, const char *const *values) {
    struct conn *conn = tx->conn;
    char name[NAME_TEXT];
    int n = (int)entry->n_params;

    if (entry->once || !pool_options(tx->store)->prepared ||
        !names_find(&conn->names, str_of(entry->sql), &entry->name))
        return PQsendQueryParams(conn->pg, entry->sql, n, NULL, values, NULL, NULL, 0);
    name_text(conn->names.hashes[entry->name], name);
    if (conn->names.states[entry->name] == NAME_FORGOTTEN) {
        if (!PQsendPrepare(conn->pg, name, entry->sql, 0, NULL))
            return false;
        conn->names.states[entry->name] = NAME_SENT;
        entry->prepares = true;
    }
    return PQsendQueryPrepared(conn->pg, name, n, values, NULL, NULL, 0);
}

static bool send_entry(struct tx *tx, struct entry *entry) {
    const char *room[32];
    const char **owned = NULL;
    const char **values = param_values(tx, entry, room, &owned);
    bool ok = values != NULL && send_statement(tx, entry, values);

    free(owned);
    return ok;
}

static bool send_all(struct tx *tx) {
    for (size_t i = tx->n_done; i < tx->n_entries; i++)
        if (!send_entry(tx, &tx->entries[i]))
            return false;
    return PQpipelineSync(tx->conn->pg);
}

/* ---- reading ---- */

/* The one result of a PREPARE or statement, and the NULL behind it. */
static enum end read_one(struct tx *tx, PGresult **ret) {
    PGresult *result = NULL, *end = NULL;

    if (conn_result(tx->conn, tx->when, &result) == WAIT_EXPIRED)
        return END_EXPIRED;
    if (result == NULL)
        return conn_lost(tx->conn) ? END_LOST : END_ODD;
    *ret = result;
    if (PQresultStatus(result) == PGRES_FATAL_ERROR && conn_lost(tx->conn))
        return END_LOST;
    if (conn_result(tx->conn, tx->when, &end) == WAIT_EXPIRED)
        return END_EXPIRED;
    if (end == NULL)
        return conn_lost(tx->conn) ? END_LOST : END_SYNC;
    PQclear(end);
    return END_ODD;
}

/* Keeps the result, or the first error that the server sent. */
static bool note(struct outcome *outcome, size_t at, PGresult *result) {
    if (result == NULL)
        return false;
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        return true;
    case PGRES_FATAL_ERROR:
        if (outcome->error == NULL && PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL) {
            outcome->error = result;
            outcome->failed_at = at;
            return false;
        }
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_SINGLE_TUPLE:
#ifdef LIBPQ_HAS_CHUNK_MODE
    case PGRES_TUPLES_CHUNK:
#endif
    case PGRES_PIPELINE_SYNC:
        outcome->end = END_ODD;
        break;
    }
    PQclear(result);
    return false;
}

static bool read_entry(struct tx *tx, size_t at, struct outcome *outcome) {
    struct entry *entry = &tx->entries[at];
    PGresult *result = NULL;

    if (entry->prepares) {
        outcome->end = read_one(tx, &result);
        bool ok = note(outcome, at, result);
        /* In an aborted pipeline it was skipped, and has to be sent again next time. */
        tx->conn->names.states[entry->name] = ok ? NAME_PREPARED : NAME_FORGOTTEN;
        if (ok)
            PQclear(result);
        result = NULL;
        if (outcome->end != END_SYNC)
            return false;
    }
    outcome->end = read_one(tx, &result);
    if (note(outcome, at, result))
        entry->result = result;
    return outcome->end == END_SYNC;
}

/* The end of the round trip. The implicit transaction of TX_READ is committed only here, so that an
 * error may come in front of it (a deferred constraint). */
static enum end read_sync(struct tx *tx, struct outcome *outcome) {
    for (int i = 0; i < 4; i++) {
        PGresult *result = NULL;
        if (conn_result(tx->conn, tx->when, &result) == WAIT_EXPIRED)
            return END_EXPIRED;
        if (result != NULL && PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            return END_SYNC;
        }
        if (note(outcome, tx->n_entries, result))
            PQclear(result);
        if (conn_lost(tx->conn))
            return END_LOST;
    }
    return END_ODD;
}

static struct outcome read_all(struct tx *tx) {
    struct outcome outcome = {.end = END_SYNC, .failed_at = tx->n_entries};

    for (size_t i = tx->n_done; i < tx->n_entries; i++)
        if (!read_entry(tx, i, &outcome))
            return outcome;
    outcome.end = read_sync(tx, &outcome);
    return outcome;
}

/* ---- what it means ---- */

/* Where COMMIT is among what was exchanged; it can only be the last. NO_COMMIT when there is none.
 */
#define NO_COMMIT SIZE_MAX

static size_t commit_at(const struct tx *tx) {
    bool is = tx->n_entries > tx->n_done && tx->entries[tx->n_entries - 1].kind == ENTRY_COMMIT;

    return is ? tx->n_entries - 1 : NO_COMMIT;
}

static bool unknown(struct err *err, const char *cause) {
    if (err == NULL)
        return false;
    err_set(err, PROBLEM_OUTCOME_UNKNOWN,
            "The database was lost during the commit. Repeat the request with the same "
            "Idempotency-Key to learn what happened.");
    err->retry_after = 1;
    return err_cause(err, "%s", cause);
}

static bool is_sqlstate(const PGresult *error, const char *prefix) {
    const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);

    return strncmp(sqlstate, prefix, strlen(prefix)) == 0;
}

/* After these the connection is of no more use: it ends, it is to a server that cannot write, or
 * its prepared statements are not what we think. */
static bool is_end_of_link(const PGresult *error) {
    const char *severity = PQresultErrorField(error, PG_DIAG_SEVERITY_NONLOCALIZED);
    static const char *const sqlstates[] = {"25006", "57P", "08", "26000", "42P05", "XX001"};

    if (severity != NULL && strcmp(severity, "ERROR") != 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(sqlstates); i++)
        if (is_sqlstate(error, sqlstates[i]))
            return true;
    return false;
}

/* Table changed under a prepared statement. There is no SQLSTATE of its own, but a function name.
 */
static bool is_stale_plan(const PGresult *error) {
    const char *function = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);

    return is_sqlstate(error, "0A000") && function != NULL &&
           strcmp(function, "RevalidateCachedQuery") == 0;
}

static bool statement_failed(struct tx *tx, const struct outcome *outcome, struct err *err) {
    const PGresult *error = outcome->error;
    bool link_ends = is_end_of_link(error);

    tx->repeatable = is_sqlstate(error, "40001") || is_sqlstate(error, "40P01");
    if (link_ends)
        tx->conn->broken = true;
    /* An ordinary error of COMMIT means that it rolled back. The end of the link in its place does
     * not say whether it was before or after. */
    if (link_ends && outcome->failed_at == commit_at(tx))
        return unknown(err, PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
    if (is_stale_plan(error) || is_sqlstate(error, "26000") || is_sqlstate(error, "42P05")) {
        tx->conn->broken = true;
        tx->repeatable = true;
        return unavailable(err, PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
    }
    return result_error(error, err);
}

static bool link_failed(struct tx *tx, const struct outcome *outcome, int64_t sent_us,
                        struct err *err) {
    const char *cause = outcome->end == END_EXPIRED
                            ? "the database did not answer within the deadline"
                        : outcome->end == END_ODD ? "a result that does not belong here"
                                                  : PQerrorMessage(tx->conn->pg);

    tx->conn->broken = true;
    if (outcome->end == END_EXPIRED)
        pool_unanswered(tx->store, sent_us);
    if (outcome->error != NULL)
        return statement_failed(tx, outcome, err);
    size_t commit = commit_at(tx);
    if (commit == NO_COMMIT)
        return unavailable(err, cause);
    /* COMMIT was answered, and only the end of the round trip is missing. */
    if (tx->entries[commit].result != NULL)
        return true;
    return unknown(err, cause);
}

static bool check_commit(struct tx *tx, struct err *err) {
    size_t commit = commit_at(tx);

    if (tx->conn->not_replicated) {
        tx->conn->broken = true;
        return unknown(err, "the server committed, but did not see it replicated");
    }
    if (commit == NO_COMMIT)
        return true;
    /* COMMIT of a transaction that had failed is answered with ROLLBACK, as a success. */
    if (strcmp(PQcmdStatus(tx->entries[commit].result), "COMMIT") != 0) {
        err_set(err, PROBLEM_INTERNAL, "The change was not made.");
        return err_cause(err, "COMMIT was answered with %s",
                         PQcmdStatus(tx->entries[commit].result));
    }
    tx->committed = true;
    return true;
}

static void note_savepoints(struct tx *tx) {
    for (size_t i = tx->n_done; i < tx->n_entries; i++) {
        if (tx->entries[i].result == NULL)
            return;
        if (tx->entries[i].kind == ENTRY_RELEASE)
            tx->savepoint = false;
        if (tx->entries[i].kind == ENTRY_SAVEPOINT)
            tx->savepoint = true;
    }
}

bool tx_exchange(struct tx *tx, struct err *err) {
    struct outcome outcome = {.end = END_LOST, .failed_at = tx->n_entries};
    int64_t sent_us = clock_mono(&clock_system);

    tx->round_trips++;
    tx->conn->not_replicated = false;
    tx->repeatable = false;
    if (send_all(tx))
        outcome = read_all(tx);
    metrics_time(METRIC_DB_TIME, pool_options(tx->store)->metrics_cell,
                 clock_mono(&clock_system) - sent_us);
    note_savepoints(tx);
    bool ok = outcome.end != END_SYNC ? link_failed(tx, &outcome, sent_us, err)
              : outcome.error != NULL ? statement_failed(tx, &outcome, err)
                                      : true;
    ok = ok && check_commit(tx, err);
    if (outcome.error != NULL && is_sqlstate(outcome.error, "25006"))
        pool_read_only(tx->store, sent_us);
    else if (!tx->conn->broken)
        pool_answered(tx->store);
    PQclear(outcome.error);
    tx->n_done = tx->n_entries;
    return ok;
}
