/* Who sees what: the roles, why somebody sees something, and the guard of an account's areas. */
#ifndef KAMD_APP_ACCESS_H
#define KAMD_APP_ACCESS_H

#include "app/records.h"

/* The callers' roles, which are fixed, and the team's, which are data. */
use_case role_list;
/* {areas[]} of a role in teams; who has it sees them at once. */
use_case role_put;
/* Who had it falls back to `other`. */
use_case role_delete;

/* Parameters account_id, user_id (default: the caller's), area (default: all). */
use_case access_explain;

#endif
