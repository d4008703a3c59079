/* One record, for use cases that find it by other ways than its route. Private to the app layer. */
#ifndef KAMD_APP_RECORD_ONE_H
#define KAMD_APP_RECORD_ONE_H

#include "app/records.h"

/* As GET does, with the action's parameters. */
bool one_read(struct action *action, const struct record_key *key, struct outcome *outcome,
              struct err *err);
/* As POST, PATCH and PUT do: makes it, changes what `doc` names, or all that can be changed. */
bool one_create(struct action *action, const struct record_key *key, const jv *doc,
                struct outcome *outcome, struct err *err);
bool one_change(struct action *action, const struct record_key *key, const jv *doc,
                struct outcome *outcome, struct err *err);
bool one_replace(struct action *action, const struct record_key *key, const jv *doc,
                 struct outcome *outcome, struct err *err);

#endif
