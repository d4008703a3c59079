/* The pool behind struct store: who gets a connection, and when none is to be had. */
#ifndef KAMD_STORE_POOL_H
#define KAMD_STORE_POOL_H

#include "conn.h"

/* Waits for a connection, first come first served; no longer than the pool's acquire_ms. */
bool pool_acquire(struct store *store, deadline when, struct conn **ret, struct err *err);
/* Gives it back; a broken one is closed. */
void pool_release(struct store *store, struct conn *conn);
/* The server answered a transaction. */
void pool_answered(struct store *store);
/* What was sent at `sent_us` had no answer in time: opens the breaker, unless the server answered
 * somebody else since, or a probe has succeeded. */
void pool_unanswered(struct store *store, int64_t sent_us);
/* The server refused to write what was sent at `sent_us`: opens the breaker, unless a probe has
 * succeeded since. */
void pool_read_only(struct store *store, int64_t sent_us);
const struct store_options *pool_options(const struct store *store);

#endif
