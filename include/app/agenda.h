/* What is due for a person: open follow-ups, reviews and promises; as a list, and as a calendar
 * feed with a secret of its own. */
#ifndef KAMD_APP_AGENDA_H
#define KAMD_APP_AGENDA_H

#include "app/records.h"

/* Parameters due_before, page_size, cursor. People see their own; who sees all accounts,
 * everybody's.
 */
use_case agenda_list;
/* A new secret, shown once; the one before stops working. */
use_case agenda_token_make;
use_case agenda_token_drop;
/* The calendar of whoever's secret it is (text/calendar), as that person sees the accounts. Nobody
 * is signed in: action->who is not looked at. */
bool agenda_feed(struct action *action, struct str user_id, struct str token, struct buf *ret,
                 struct err *err);

#endif
