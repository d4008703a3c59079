/* The information areas of one account. Private to the app layer. */
#ifndef KAMD_APP_RECORD_AREA_GUARD_H
#define KAMD_APP_RECORD_AREA_GUARD_H

#include "base/transaction.h"

/* What the caller reads of the account; not found when it is not there for the caller. Sends what
 * is queued. */
bool account_areas(struct action *action, struct tx *tx, struct str account_id, area_set *ret,
                   struct err *err);

#endif
