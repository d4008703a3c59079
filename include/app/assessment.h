/* What people and records say of one account's worth: assessed metrics, the fit check, health. */
#ifndef KAMD_APP_FACTS_H
#define KAMD_APP_FACTS_H

#include "app/records.h"

/* {account_id, metrics[{metric, period, value, source, note, assessed_by, updated_at}]} */
bool account_metrics_get(struct action *action, struct str account_id, struct outcome *outcome,
                         struct err *err);
/* {metrics[]}: sets the values named, by metric and period; a null value takes one away; what is
 * not named stays. */
bool account_metrics_put(struct action *action, struct str account_id, const jv *doc,
                         struct outcome *outcome, struct err *err);

/* The strategy checklist with its verdict (000-01 to 000-07); 404 before there is one. */
bool fit_check_get(struct action *action, struct str account_id, struct outcome *outcome,
                   struct err *err);
bool fit_check_put(struct action *action, struct str account_id, const jv *doc,
                   struct outcome *outcome, struct err *err);

/* 0 to 100 with contributions that add up, what it was before, and what changed it. */
bool account_health(struct action *action, struct str account_id, struct outcome *outcome,
                    struct err *err);

#endif
