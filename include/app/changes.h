/* The change feed (004-31): what happened to the records, in commit order, with each record as it
 * is now; tombstones for what is gone. */
#ifndef KAMD_APP_CHANGES_H
#define KAMD_APP_CHANGES_H

#include "app/records.h"

#define CHANGE_WAIT_MAX 60

struct change_query;

/* Nothing happened yet, and the caller wants to wait for it. */
struct change_wait {
    int64_t seconds; /* 0: it does not */
    const struct change_query *query;
    struct str nothing; /* the page that there was; borrowed from the outcome */
};

/* Parameters after (a cursor, "now", or "snapshot": everything there is, then what changes), since,
 * types, account_id, exclude_origin, page_size, wait. */
bool change_list(struct action *action, struct outcome *outcome, struct change_wait *ret_wait,
                 struct err *err);

#endif
