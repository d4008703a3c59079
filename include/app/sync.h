/* Records by the ids of other systems (004-31): upserts and deletes in any order, records that wait
 * for their parents, and who wins where both sides changed a field. */
#ifndef KAMD_APP_SYNC_H
#define KAMD_APP_SYNC_H

#include "app/records.h"

/* By the id of another system: PUT and DELETE of one, and {all_or_none, conflict_policy,
 * defer_missing_parents, records[{external_id, system_modstamp, is_deleted, ...}]}. What is older
 * than what the system said before changes nothing. */
use_case sync_put;
use_case sync_delete;
use_case sync_bulk;
/* Records that wait for their parents; page_size and cursor. */
use_case sync_waiting;

/* Words of the conflict rules, each list NULL-terminated. */
extern const char *const sync_policies[];
extern const char *const sync_rules[]; /* the policies, and those of a field alone */
extern const char *const sync_sides[];
/* {conflict_policy, fields[{resource, field, rule}]}; without one the source wins. */
use_case sync_policy_get;
use_case sync_policy_put;
/* What lost, newest first; parameters status (open, resolved), page_size, cursor. */
use_case sync_conflict_list;
/* {take: kamd|source}: writes that value; answers the conflict. */
use_case sync_conflict_resolve;

#endif
