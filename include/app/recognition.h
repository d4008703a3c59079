/* Who calls or writes: a contact or an account by its numbers and addresses. */
#ifndef KAMD_APP_RECOGNITION_H
#define KAMD_APP_RECOGNITION_H

#include "app/records.h"

/* One of phone, email, domain, account_number, salesforce_id. From memory. */
use_case recognition;

#endif
