/* Users beyond their record: by the identity provider's `sub`, and when they leave. */
#ifndef KAMD_APP_USERS_H
#define KAMD_APP_USERS_H

#include "app/records.h"

/* Makes the user (201) or changes what `doc` names (200). */
use_case user_put;
/* {transfer_to_id}: all that the person answers for goes to that one, and the person is active no
 * more; answers the user. */
use_case user_deactivate;

#endif
