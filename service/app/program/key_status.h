/* The explanation of a key status, shared by what shows and what moves it. Private to the app
 * layer. */
#ifndef KAMD_APP_PROGRAM_KEY_STATUS_H
#define KAMD_APP_PROGRAM_KEY_STATUS_H

#include "base/transaction.h"

/* Appends the object; `as_of` absent: now. Not found when the account is not visible. */
bool status_answer(struct action *action, struct tx *tx, struct str account_id,
                   struct outcome *outcome, struct err *err);

#endif
