/* What ids in documents name is looked up under the caller's own access: what is hidden is answered
 * as what never was. Private to the app layer. */
#ifndef KAMD_APP_RECORD_REFERENCES_H
#define KAMD_APP_RECORD_REFERENCES_H

#include "base/transaction.h"

struct named; /* one id in a document */

struct references {
    struct named *list; /* in the action's arena, newest first */
    bool deleted;       /* they may name deleted records */
};

/* Takes the ids that `doc`, which is canonical, names in these fields and `before` does not: what
 * is there already may stay. `before` is NULL for a new document. `account_id` is the account of
 * what the document describes; absent where it is an account or belongs to none. What is wrong is
 * told below the pointer `at` in `err`, which must live until the check. False: memory is out. */
bool references_take(struct action *action, struct references *references,
                     const struct shape *shape, const jv *doc, const jv *before,
                     struct str account_id, const char *at, struct err *err);

/* Each id that names nothing that the caller sees, or a record of another account where it must be
 * of the same, becomes a violation `unknown_reference` in its document's err. False: the database
 * is away, or memory is out. */
bool references_check(struct action *action, struct tx *tx, const struct references *references,
                      struct err *err);

/* Both for the document of an action; false also when there are violations. */
bool references_known(struct action *action, struct tx *tx, const struct shape *shape,
                      const jv *doc, struct str account_id, struct err *err);

#endif
