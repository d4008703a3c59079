/* The guard of an account's information areas. */
#ifndef KAMD_APP_AREA_GUARD_H
#define KAMD_APP_AREA_GUARD_H

#include "app/records.h"

/* Before what a route shows or changes below a record of an account. Not found: the record is not
 * there for the caller. FORBIDDEN: it is, but not these areas of its account. */
bool path_guard(struct action *action, const struct record_key *key, area_set areas, bool write,
                struct err *err);

#endif
