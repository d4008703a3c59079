#include "store/migrate.h"

#include "conn.h"
#include "core/buf.h"
#include "core/crypto.h"
#include "core/random.h"
#include "migrate_run.h"
#include "splitter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_MS 10000
#define STATEMENT_MS 600000 /* an index over millions of rows takes minutes */
#define LOCK_TRIES 10
#define ADVISORY_LOCK "72696914" /* any number, the same for all */

/* Only for the transaction, so that nothing stays behind in a pooler's connection. Whoever comes
 * second waits here, and in no other's way; only the locks on tables behind it must be got soon,
 * because everybody queues up behind them. */
static const char sql_lock[] =
    "begin isolation level read committed; set local lock_timeout = 0; set local statement_timeout "
    "= '600s'; "
    "set local idle_in_transaction_session_timeout = 0; "
    "select pg_advisory_xact_lock(" ADVISORY_LOCK "); set local lock_timeout = '2s'";
static const char sql_table[] =
    "create table if not exists schema_migration(number int primary key, name text not null, "
    "checksum bytea not null, "
    "applied_at timestamptz not null default now(), min_binary int not null); "
    "grant select on schema_migration to public";
static const char sql_applied[] =
    "select number, encode(checksum, 'hex'), min_binary from schema_migration order by number";

struct migrator {
    struct target target;
    struct conn *conn;
    const struct migration *list;
    size_t n;
    bool lock_missed; /* the last failure was only a lock that was not got */
};

/* ---- what a file says about itself ---- */

static void checksum_hex(const struct migration *m, char ret[static 2 * CRYPTO_SHA256 + 1]) {
    unsigned char digest[CRYPTO_SHA256];

    sha256((struct str){m->sql, m->len}, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

/* One of the comment lines that a file begins with: `-- name` or `-- name: number`. */
static bool header_line(const struct migration *m, const char *name, struct str *ret_value) {
    struct str rest = {m->sql, m->len}, line;

    while (str_split(&rest, '\n', &line) && str_starts(line, "--")) {
        line = str_trim((struct str){line.ptr + 2, line.len - 2});
        if (!str_starts(line, name))
            continue;
        size_t len = strlen(name);
        struct str value = str_trim((struct str){line.ptr + len, line.len - len});
        if (value.len > 0 && value.ptr[0] != ':')
            continue;
        *ret_value = value.len == 0 ? value : str_trim((struct str){value.ptr + 1, value.len - 1});
        return true;
    }
    return false;
}

static bool outside_transaction(const struct migration *m) {
    struct str ignored;

    return header_line(m, "no-transaction", &ignored);
}

/* The number of the oldest binary's newest migration that still works after this one; by default
 * only those that know it. */
static int64_t min_binary(const struct migration *m) {
    struct str value;
    int64_t number;

    return header_line(m, "min-binary", &value) && str_to_i64(value, &number) ? number : m->number;
}

/* ---- one statement ---- */

/* Runs what was sent and keeps the last result with rows. Errors of locks are noted for the caller.
 */
static bool finish(struct migrator *mi, PGresult **ret, struct err *err) {
    deadline when = deadline_in_ms(STATEMENT_MS);
    bool ok = true;

    for (;;) {
        PGresult *result = NULL;
        if (conn_result(mi->conn, when, &result) == WAIT_EXPIRED) {
            mi->conn->broken = true;
            return unavailable(err, "no answer within ten minutes");
        }
        if (result == NULL)
            return ok && (!conn_lost(mi->conn) || unavailable(err, PQerrorMessage(mi->conn->pg)));
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && ok) {
            const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
            mi->lock_missed = sqlstate != NULL &&
                              (strcmp(sqlstate, "55P03") == 0 || strcmp(sqlstate, "40P01") == 0);
            ok = result_error(result, err);
        }
        if (ret != NULL && PQresultStatus(result) == PGRES_TUPLES_OK) {
            PQclear(*ret);
            *ret = result;
        } else {
            PQclear(result);
        }
    }
}

static bool run(struct migrator *mi, const char *sql, PGresult **ret, struct err *err) {
    mi->lock_missed = false;
    if (!PQsendQuery(mi->conn->pg, sql))
        return unavailable(err, PQerrorMessage(mi->conn->pg));
    return finish(mi, ret, err);
}

static bool record(struct migrator *mi, const struct migration *m, struct err *err) {
    char number[16], least[24], checksum[2 * CRYPTO_SHA256 + 1];
    const char *const values[] = {number, m->name, checksum, least};

    mi->lock_missed = false;
    snprintf(number, sizeof(number), "%d", m->number);
    snprintf(least, sizeof(least), "%lld", (long long)min_binary(m));
    checksum_hex(m, checksum);
    if (!PQsendQueryParams(mi->conn->pg,
                           "insert into schema_migration(number, name, checksum, min_binary) "
                           "values ($1::int, $2, decode($3, 'hex'), $4::int)",
                           4, NULL, values, NULL, NULL, 0))
        return unavailable(err, PQerrorMessage(mi->conn->pg));
    return finish(mi, NULL, err);
}

static void roll_back(struct migrator *mi) {
    if (mi->conn == NULL || mi->conn->broken || conn_lost(mi->conn))
        return;
    bool missed = mi->lock_missed;
    if (PQtransactionStatus(mi->conn->pg) != PQTRANS_IDLE)
        run(mi, "rollback", NULL, NULL);
    mi->lock_missed = missed;
}

/* ---- comparing ---- */

static const struct migration *by_number(const struct migration *list, size_t n, int64_t number) {
    for (size_t i = 0; i < n; i++)
        if (list[i].number == number)
            return &list[i];
    return NULL;
}

static bool compare_row(const struct migration *list, size_t n, int64_t number, struct str checksum,
                        int64_t least, struct err *err) {
    const struct migration *m = by_number(list, n, number);
    int64_t newest = n == 0 ? 0 : list[n - 1].number;
    char ours[2 * CRYPTO_SHA256 + 1];

    if (m == NULL && number > newest && least <= newest)
        return true;
    if (m == NULL)
        return err_set(err, PROBLEM_CONFLICT,
                       "The database schema is newer than this program: its migration %lld needs a "
                       "program that knows migration %lld, and this one knows none after %lld.",
                       (long long)number, (long long)least, (long long)newest);
    checksum_hex(m, ours);
    if (str_is(checksum, ours))
        return true;
    return err_set(err, PROBLEM_CONFLICT, "Migration %s was changed after it had been applied.",
                   m->name);
}

static bool is_applied(const PGresult *applied, int number) {
    int64_t value;

    for (int i = 0; i < PQntuples(applied); i++)
        if (str_to_i64(str_of(PQgetvalue(applied, i, 0)), &value) && value == number)
            return true;
    return false;
}

static bool compare_all(struct migrator *mi, const PGresult *applied, struct err *err) {
    for (int i = 0; i < PQntuples(applied); i++) {
        int64_t number = 0, least = 0;
        if (!str_to_i64(str_of(PQgetvalue(applied, i, 0)), &number) ||
            !str_to_i64(str_of(PQgetvalue(applied, i, 2)), &least) ||
            !compare_row(mi->list, mi->n, number, str_of(PQgetvalue(applied, i, 1)), least, err))
            return false;
    }
    return true;
}

/* ---- applying ---- */

static bool missing(struct migrator *mi, const struct migration *m, bool *ret, struct err *err) {
    PGresult *applied = NULL;
    bool ok = run(mi, sql_applied, &applied, err) && compare_all(mi, applied, err);

    if (ok)
        *ret = !is_applied(applied, m->number);
    PQclear(applied);
    return ok;
}

static bool still_in_transaction(struct migrator *mi, const struct migration *m, struct err *err) {
    if (PQtransactionStatus(mi->conn->pg) == PQTRANS_INTRANS)
        return true;
    err_set(err, PROBLEM_INTERNAL, "Migration %s ends its own transaction.", m->name);
    return err_cause(err, "a file that must do so begins with `-- no-transaction`");
}

static bool apply_inside(struct migrator *mi, const struct migration *m, bool *ret_applied,
                         struct err *err) {
    bool is_missing = false;

    if (!run(mi, sql_lock, NULL, err) || !missing(mi, m, &is_missing, err))
        return false;
    if (!is_missing)
        return run(mi, "rollback", NULL, err);
    bool ok = run(mi, m->sql, NULL, err) && still_in_transaction(mi, m, err) &&
              record(mi, m, err) && run(mi, "commit", NULL, err);
    *ret_applied = ok;
    return ok;
}

static bool run_statements(struct migrator *mi, const struct migration *m, struct err *err) {
    struct str rest = {m->sql, m->len}, statement;

    while (sql_next(&rest, &statement)) {
        char *text = strndup(statement.ptr, statement.len);
        bool ok = text == NULL ? err_memory(err) : run(mi, text, NULL, err);
        free(text);
        if (!ok)
            return false;
    }
    return true;
}

/* The lock is held by a second connection in a transaction that has no snapshot, so that even
 * CREATE INDEX CONCURRENTLY does not wait for it. */
static bool apply_outside(struct migrator *mi, const struct migration *m, bool *ret_applied,
                          struct err *err) {
    struct migrator guard = {0};
    bool is_missing = false, ok = false;

    if (!conn_open(&mi->target, deadline_in_ms(CONNECT_MS), NULL, &guard.conn, err))
        return false;
    if (run(&guard, sql_lock, NULL, err) && missing(mi, m, &is_missing, err)) {
        ok = !is_missing || (run_statements(mi, m, err) && record(mi, m, err));
        *ret_applied = ok && is_missing;
    }
    conn_close(&guard.conn);
    return ok;
}

static bool apply(struct migrator *mi, const struct migration *m, bool *ret_applied,
                  struct err *err) {
    bool ok = outside_transaction(m) ? apply_outside(mi, m, ret_applied, err)
                                     : apply_inside(mi, m, ret_applied, err);

    if (ok)
        return true;
    roll_back(mi);
    return err_cause(err, "in migration %s", m->name);
}

static void pause_at_random(void) {
    struct timespec time = {.tv_nsec =
                                100000000 + (long)random_below(&randomness_system, 400000000)};

    nanosleep(&time, NULL);
}

/* Others may hold a table for longer than the two seconds that we let everybody wait behind us. */
static bool apply_patiently(struct migrator *mi, const struct migration *m, bool *ret_applied,
                            struct err *err) {
    for (int i = 1;; i++) {
        CLEANUP(err_release) struct err last = ERR_INIT;
        mi->lock_missed = false;
        if (apply(mi, m, ret_applied, &last))
            return true;
        if (!mi->lock_missed || i == LOCK_TRIES) {
            if (err != NULL) {
                err_release(err);
                *err = last;
                last = ERR_INIT;
            }
            return false;
        }
        pause_at_random();
    }
}

static bool prepare(struct migrator *mi, struct err *err) {
    PGresult *applied = NULL;
    bool ok = run(mi, sql_lock, NULL, err) && run(mi, sql_table, NULL, err) &&
              run(mi, sql_applied, &applied, err) && compare_all(mi, applied, err) &&
              run(mi, "commit", NULL, err);

    PQclear(applied);
    if (!ok)
        roll_back(mi);
    return ok;
}

bool migrate_run(const char *url, const struct migration *list, size_t n, int *ret_applied,
                 struct err *err) {
    struct migrator mi = {.list = list, .n = n};
    int applied = 0;
    bool ok = false;

    if (!target_init(&mi.target, url, "migrate", err))
        return false;
    if (conn_open(&mi.target, deadline_in_ms(CONNECT_MS), NULL, &mi.conn, err))
        ok = prepare(&mi, err);
    for (size_t i = 0; ok && i < n; i++) {
        bool did = false;
        ok = apply_patiently(&mi, &list[i], &did, err);
        applied += did;
    }
    conn_close(&mi.conn);
    target_release(&mi.target);
    if (ok)
        *ret_applied = applied;
    return ok;
}

bool migrate(const char *url, int *ret_applied, struct err *err) {
    return migrate_run(url, migrations, n_migrations, ret_applied, err);
}

/* ---- does it fit ---- */

bool schema_compare(struct store *store, const struct migration *list, size_t n, deadline when,
                    struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    size_t slot, found = 0;

    if (!tx_begin(store, TX_READ, NULL, when, &tx, err))
        return false;
    slot = tx_query(tx, sql_applied, NULL, 0);
    if (!tx_flush(tx, err)) {
        /* The one error that this statement can make: there is no such table yet. */
        return err == NULL || err->problem != PROBLEM_INTERNAL
                   ? false
                   : err_set(err, PROBLEM_NOT_READY,
                             "The database has no schema yet: run `kamd migrate`.");
    }
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        int64_t number = tx_int(tx, slot, i, 0);
        if (!compare_row(list, n, number, tx_value(tx, slot, i, 1), tx_int(tx, slot, i, 2), err)) {
            if (err != NULL)
                err->problem = PROBLEM_NOT_READY;
            return false;
        }
        found += by_number(list, n, number) != NULL;
    }
    if (found == n)
        return true;
    return err_set(err, PROBLEM_NOT_READY,
                   "The database schema is older than this program, it has %zu of %zu migrations: "
                   "run `kamd migrate`.",
                   found, n);
}

bool schema_fits(struct store *store, deadline when, struct err *err) {
    return schema_compare(store, migrations, n_migrations, when, err);
}
