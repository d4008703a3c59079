/* What an account bought, month by month. */
#ifndef KAMD_APP_SALES_H
#define KAMD_APP_SALES_H

#include "app/records.h"

/* Parameters first_month and last_month (YYYY-MM), both included; default: the last twelve. One row
 * for each month and currency with an order. */
use_case account_sales;

#endif
