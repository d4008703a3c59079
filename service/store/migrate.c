/* Brings the schema of a database up to date, step by step: the schema files that migrations call,
 * the migrations, and the other schema files. */
#include "conn.h"
#include "core/random.h"
#include "migration.h"
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
static const char sql_tables[] =
    "create table if not exists schema_migration(number int primary key, name text not null, "
    "checksum bytea not null, "
    "applied_at timestamptz not null default now(), min_binary int not null); "
    "create table if not exists schema_file(name text primary key, checksum bytea not null, "
    "applied_at timestamptz not null default now()); "
    "grant select on schema_migration, schema_file to public";
/* The files define functions that call one another, in any order. */
static const char sql_unchecked[] = "set local check_function_bodies = off";

struct migrator {
    struct target target;
    struct conn *conn;
    const struct schema *schema;
    struct migrated done;
    bool lock_missed; /* the last failure was only a lock that was not got */
};

/* One transaction of the whole: repeated from its beginning when a lock was not got. */
typedef bool transaction(struct migrator *mi, const void *what, struct err *err);

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

static bool run_params(struct migrator *mi, const char *sql, int n, const char *const values[],
                       struct err *err) {
    mi->lock_missed = false;
    if (!PQsendQueryParams(mi->conn->pg, sql, n, NULL, values, NULL, NULL, 0))
        return unavailable(err, PQerrorMessage(mi->conn->pg));
    return finish(mi, NULL, err);
}

static bool record(struct migrator *mi, const struct migration *m, struct err *err) {
    char number[16], least[24], checksum[CHECKSUM_HEX];
    const char *const values[] = {number, m->name, checksum, least};

    snprintf(number, sizeof(number), "%d", m->number);
    snprintf(least, sizeof(least), "%lld", (long long)min_binary(m));
    checksum_hex(m->sql, m->len, checksum);
    return run_params(mi,
                      "insert into schema_migration(number, name, checksum, min_binary) "
                      "values ($1::int, $2, decode($3, 'hex'), $4::int)",
                      4, values, err);
}

static bool record_file(struct migrator *mi, const struct schema_file *file, struct err *err) {
    char checksum[CHECKSUM_HEX];
    const char *const values[] = {file->name, checksum};

    checksum_hex(file->sql, file->len, checksum);
    return run_params(mi,
                      "insert into schema_file(name, checksum) values ($1, decode($2, 'hex')) "
                      "on conflict (name) do update set checksum = excluded.checksum, "
                      "applied_at = excluded.applied_at",
                      2, values, err);
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

static bool is_applied(const PGresult *applied, int64_t number) {
    int64_t value;

    for (int i = 0; i < PQntuples(applied); i++)
        if (str_to_i64(str_of(PQgetvalue(applied, i, MIGRATION_NUMBER)), &value) && value == number)
            return true;
    return false;
}

/* One that replaces others is there already where the last of them is; where only earlier ones are,
 * something between is missing that nobody has any more. */
static bool compare_replaced(const PGresult *applied, const struct migration *m, struct err *err) {
    int64_t oldest = 0;

    if (replaces(m) == 0 || is_applied(applied, m->number) || is_applied(applied, replaces(m)) ||
        PQntuples(applied) == 0 ||
        !str_to_i64(str_of(PQgetvalue(applied, 0, MIGRATION_NUMBER)), &oldest) ||
        oldest > replaces(m))
        return true;
    return err_set(err, PROBLEM_CONFLICT,
                   "The database schema is too old for this program, which can bring it up to date "
                   "from migration %lld on: run `kamd migrate` of the last version before "
                   "migration %d first.",
                   (long long)replaces(m), m->number);
}

static bool compare_all(struct migrator *mi, const PGresult *applied, struct err *err) {
    for (int i = 0; i < PQntuples(applied); i++) {
        int64_t number = 0, least = 0;
        if (!str_to_i64(str_of(PQgetvalue(applied, i, MIGRATION_NUMBER)), &number) ||
            !str_to_i64(str_of(PQgetvalue(applied, i, MIGRATION_MIN_BINARY)), &least) ||
            !compare_migration(mi->schema, number,
                               str_of(PQgetvalue(applied, i, MIGRATION_CHECKSUM)), least, err))
            return false;
    }
    for (size_t i = 0; i < mi->schema->n_migrations; i++)
        if (!compare_replaced(applied, &mi->schema->migrations[i], err))
            return false;
    return true;
}

/* What is applied, when it fits; the caller clears it. */
static bool read_applied(struct migrator *mi, PGresult **ret, struct err *err) {
    return run(mi, SQL_MIGRATIONS, ret, err) && compare_all(mi, *ret, err);
}

/* ---- applying ---- */

/* What is to be done about a migration. */
enum due { DUE_NOTHING, DUE_RECORD, DUE_ALL };

static bool look(struct migrator *mi, const struct migration *m, enum due *ret, struct err *err) {
    PGresult *applied = NULL;
    bool ok = read_applied(mi, &applied, err);

    if (ok)
        *ret = is_applied(applied, m->number)                         ? DUE_NOTHING
               : replaces(m) != 0 && is_applied(applied, replaces(m)) ? DUE_RECORD
                                                                      : DUE_ALL;
    PQclear(applied);
    return ok;
}

static bool still_in_transaction(struct migrator *mi, const struct migration *m, struct err *err) {
    if (PQtransactionStatus(mi->conn->pg) == PQTRANS_INTRANS)
        return true;
    err_set(err, PROBLEM_INTERNAL, "Migration %s ends its own transaction.", m->name);
    return err_cause(err, "a file that must do so begins with `-- no-transaction`");
}

static bool apply_inside(struct migrator *mi, const struct migration *m, struct err *err) {
    enum due due = DUE_NOTHING;

    if (!run(mi, sql_lock, NULL, err) || !look(mi, m, &due, err))
        return false;
    if (due == DUE_NOTHING)
        return run(mi, "rollback", NULL, err);
    if (due == DUE_ALL && !(run(mi, m->sql, NULL, err) && still_in_transaction(mi, m, err)))
        return false;
    if (!record(mi, m, err) || !run(mi, "commit", NULL, err))
        return false;
    mi->done.migrations++;
    return true;
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
static bool apply_outside(struct migrator *mi, const struct migration *m, struct err *err) {
    struct migrator guard = {.schema = mi->schema};
    enum due due = DUE_NOTHING;
    bool ok = false;

    if (!conn_open(&mi->target, deadline_in_ms(CONNECT_MS), NULL, &guard.conn, err))
        return false;
    if (run(&guard, sql_lock, NULL, err) && look(&guard, m, &due, err))
        ok = due == DUE_NOTHING || (run_statements(mi, m, err) && record(mi, m, err));
    mi->done.migrations += ok && due != DUE_NOTHING;
    conn_close(&guard.conn);
    return ok;
}

static bool apply(struct migrator *mi, const void *what, struct err *err) {
    const struct migration *m = what;

    return (outside_transaction(m) ? apply_outside(mi, m, err) : apply_inside(mi, m, err)) ||
           err_cause(err, "in migration %s", m->name);
}

/* ---- schema files ---- */

static bool has_text(const PGresult *recorded, const struct schema_file *file) {
    char ours[CHECKSUM_HEX];

    checksum_hex(file->sql, file->len, ours);
    for (int i = 0; i < PQntuples(recorded); i++)
        if (strcmp(PQgetvalue(recorded, i, SCHEMA_FILE_NAME), file->name) == 0)
            return strcmp(PQgetvalue(recorded, i, SCHEMA_FILE_CHECKSUM), ours) == 0;
    return false;
}

static bool apply_file(struct migrator *mi, const struct schema_file *file, struct err *err) {
    if (!run(mi, file->sql, NULL, err))
        return err_cause(err, "in schema file %s", file->name);
    return record_file(mi, file, err);
}

static bool apply_changed(struct migrator *mi, int step, struct err *err) {
    const struct schema *schema = mi->schema;
    PGresult *recorded = NULL;
    int applied = 0;
    bool ok = run(mi, sql_unchecked, NULL, err) && run(mi, SQL_SCHEMA_FILES, &recorded, err);

    for (size_t i = 0; ok && i < schema->n_files; i++)
        if (schema->files[i].step == step && !has_text(recorded, &schema->files[i])) {
            ok = apply_file(mi, &schema->files[i], err);
            applied++;
        }
    PQclear(recorded);
    if (!ok || !run(mi, "commit", NULL, err))
        return false;
    mi->done.files += applied;
    return true;
}

/* A newer schema has texts of its own, which are left alone. */
static bool apply_files(struct migrator *mi, const void *what, struct err *err) {
    PGresult *applied = NULL;
    int64_t newest = 0;
    bool ok = run(mi, sql_lock, NULL, err) && read_applied(mi, &applied, err);

    if (ok && PQntuples(applied) > 0)
        ok = str_to_i64(str_of(PQgetvalue(applied, PQntuples(applied) - 1, MIGRATION_NUMBER)),
                        &newest);
    PQclear(applied);
    if (!ok)
        return false;
    return newest > newest_migration(mi->schema) ? run(mi, "rollback", NULL, err)
                                                 : apply_changed(mi, *(const int *)what, err);
}

/* ---- one step after the other ---- */

static void pause_at_random(void) {
    struct timespec time = {.tv_nsec =
                                100000000 + (long)random_below(&randomness_system, 400000000)};

    nanosleep(&time, NULL);
}

/* Others may hold a table for longer than the two seconds that we let everybody wait behind us. */
static bool patiently(struct migrator *mi, transaction *take, const void *what, struct err *err) {
    for (int i = 1;; i++) {
        CLEANUP(err_release) struct err last = ERR_INIT;
        mi->lock_missed = false;
        if (take(mi, what, &last))
            return true;
        roll_back(mi);
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
    bool ok = run(mi, sql_lock, NULL, err) && run(mi, sql_tables, NULL, err) &&
              read_applied(mi, &applied, err) && run(mi, "commit", NULL, err);

    PQclear(applied);
    if (!ok)
        roll_back(mi);
    return ok;
}

static int last_step(const struct schema *schema) {
    return schema->n_files == 0 ? 0 : schema->files[schema->n_files - 1].step;
}

bool migrate_to(const char *url, const struct schema *schema, struct migrated *ret,
                struct err *err) {
    struct migrator mi = {.schema = schema};

    if (!target_init(&mi.target, url, "migrate", err))
        return false;
    bool ok = conn_open(&mi.target, deadline_in_ms(CONNECT_MS), NULL, &mi.conn, err) &&
              prepare(&mi, err) && patiently(&mi, apply_files, &(const int){0}, err);
    for (size_t i = 0; ok && i < schema->n_migrations; i++)
        ok = patiently(&mi, apply, &schema->migrations[i], err);
    for (int step = 1; ok && step <= last_step(schema); step++)
        ok = patiently(&mi, apply_files, &step, err);
    conn_close(&mi.conn);
    target_release(&mi.target);
    if (ok)
        *ret = mi.done;
    return ok;
}

bool migrate(const char *url, struct migrated *ret, struct err *err) {
    return migrate_to(url, &program_schema, ret, err);
}
