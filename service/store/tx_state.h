/* The inside of a transaction, shared by tx.c (the interface) and pipeline.c (the wire). */
#ifndef KAMD_STORE_TX_STATE_H
#define KAMD_STORE_TX_STATE_H

#include "core/buf.h"
#include "core/trace.h"
#include "pool.h"

enum entry_kind {
    ENTRY_STATEMENT,
    ENTRY_CONTEXT, /* BEGIN, set_config */
    ENTRY_SAVEPOINT,
    ENTRY_RELEASE,
    ENTRY_ROLLBACK_TO,
    ENTRY_COMMIT,
    ENTRY_ROLLBACK
};

/* One statement: queued, then sent, then with a result. */
struct entry {
    enum entry_kind kind;
    const char *sql;
    bool once;       /* never as a named statement */
    size_t param_at; /* its first in tx->params */
    size_t n_params;
    bool prepares; /* sent behind a PREPARE of its own, whose place in conn->names is: */
    size_t name;
    PGresult *result;
};

/* In the order of the parameters of sql_context. */
enum {
    CONTEXT_SCOPE,
    CONTEXT_USER_ID,
    CONTEXT_ACTOR,
    CONTEXT_ORIGIN,
    CONTEXT_REQUEST_ID,
    CONTEXT_TRACEPARENT,
    CONTEXT_REACH,
    CONTEXT_SETTINGS
};

struct tx {
    struct store *store;
    struct conn *conn;
    deadline when;
    enum tx_mode mode;
    char *context_text; /* the settings' values, NUL-terminated, one after the other */
    const char *context[CONTEXT_SETTINGS];
    struct entry *entries;
    size_t n_entries, entries_room;
    size_t n_done;    /* entries before this one were exchanged */
    struct buf texts; /* parameters of what is queued, NUL-terminated */
    size_t *params;   /* where they begin in texts, PARAM_NULL for SQL NULL */
    size_t n_params, params_room;
    const char *failure;   /* why something could not be queued; sticky */
    bool context_queued;   /* for the flush that comes next (TX_READ), or for good (TX_WRITE) */
    bool savepoint;        /* there is one to go back to */
    bool savepoint_queued; /* the same, once what is queued has been done */
    bool committed;
    bool over;       /* nothing more can be done, but after going back to a savepoint */
    bool repeatable; /* it failed only because of others: 40001, 40P01 */
    int repeats;     /* so far */
    struct trace trace;
    int64_t round_trips, statements;
    enum problem problem; /* that it ended with, if any */
};
#define PARAM_NULL SIZE_MAX

/* Sends what is queued with one Sync behind it, and reads all results. */
bool tx_exchange(struct tx *tx, struct err *err);

#endif
