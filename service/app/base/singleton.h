/* A document that there is one of: a table with one row, its typed columns, and what is derived
 * beside them. Private to the app layer. */
#ifndef KAMD_APP_BASE_SINGLETON_H
#define KAMD_APP_BASE_SINGLETON_H

#include "base/transaction.h"

struct singleton {
    const char *name; /* for ETags and sentences */
    const char *table;
    const struct field *fields; /* what can be changed: columns of the same names */
    size_t n_fields;
    const char *derived; /* SQL of a jsonb object over t: further members to show; or NULL */
    const char *cause;   /* why a change is followed by a full evaluation */
    /* Rules over the whole, valid document; or NULL. */
    void (*check)(const jv *doc, struct err *err);
};

bool singleton_get(struct action *action, const struct singleton *singleton,
                   struct outcome *outcome, struct err *err);
/* A merge patch; needs If-Match. Queues a full evaluation. */
bool singleton_patch(struct action *action, const struct singleton *singleton, const jv *patch,
                     struct outcome *outcome, struct err *err);

/* Queues a full evaluation in this transaction; its id, or NULL when memory is out. `request` is
 * JSON. */
const char *queue_evaluation(struct action *action, struct tx *tx, const char *request);

#endif
