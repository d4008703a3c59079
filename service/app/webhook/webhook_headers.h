/* The values of an endpoint's own headers: mostly receivers' tokens. The record holds a reference
 * for each, `sealed:<id>`, and so does all that is made of it: answers, history, events. The value
 * itself is sealed in a table that only the workers read. Private to the app layer. */
#ifndef KAMD_APP_WEBHOOK_WEBHOOK_HEADERS_H
#define KAMD_APP_WEBHOOK_WEBHOOK_HEADERS_H

#include "base/transaction.h"

#define HEADERS_MAX 10 /* of an endpoint; the decoder refuses more */

struct header_values {
    jv *doc; /* what was given, with references instead of values; owned */
    struct str ids[HEADERS_MAX], sealed[HEADERS_MAX];
    size_t n;
    struct str kept[HEADERS_MAX]; /* references that were given: the endpoint must have them */
    size_t n_kept;
};

/* Values that break a rule stay as they are, for the decoder to refuse. */
bool header_values_seal(struct action *action, const jv *given, struct header_values *ret,
                        struct err *err);
void header_values_release(struct header_values *values);
/* In the transaction that wrote the record: keeps new values, checks references, and forgets values
 * that nothing refers to any more. */
bool header_values_keep(struct action *action, struct tx *tx, struct str endpoint_id,
                        const struct header_values *values, struct err *err);

#endif
