/* What is done with follow-ups beyond reading and writing them, and how promises are kept. */
#ifndef KAMD_APP_FOLLOW_UPS_H
#define KAMD_APP_FOLLOW_UPS_H

#include "app/records.h"

/* Actions on one follow-up; they answer it. All need it to be open (409), and heed If-Match where
 * it is given. */

/* {note, completed_at}: done; of a series, the next occurrence is there. */
use_case follow_up_complete;
/* {until} or {minutes}: a later due time, and one further event then. */
use_case follow_up_snooze;
/* {series}: this occurrence, or this and all that would follow. */
use_case follow_up_cancel;
/* {assignee_id} */
use_case follow_up_assign;

/* How many promises to an account were kept: {kept, broken, open, renegotiated, kept_rate}. */
use_case commitment_summary;

#endif
