/* What every use case stands on: the transaction with its context, and the frame that makes a write
 * happen once. Private to the app layer. */
#ifndef KAMD_APP_FRAME_H
#define KAMD_APP_FRAME_H

#include "app/app.h"
#include "cache/cache.h"
#include "store/store.h"

struct tx_context action_context(const struct action *action);

/* One effect, once: begins a transaction, answers from the Idempotency-Key when it was used before,
 * else runs `work`, stores its outcome under the key, commits, invalidates the cache. `work` may be
 * run again after a serialization failure: it starts from the arena and an empty outcome. 409 while
 * the same key is in flight; 422 when the key belongs to another request. */
typedef bool (*write_work)(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                           struct err *err);
bool write_once(struct action *action, write_work work, void *arg, struct outcome *outcome,
                struct err *err);

/* What the triggers noted, in lines, as entries of the cache: into outcome->touches. */
void touches_read(struct action *action, struct outcome *outcome, struct str text);

/* A read: queue statements, tx_flush() once, read their slots, tx_end(). */
bool read_begin(struct action *action, struct tx **ret, struct err *err);

/* A row as an object: the first columns of the slot by these fields. */
void write_row(struct tx *tx, size_t slot, size_t row, const struct field *fields, size_t n_fields,
               struct buf *ret);

/* A document's JSON text in the action's arena, for `$n::jsonb`; absent when memory is out. */
struct str doc_text(struct action *action, const jv *doc);

/* A PostgreSQL array literal of texts, for `$n::text[]` and `$n::uuid[]`. */
struct str array_param(struct arena *arena, const struct str *items, size_t n);

#endif
