/* The frame that makes a write happen once. Private to the app layer. */
#ifndef KAMD_APP_BASE_WRITE_ONCE_H
#define KAMD_APP_BASE_WRITE_ONCE_H

#include "base/transaction.h"
#include "cache/cache.h"

/* Runs a write in one transaction, at most once for each Idempotency-Key: begins, answers from the
 * Idempotency-Key when it was used before, else runs `work`, stores its outcome under the key,
 * commits, invalidates the cache. `work` may be run again after a serialization failure: it starts
 * from the arena and an empty outcome. 409 while the same key is in flight; 422 when the key
 * belongs to another request. */
typedef bool (*write_work)(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                           struct err *err);
bool write_once(struct action *action, write_work work, void *arg, struct outcome *outcome,
                struct err *err);

/* What the triggers noted, in lines, as entries of the cache: into outcome->touches. */
void touches_read(struct action *action, struct outcome *outcome, struct str text);

#endif
