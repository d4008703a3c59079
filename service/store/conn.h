/* One connection to PostgreSQL that never blocks: every wait is a poll() with a deadline of ours.
 * (PQexec and PQcancel wait for ever on a frozen server, whatever its timeouts say.) */
#ifndef KAMD_STORE_CONN_H
#define KAMD_STORE_CONN_H

#include "names.h"
#include "store/store.h"

#include <libpq-fe.h>
#include <stdatomic.h>

/* Where to connect: a parsed url and what kamd adds to it. Used by one thread at a time. */
struct target {
    PQconninfoOption *options;
    char application[64];
};

/* False on a malformed url; the message never quotes it, because it may hold a password. */
bool target_init(struct target *target, const char *url, const char *name, struct err *err);
void target_release(struct target *target);
/* Puts the first of several hosts last: libpq goes on to the next host only when the first refuses,
 * not when it is silent and it is our deadline that ends the attempt. */
void target_rotate(struct target *target);

struct conn {
    PGconn *pg;
    struct conn *next;   /* in the pool's list of idle ones */
    int64_t retire_us;   /* when it is old enough to be replaced */
    bool broken;         /* its state is not known: to be closed, never used again */
    bool not_replicated; /* the server said that a commit was not replicated */
    struct names names;  /* of the statements prepared here */
};

/* `stop` may be NULL; when it becomes true the attempt ends early. */
bool conn_open(struct target *target, deadline when, const atomic_bool *stop, struct conn **ret,
               struct err *err);
void conn_close(struct conn **conn);
/* Of an idle connection, without a round trip: has the server neither closed it nor said goodbye?
 */
bool conn_alive(struct conn *conn);

enum wait { WAIT_READY, WAIT_EXPIRED };
enum wait conn_wait(struct conn *conn, short events, deadline when);
/* The next result; NULL at the end of a statement's results, or when the link is lost
 * (conn_lost()). WAIT_EXPIRED: the deadline passed first, and *ret is untouched. */
enum wait conn_result(struct conn *conn, deadline when, PGresult **ret);
bool conn_lost(const struct conn *conn);

/* The text of libpq's or the server's message on one line, for a cause. */
#define CAUSE_TEXT 240
void cause_text(const char *message, char ret[static CAUSE_TEXT]);
/* What every call says when there is no server to talk to; retry_after 1. Returns false. */
bool unavailable(struct err *err, const char *cause);
/* An error result's fields to store_sqlstate(); of a result that libpq made itself, unavailable().
 */
bool result_error(const PGresult *result, struct err *err);

#endif
