/* Who sees what: the roles, why somebody sees something, and the guard of an account's areas. */
#ifndef KAMD_APP_ACCESS_H
#define KAMD_APP_ACCESS_H

#include "app/records.h"

/* The callers' roles, which are fixed, and the team's, which are data. */
bool role_list(struct action *action, struct outcome *outcome, struct err *err);
/* {areas[]} of a role in teams; who has it sees them at once. */
bool role_put(struct action *action, struct str role, const jv *doc, struct outcome *outcome,
              struct err *err);
/* Who had it falls back to `other`. */
bool role_delete(struct action *action, struct str role, struct outcome *outcome, struct err *err);

/* Parameters account_id, user_id (default: the caller's), area (default: all). */
bool access_explain(struct action *action, const struct param *params, size_t n_params,
                    struct outcome *outcome, struct err *err);

#endif
