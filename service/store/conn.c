/* Opens, reads and closes one connection to PostgreSQL, by libpq's non-blocking calls and poll(),
 * so that every wait ends at its deadline even when the server is frozen. */
#include "conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything here can be overridden by the url. Time limits of statements are not set here but with
 * ALTER ROLE, because poolers refuse `options`. A host that is gone is noticed after 30 s, also by
 * tcp_user_timeout, the limit of data that nobody acknowledges. A shorter one would cut off servers
 * that work: while PostgreSQL is busy with one statement, it reads nothing of those behind. */
static const struct {
    const char *keyword;
    const char *value;
} presets[] = {
    {"client_encoding", "UTF8"},   {"target_session_attrs", "read-write"},
    {"gssencmode", "disable"},     {"keepalives_idle", "15"},
    {"keepalives_interval", "5"},  {"keepalives_count", "3"},
    {"tcp_user_timeout", "30000"},
};
#define KEYWORDS_MAX 96

bool target_init(struct target *target, const char *url, const char *name, struct err *err) {
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);

    PQfreemem(message);
    if (options == NULL) {
        err_set(err, PROBLEM_INTERNAL, "The database URL is malformed.");
        return err_cause(err, "PQconninfoParse refused the url of pool \"%s\"", name);
    }
    *target = (struct target){.options = options};
    snprintf(target->application, sizeof(target->application), "kamd-%s", name);
    return true;
}

void target_release(struct target *target) {
    PQconninfoFree(target->options);
    target->options = NULL;
}

/* "a,b,c" becomes "b,c,a", in place. */
static void rotate(char *list) {
    char *comma = list == NULL ? NULL : strchr(list, ',');

    if (comma == NULL)
        return;
    size_t first = (size_t)(comma - list);
    size_t rest = strlen(comma + 1);
    char *copy = strndup(list, first);
    if (copy == NULL)
        return;
    memmove(list, comma + 1, rest);
    list[rest] = ',';
    memcpy(list + rest + 1, copy, first);
    free(copy);
}

void target_rotate(struct target *target) {
    for (PQconninfoOption *o = target->options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0 ||
            strcmp(o->keyword, "port") == 0)
            rotate(o->val);
}

void cause_text(const char *message, char ret[static CAUSE_TEXT]) {
    size_t len = 0;

    for (const char *c = message == NULL ? "" : message; *c != '\0' && len + 1 < CAUSE_TEXT; c++) {
        if ((unsigned char)*c >= ' ')
            ret[len++] = *c;
        else if (len > 0 && ret[len - 1] != ' ')
            ret[len++] = ' ';
    }
    while (len > 0 && ret[len - 1] == ' ')
        len--;
    ret[len] = '\0';
}

bool unavailable(struct err *err, const char *cause) {
    char text[CAUSE_TEXT];

    if (err == NULL)
        return false;
    cause_text(cause, text);
    err_set(err, PROBLEM_DATABASE_UNAVAILABLE, "The database is not reachable at the moment.");
    err->retry_after = 1;
    return err_cause(err, "%s", text);
}

bool result_error(const PGresult *result, struct err *err) {
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (sqlstate == NULL)
        return unavailable(err, PQresultErrorMessage(result));
    const struct sql_error error = {.sqlstate = sqlstate,
                                    .message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
                                    .detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
                                    .hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT),
                                    .constraint =
                                        PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME),
                                    .column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME),
                                    .table = PQresultErrorField(result, PG_DIAG_TABLE_NAME)};
    return store_sqlstate(err, &error);
}

/* Keeps the server's notices off standard error, and looks for the one that matters: a commit that
 * succeeded here but was not replicated. Its text is translated, the name of the function is not.
 */
static void on_notice(void *arg, const PGresult *notice) {
    struct conn *conn = arg;
    const char *function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);
    const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

    if ((function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0) ||
        (message != NULL && strstr(message, "wait for synchronous replication") != NULL))
        conn->not_replicated = true;
}

static enum wait wait_for(int fd, short events, deadline when) {
    struct pollfd poll_fd = {.fd = fd, .events = events};

    for (;;) {
        int n = poll(&poll_fd, 1, deadline_left_ms(when));
        /* An error of poll() itself is for libpq to find: it will not get far with that socket. */
        if (n > 0 || (n < 0 && errno != EINTR))
            return WAIT_READY;
        if (deadline_left_ms(when) == 0)
            return WAIT_EXPIRED;
    }
}

enum wait conn_wait(struct conn *conn, short events, deadline when) {
    return wait_for(PQsocket(conn->pg), events, when);
}

bool conn_lost(const struct conn *conn) { return PQstatus(conn->pg) == CONNECTION_BAD; }

enum wait conn_result(struct conn *conn, deadline when, PGresult **ret) {
    while (PQisBusy(conn->pg)) {
        int unsent = PQflush(conn->pg);
        if (unsent < 0)
            break;
        if (conn_wait(conn, (short)(POLLIN | (unsent > 0 ? POLLOUT : 0)), when) == WAIT_EXPIRED)
            return WAIT_EXPIRED;
        /* On failure the link is lost, but the server's last words may have been read before. */
        if (!PQconsumeInput(conn->pg))
            break;
    }
    *ret = PQgetResult(conn->pg);
    return WAIT_READY;
}

static PGconn *start(struct target *target) {
    const char *keywords[KEYWORDS_MAX + 1] = {NULL};
    const char *values[KEYWORDS_MAX + 1] = {NULL};
    size_t n = 0;

    for (size_t i = 0; i < COUNT_OF(presets); i++) {
        keywords[n] = presets[i].keyword;
        values[n++] = presets[i].value;
    }
    keywords[n] = "fallback_application_name";
    values[n++] = target->application;
    for (PQconninfoOption *o = target->options; o->keyword != NULL && n < KEYWORDS_MAX; o++) {
        if (o->val == NULL)
            continue;
        keywords[n] = o->keyword;
        values[n++] = o->val;
    }
    return PQconnectStartParams(keywords, values, 0);
}

static bool should_stop(const atomic_bool *stop) { return stop != NULL && atomic_load(stop); }

/* Runs the connection's start-up to its end. Waits in slices, so that a stop is seen soon. */
static bool complete(struct conn *conn, deadline when, const atomic_bool *stop, struct err *err) {
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED || conn_lost(conn))
            return unavailable(err, PQerrorMessage(conn->pg));
        deadline slice = deadline_in_ms(100);
        if (should_stop(stop) || deadline_left_ms(when) == 0)
            return unavailable(err, "no answer while connecting");
        if (conn_wait(conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                      slice < when ? slice : when) == WAIT_READY)
            state = PQconnectPoll(conn->pg);
    }
    return true;
}

bool conn_open(struct target *target, deadline when, const atomic_bool *stop, struct conn **ret,
               struct err *err) {
    CLEANUP(conn_close) struct conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL)
        return err_memory(err);
    conn->pg = start(target);
    if (conn->pg == NULL)
        return err_memory(err);
    PQsetNoticeReceiver(conn->pg, on_notice, conn);
    if (!complete(conn, when, stop, err)) {
        target_rotate(target);
        return false;
    }
    if (PQsetnonblocking(conn->pg, 1) != 0)
        return unavailable(err, PQerrorMessage(conn->pg));
    *ret = TAKE(conn);
    return true;
}

void conn_close(struct conn **conn) {
    if (*conn == NULL)
        return;
    PQfinish((*conn)->pg);
    free(*conn);
    *conn = NULL;
}

bool conn_alive(struct conn *conn) {
    PGnotify *notice;

    /* What an idle connection has to read is the server's goodbye, or news of a changed parameter.
     */
    for (int i = 0; i < 8; i++) {
        if (conn_wait(conn, POLLIN, 0) == WAIT_EXPIRED)
            return true;
        if (!PQconsumeInput(conn->pg))
            return false;
        notice = PQnotifies(conn->pg); /* this is what reads messages outside of a statement */
        PQfreemem(notice);
        if (conn_lost(conn))
            return false;
    }
    return false;
}
