/* Records by the ids of other systems (004-31): upserts and deletes in any order, records that wait
 * for their parents, and who wins where both sides changed a field. */
#ifndef KAMD_APP_SYNC_H
#define KAMD_APP_SYNC_H

#include "app/records.h"

/* By the id of another system: PUT and DELETE of one, and {all_or_none, conflict_policy,
 * defer_missing_parents, records[{external_id, system_modstamp, is_deleted, ...}]}. What is older
 * than what the system said before changes nothing. */
bool sync_put(struct action *action, struct str system, const struct resource *resource,
              struct str external_id, const jv *doc, struct outcome *outcome, struct err *err);
bool sync_delete(struct action *action, struct str system, const struct resource *resource,
                 struct str external_id, struct outcome *outcome, struct err *err);
bool sync_bulk(struct action *action, struct str system, const struct resource *resource,
               const jv *request, struct outcome *outcome, struct err *err);
/* Records that wait for their parents; page_size and cursor. */
bool sync_waiting(struct action *action, struct str system, const struct param *params,
                  size_t n_params, struct outcome *outcome, struct err *err);

/* {conflict_policy, fields[{resource, field, rule}]}; without one the source wins. */
bool sync_policy_get(struct action *action, struct str system, struct outcome *outcome,
                     struct err *err);
bool sync_policy_put(struct action *action, struct str system, const jv *doc,
                     struct outcome *outcome, struct err *err);
/* What lost, newest first; parameters status (open, resolved), page_size, cursor. */
bool sync_conflict_list(struct action *action, struct str system, const struct param *params,
                        size_t n_params, struct outcome *outcome, struct err *err);
/* {take: kamd|source}: writes that value; answers the conflict. */
bool sync_conflict_resolve(struct action *action, struct str system, struct str id, const jv *doc,
                           struct outcome *outcome, struct err *err);

#endif
