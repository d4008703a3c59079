/* JSON of what PostgreSQL gives and takes. Private to the app layer. */
#ifndef KAMD_APP_BASE_JSON_H
#define KAMD_APP_BASE_JSON_H

#include "base/transaction.h"

/* A row as an object: the first columns of the slot by these fields. */
void write_row(struct tx *tx, size_t slot, size_t row, const struct shape *shape, struct buf *ret);
/* Rows as the members of an array: the first `n`. */
void write_rows(struct tx *tx, size_t slot, size_t n, const struct shape *shape, struct buf *ret);

/* A document's JSON text in the action's arena, for `$n::jsonb`; absent when memory is out. */
struct str json_param(struct action *action, const jv *doc);

/* An object that PostgreSQL wrote, with its etag as the last member: the body of the outcome. */
void view_object(struct action *action, struct str id, int64_t version, struct str object,
                 struct outcome *outcome);

#endif
