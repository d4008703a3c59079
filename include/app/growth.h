/* What an account could become: opportunities, whitespace, and whether investments pay back. */
#ifndef KAMD_APP_GROWTH_H
#define KAMD_APP_GROWTH_H

#include "app/records.h"

/* Of all its plans, with sums by kind and currency. Parameter plan_status: only of such plans. */
bool account_opportunities(struct action *action, struct str account_id, const struct param *params,
                           size_t n_params, struct outcome *outcome, struct err *err);
/* Cumulative investment against cumulative margin by month. Parameter as_of: default today. */
bool account_economics(struct action *action, struct str account_id, const struct param *params,
                       size_t n_params, struct outcome *outcome, struct err *err);
/* Products against units: bought, opportunity, or white. Parameter format: json or csv. */
bool account_whitespace(struct action *action, struct str account_id, const struct param *params,
                        size_t n_params, struct outcome *outcome, struct err *err);

#endif
