/* What is done with follow-ups beyond reading and writing them, and how promises are kept. */
#ifndef KAMD_APP_FOLLOW_UPS_H
#define KAMD_APP_FOLLOW_UPS_H

#include "app/records.h"

/* Actions on one follow-up; they answer it. All need it to be open (409), and heed If-Match where
 * it is given. */

/* {note, completed_at}: done; of a series, the next occurrence is there. */
bool follow_up_complete(struct action *action, struct str id, const jv *doc,
                        struct outcome *outcome, struct err *err);
/* {until} or {minutes}: a later due time, and one further event then. */
bool follow_up_snooze(struct action *action, struct str id, const jv *doc, struct outcome *outcome,
                      struct err *err);
/* {series}: this occurrence, or this and all that would follow. */
bool follow_up_cancel(struct action *action, struct str id, const jv *doc, struct outcome *outcome,
                      struct err *err);
/* {assignee_id} */
bool follow_up_assign(struct action *action, struct str id, const jv *doc, struct outcome *outcome,
                      struct err *err);

/* How many promises to an account were kept: {kept, broken, open, renegotiated, kept_rate}. */
bool commitment_summary(struct action *action, struct str account_id, struct outcome *outcome,
                        struct err *err);

#endif
