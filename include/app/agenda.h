/* What is due for a person: open follow-ups, reviews and promises; as a list, and as a calendar
 * feed with a secret of its own. */
#ifndef KAMD_APP_AGENDA_H
#define KAMD_APP_AGENDA_H

#include "app/records.h"

/* Parameters due_before, page_size, cursor. People see their own; who sees all accounts,
 * everybody's.
 */
bool agenda_list(struct action *action, struct str user_id, const struct param *params,
                 size_t n_params, struct outcome *outcome, struct err *err);
/* A new secret, shown once; the one before stops working. */
bool agenda_token_make(struct action *action, struct str user_id, struct outcome *outcome,
                       struct err *err);
bool agenda_token_drop(struct action *action, struct str user_id, struct outcome *outcome,
                       struct err *err);
/* The calendar of whoever's secret it is (text/calendar), as that person sees the accounts. Nobody
 * is signed in: action->who is not looked at. */
bool agenda_feed(struct action *action, struct str user_id, struct str token, struct buf *ret,
                 struct err *err);

#endif
