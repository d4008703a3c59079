/* What an account could become: opportunities, whitespace, and whether investments pay back. */
#ifndef KAMD_APP_GROWTH_H
#define KAMD_APP_GROWTH_H

#include "app/records.h"

/* Of all its plans, with sums by kind and currency. Parameter plan_status: only of such plans. */
use_case account_opportunities;
/* Cumulative investment against cumulative margin by month. Parameter as_of: default today. */
use_case account_economics;
/* Products against units: bought, opportunity, or white. Parameter format: json or csv. */
use_case account_whitespace;

#endif
