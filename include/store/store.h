/* PostgreSQL: a pool of connections, pipelined transactions, deadlines that always hold.
 *
 * No call here blocks past its deadline, also when the server is frozen: everything is sent and
 * read without blocking, with poll() and our own clock; a connection that missed its deadline is
 * closed, never cancelled or reused (libpq's PQexec and PQcancel wait for ever on a frozen server).
 * When a deadline is missed, and the server has answered no other transaction meanwhile, a breaker
 * opens for the whole pool: further calls fail at once with PROBLEM_DATABASE_UNAVAILABLE until a
 * background probe has succeeded.
 *
 * Errors: DATABASE_UNAVAILABLE (no connection, breaker open, link lost, 57P01..., read-only server
 * 25006: retry_after 1), OVERLOADED (no free connection in time), OUTCOME_UNKNOWN (link or deadline
 * lost during COMMIT, or the commit was not replicated), and what store_sqlstate() says for errors
 * of statements. A write that met 40001 or 40P01 can be repeated: tx_repeat(). */
#ifndef KAMD_STORE_STORE_H
#define KAMD_STORE_STORE_H

#include "core/clock.h"
#include "core/err.h"

struct store; /* one pool; thread-safe */
struct tx;    /* one borrowed connection; one thread at a time */

struct store_options {
    const char *url;
    const char *name; /* "api" or "worker": application_name and metrics cell */
    size_t metrics_cell;
    int size;
    int max_waiters;
    int acquire_ms;
    int connect_ms; /* to open a connection; 0: 2 s */
    bool prepared;
    int max_age_s; /* of a connection; 0: half an hour */
};

/* Starts the pool; connections are opened in the background and on demand. Fails only on a
 * malformed url or memory. */
bool store_open(const struct store_options *options, struct store **ret, struct err *err);
void store_close(struct store *store);
/* From now on connections are made to this url; open ones stay until they are old or break. */
bool store_retarget(struct store *store, const char *url, struct err *err);
/* Is it a url that store_open() would take? An item of `err` names `setting` otherwise. */
bool store_check_url(const char *url, const char *setting, struct err *err);
/* One round trip on a connection of its own accord: is the server there and writable? A server
 * that answers transactions meanwhile is there, too. */
bool store_ping(struct store *store, deadline when, struct err *err);
bool store_breaker_open(struct store *store);

/* Who acts: becomes transaction-local settings that row level security, history and events read.
 * Absent members are ''. */
struct tx_context {
    struct str scope;      /* "all" or "acl" */
    struct str user_id;    /* uuid of the user behind the key, or absent */
    uint64_t reach;        /* what the caller may at most: see domain/access.h */
    struct str actor;      /* what history shows: "user:<id>" or "key:<id>" or "worker" */
    struct str origin;     /* the system that the change comes from: "api", "salesforce", ... */
    struct str request_id; /* also found in history and events */
    struct str traceparent;
};

enum tx_mode {
    TX_READ, /* no BEGIN: each tx_flush() is one implicit transaction with its own context;
                tx_commit() not needed */
    TX_WRITE /* BEGIN ... COMMIT, READ COMMITTED */
};

/* Borrows a connection and queues the context; nothing is sent yet. NULL with an error. */
struct tx *tx_begin(struct store *store, enum tx_mode mode, const struct tx_context *context,
                    deadline when, struct err *err);
/* Rolls back what was not committed and gives the connection back. NULL is fine. For CLEANUP. */
void tx_end(struct tx **tx);

/* Queues a statement. `sql` must stay valid until tx_end (a literal, or text in the request's
 * arena); parameters are copied. A parameter with ptr NULL is SQL NULL. Returns the statement's
 * slot. Failures are sticky and come out at the next tx_flush(). */
size_t tx_query(struct tx *tx, const char *sql, const struct str *params, size_t n_params);
/* As tx_query, but never as a named prepared statement (texts that vary without bound). */
size_t tx_query_once(struct tx *tx, const char *sql, const struct str *params, size_t n_params);
/* Sends what is queued and waits for all results: one round trip. False: the transaction is over
 * (TX_WRITE: rolled back) unless a savepoint was set. */
bool tx_flush(struct tx *tx, struct err *err) MUST_CHECK;
/* Savepoints inside TX_WRITE: tx_savepoint() is queued; tx_rollback_to() may be called after a
 * failed flush and makes the transaction usable again. */
void tx_savepoint(struct tx *tx);
bool tx_rollback_to_savepoint(struct tx *tx, struct err *err) MUST_CHECK;
/* Queues COMMIT behind what is queued and flushes: one round trip. */
bool tx_commit(struct tx *tx, struct err *err) MUST_CHECK;

/* A write that failed only because of another transaction (40001, 40P01) is done again, all of it:
 *
 *     do
 *         done = queue_and_check(tx, err) && tx_commit(tx, err);
 *     while (!done && tx_repeat(tx, err));
 *
 * True: the transaction begins once more, after a pause, on any connection; `err` is empty. False:
 * it did not fail for that reason, three repetitions were made, or the deadline is near. What was
 * read from an earlier attempt is gone. */
bool tx_repeat(struct tx *tx, struct err *err) MUST_CHECK;

/* Results, valid until tx_end() and tx_repeat(). Of a slot that was flushed successfully. Text
 * format. */
size_t tx_rows(struct tx *tx, size_t slot);
size_t tx_columns(struct tx *tx, size_t slot);
struct str tx_value(struct tx *tx, size_t slot, size_t row,
                    size_t column); /* absent for SQL NULL; NUL-terminated */
int64_t tx_int(struct tx *tx, size_t slot, size_t row, size_t column); /* 0 for NULL */
bool tx_bool(struct tx *tx, size_t slot, size_t row, size_t column);
size_t tx_affected(struct tx *tx, size_t slot); /* rows touched by INSERT, UPDATE, DELETE */

/* An error as the server tells it; NULL: it does not say. */
struct sql_error {
    const char *sqlstate, *message, *detail, *hint, *constraint, *column, *table;
};
/* How an error of a statement looks to clients. `constraint` and `column` come from the server's
 * error fields. Table-driven: 23505 -> ALREADY_EXISTS at /<column>; 23503 -> VALIDATION at
 * /<column>, code "unknown_reference"; 23502, 23514, 22xxx -> VALIDATION; KD403, KD404, KD409,
 * KD422 (our own functions): message is a problem code of core/problem.h, or, if it is none, an
 * item code under FORBIDDEN, NOT_FOUND, CONFLICT, VALIDATION; detail is the sentence; column the
 * pointer; HINT, when it begins with '{', further public members (its inside becomes err->extra);
 * 57014, 55P03 -> OVERLOADED; 53xxx, 57Pxx, 08xxx, 25006 -> DATABASE_UNAVAILABLE; others ->
 * INTERNAL. Constraint names follow PostgreSQL's own scheme: <table>_<column>_key|_fkey|_check; of
 * several columns the last counts. */
bool store_sqlstate(struct err *err, const struct sql_error *error);

#endif
