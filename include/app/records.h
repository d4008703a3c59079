/* The use cases that every resource has. All of them work on the caller's view: what is not visible
 * is not there. */
#ifndef KAMD_APP_RECORDS_H
#define KAMD_APP_RECORDS_H

#include "app/app.h"

/* A record, as the path names it. `account_id` of a nested resource must be the record's; absent
 * elsewhere. */
struct record_key {
    const struct resource *resource;
    struct str id;
    struct str account_id;
};

/* Of the action's route. */
struct record_key action_key(const struct action *action);

/* GET of one; parameters fields, expand. */
use_case record_get;
/* GET of many: filters, order_by, page_size, cursor, include_total, fields, expand. */
use_case record_list;
use_case record_create;
/* If-Match is needed unless the caller is an integration. */
use_case record_patch;
use_case record_delete;
use_case record_restore;
/* What was changed, when, by whom, newest first; page_size and cursor. */
use_case record_history;

/* What becomes of each record of a bulk call, the first of them nothing yet ("");
 * NULL-terminated. */
extern const char *const bulk_outcomes[];

#endif
