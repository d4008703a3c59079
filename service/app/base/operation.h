/* Operations, as requests make them. Private to the app layer. */
#ifndef KAMD_APP_BASE_OPERATION_H
#define KAMD_APP_BASE_OPERATION_H

#include "app/operation.h"
#include "base/transaction.h"

struct operation_request {
    const char *kind;
    struct str document; /* JSON */
};
/* Queues one inside a write and answers it: 202 with Location. */
bool operation_queue(struct action *action, struct tx *tx, const struct operation_request *request,
                     struct outcome *outcome, struct err *err);

/* Answers it as it is now. */
bool operation_show(struct action *action, struct str id, struct outcome *outcome, struct err *err);

/* Whether an operation ($1) is nobody else's: held as long as the transaction, as the worker's loop
 * asks for it, too. */
#define OPERATION_LOCK_SQL                                                                         \
    "select pg_try_advisory_xact_lock(hashtextextended('kamd operation ' || $1::text, 0))"

/* For a worker: an operation that is one transaction, `sql` ($1 its id, $2 the worker's token), as
 * by who asked for it. The entries of the cache that it replaced are invalidated. *ret_done: this
 * worker did it. */
bool operation_whole(const struct taken_operation *operation, const char *sql, bool *ret_done,
                     struct err *err);

#endif
