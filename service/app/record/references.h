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

/* A document that may name records. */
struct referrer {
    const struct shape *shape;
    const jv *doc;         /* canonical */
    const jv *before;      /* what it names already may stay; NULL: a new document */
    struct str account_id; /* of what it describes; absent: it is an account, or of none */
    const char *at;        /* pointer of the document in the request; NULL: it is the request */
};

/* Takes the ids that the document names. What is wrong with them is told in `err`, which must live
 * until the check. False: memory is out. */
bool references_take(struct action *action, struct references *references,
                     const struct referrer *referrer, struct err *err);

/* Each id that names nothing that the caller sees, or a record of another account where it must be
 * of the same, becomes a violation `unknown_reference` in its document's err. False: the database
 * is away, or memory is out. */
bool references_check(struct action *action, struct tx *tx, const struct references *references,
                      struct err *err);

/* Both for the document of an action; false also when there are violations. */
bool references_known(struct action *action, struct tx *tx, const struct referrer *referrer,
                      struct err *err);

#endif
