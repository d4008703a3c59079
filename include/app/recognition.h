/* Who calls or writes: a contact or an account by its numbers and addresses. */
#ifndef KAMD_APP_RECOGNITION_H
#define KAMD_APP_RECOGNITION_H

#include "app/records.h"

/* One of phone, email, domain, account_number, salesforce_id. From memory. */
bool recognition(struct action *action, const struct param *params, size_t n_params,
                 struct outcome *outcome, struct err *err);

#endif
