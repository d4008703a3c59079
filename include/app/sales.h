/* What an account bought, month by month. */
#ifndef KAMD_APP_SALES_H
#define KAMD_APP_SALES_H

#include "app/records.h"

/* Parameters first_month and last_month (YYYY-MM), both included; default: the last twelve. One row
 * for each month and currency with an order. */
bool account_sales(struct action *action, struct str account_id, const struct param *params,
                   size_t n_params, struct outcome *outcome, struct err *err);

#endif
