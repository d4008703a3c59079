/* Users by the identity provider's `sub`, for those who provision them. */
#ifndef KAMD_APP_USERS_H
#define KAMD_APP_USERS_H

#include "app/records.h"

/* Makes the user (201) or changes what `doc` names (200). */
use_case user_put;

#endif
